import os
from pathlib import Path

import pytest

from testbay.files import records_of, write_whole


def test_a_file_is_replaced_and_no_link_is_followed(tmp_path: Path) -> None:
    """Neither one in its place, nor one to a folder; and of a disk without room nothing is left."""
    kept, file = tmp_path / "kept", tmp_path / "report.html"
    kept.write_text("mine")
    file.symlink_to(kept)

    write_whole(file, "new")
    assert (kept.read_text(), file.read_text(), file.is_symlink()) == ("mine", "new", False)
    with pytest.raises(OSError, match="File name too long"):
        write_whole(tmp_path / ("x" * 300), "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kept", "report.html"]


def test_the_folder_of_records_is_its_owners(tmp_path: Path) -> None:
    """0700; what stands in the place of its own files is replaced, not written through."""
    (tmp_path / "kept").write_text("mine")
    (tmp_path / ".testbay").mkdir(mode=0o755)
    (tmp_path / ".testbay/.gitignore").symlink_to(tmp_path / "kept")

    folder = records_of(tmp_path, "runs").parent
    assert (folder.stat().st_mode & 0o777, (tmp_path / "kept").read_text()) == (0o700, "mine")
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_full_disk_is_no_reason_to_ask_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks run there, and say what they found: the folder of an earlier run is left as it is."""
    records_of(tmp_path, "checks")
    monkeypatch.setattr("testbay.files.write_whole", None)

    assert records_of(tmp_path, "checks").is_dir()


@pytest.mark.parametrize("link", [".testbay", ".testbay/runs"])
def test_a_link_in_the_place_of_records_is_refused(tmp_path: Path, link: str) -> None:
    """A repository can hold one, and where it leads the oldest folders would be removed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(elsewhere)

    with pytest.raises(PermissionError, match="it is a symbolic link"):
        records_of(tmp_path, "runs")
    assert (list(elsewhere.iterdir()), elsewhere.stat().st_mode & 0o777) == ([], 0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_folder_of_records_that_another_user_made_is_refused(tmp_path: Path) -> None:
    """In a project folder that a group may write, it may lead anywhere."""
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / ".testbay").symlink_to(tmp_path / "elsewhere")
    os.lchown(tmp_path / ".testbay", 65533, 65533)

    with pytest.raises(PermissionError, match="another user made it"):
        records_of(tmp_path, "runs")
    assert list((tmp_path / "elsewhere").iterdir()) == []

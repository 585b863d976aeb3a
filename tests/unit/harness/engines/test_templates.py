"""Data directories kept between runs: whole ones are copied, anything else is removed."""

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.harness.engines import templates
from testbay.harness.engines.embedded import Embedded


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """A template of two files."""
    data = tmp_path / "made"
    (data / "base").mkdir(parents=True)
    (data / "base" / "1").write_bytes(b"x" * 100)
    (data / "control").write_bytes(b"y" * 10)
    assert templates.save(tmp_path / "templates" / "abc", data)
    return tmp_path / "templates" / "abc"


def test_whole_entry_is_copied(entry: Path, tmp_path: Path) -> None:
    """What was saved comes back, file by file."""
    restored = templates.restore(entry, tmp_path / "new")

    assert restored
    assert (tmp_path / "new" / "base" / "1").read_bytes() == b"x" * 100
    assert (tmp_path / "new" / "control").read_bytes() == b"y" * 10


def test_copy_keeps_modes(entry: Path, tmp_path: Path) -> None:
    """PostgreSQL refuses a data directory that others may read."""
    (tmp_path / "made" / "base").chmod(0o700)
    (tmp_path / "made" / "base" / "1").chmod(0o600)
    templates.save(entry, tmp_path / "made")
    templates.restore(entry, tmp_path / "new")

    modes = [stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) for name in ("base", "base/1")]
    assert modes == [0o700, 0o600]


def test_link_is_not_kept(tmp_path: Path) -> None:
    """What lies behind a link (a tablespace) would be shared by every start: there is no entry then."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "link").symlink_to(tmp_path)

    assert not templates.save(tmp_path / "templates" / "abc", tmp_path / "made")
    assert list((tmp_path / "templates").iterdir()) == []


def test_one_that_would_be_removed_at_once_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of gigabytes is not kept as a template."""
    monkeypatch.setattr(templates, "_MAX_BYTES", 99)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/1").write_bytes(b"x" * 100)

    assert not templates.save(tmp_path / "templates/abc", tmp_path / "made")
    assert not (tmp_path / "templates").exists()


def test_no_entry_is_no_copy(tmp_path: Path) -> None:
    """An entry that was never made is simply not there."""
    assert not templates.restore(tmp_path / "templates" / "abc", tmp_path / "new")


def _become_a_folder(entry: Path) -> None:
    entry.unlink()
    entry.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda entry: os.truncate(entry, entry.stat().st_size - 1),
    "added to": lambda entry: os.truncate(entry, entry.stat().st_size + 1),
    "its list cut off": lambda entry: os.truncate(entry, 20),
    "empty": lambda entry: os.truncate(entry, 0),
    "a list of something else": lambda entry: entry.write_text('{"files": [{"size": "0"}], "folders": []}\n'),
    "a folder, as an earlier version made it": _become_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entry_is_removed_and_never_used(entry: Path, tmp_path: Path, damage: str) -> None:
    """However a template differs from its list, it is not copied, and it is gone afterwards."""
    DAMAGES[damage](entry)

    assert not templates.restore(entry, tmp_path / "new")
    assert (entry.exists(), (tmp_path / "new").exists()) == (False, False)


def test_second_to_save_keeps_the_first(entry: Path, tmp_path: Path) -> None:
    """Two runs that make the same entry at once: one is kept, nothing half-made remains."""
    assert templates.save(entry, tmp_path / "made")
    assert [child.name for child in entry.parent.iterdir()] == ["abc"]


def test_least_recently_used_go_beyond_the_size(entry: Path, tmp_path: Path) -> None:
    """The size limit removes what was not used for longest."""
    assert templates.save(entry.parent / "newer", tmp_path / "made")
    os.utime(entry, (time.time() - 60, time.time() - 60))
    limit = (entry.parent / "newer").stat().st_size + 1

    assert templates.prune(entry.parent, max_bytes=limit) == ["abc"]


def test_unused_for_too_long_go(entry: Path) -> None:
    """The age limit removes what nobody used, whatever its size."""
    old = time.time() - 100
    os.utime(entry, (old, old))

    assert templates.prune(entry.parent, max_age_s=50) == ["abc"]


def test_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    """Not being able to keep an entry costs time later, not this run."""
    (tmp_path / "templates").write_text("a file")

    assert not templates.save(tmp_path / "templates" / "abc", tmp_path)
    shutil.rmtree(tmp_path)


def test_an_entry_that_goes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """Another process renames the file in which it makes an entry, or removes an old one, at any moment."""
    (tmp_path / ".abc-1").symlink_to("gone")

    assert templates.prune(tmp_path) == []


def test_a_server_that_has_ended_is_not_kept(tmp_path: Path) -> None:
    """Its end has been told; the guard goes on."""
    assert not Embedded().snapshot("postgres", str(tmp_path / "abc"))

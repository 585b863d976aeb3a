"""Which programs are the system's."""

from pathlib import Path

import pytest

from testbay.harness.dependencies.programs import on_system


def program(file: Path, text: str = "#!/bin/sh\n") -> Path:
    """An executable file, its folders made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def path(*folders: Path) -> dict[str, str]:
    """An environment with this PATH."""
    return {"PATH": ":".join(map(str, folders))}


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta"])
def test_an_activated_environments_program_is_not_the_systems(tmp_path: Path, mark: str) -> None:
    """Whoever's environment it is: the system's own stands behind it on the PATH."""
    program(tmp_path / "env/bin/nats-server")
    (tmp_path / "env" / mark).touch()
    own = program(tmp_path / "usr/bin/nats-server")

    assert list(on_system("nats-server", path(tmp_path / "env/bin", own.parent))) == [own]


def test_a_link_into_an_environment_is_not_the_systems(tmp_path: Path) -> None:
    """As `uv tool install` makes one in ~/.local/bin."""
    target = program(tmp_path / "tools/nats/bin/nats-server")
    (tmp_path / "tools/nats/pyvenv.cfg").touch()
    (tmp_path / "local").mkdir()
    (tmp_path / "local/nats-server").symlink_to(target)

    assert list(on_system("nats-server", path(tmp_path / "local"))) == []


def test_a_script_of_an_installer_is_not_the_systems(tmp_path: Path) -> None:
    """`pip install --user` makes one of a wheel, in no environment."""
    program(tmp_path / "bin/nats-server", "#!/usr/bin/python3\nimport sys\n")

    assert list(on_system("nats-server", path(tmp_path / "bin"))) == []


def test_one_program_by_two_ways_is_one(tmp_path: Path) -> None:
    """/bin is /usr/bin on most systems; a folder that is missing or a file without its bit is passed over."""
    own = program(tmp_path / "usr/bin/nats-server")
    (tmp_path / "bin").symlink_to(own.parent)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/nats-server").touch()

    asked = path(tmp_path / "none", tmp_path / "plain", own.parent, tmp_path / "bin")

    assert list(on_system("nats-server", asked)) == [own]


def test_a_folder_that_cannot_be_looked_into_is_passed_over(tmp_path: Path) -> None:
    """As root's own on the PATH after `sudo -u`; a name that is too long is refused to root, too."""
    own = program(tmp_path / "bin/nats-server")

    assert list(on_system("nats-server", path(tmp_path / ("x" * 300), own.parent))) == [own]

"""The cache folder is ours or it is refused: what lies in it ends processes, removes folders and becomes databases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import Bay

from testbay import process

STRANGER = 65533
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")


def theirs(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)


def by_link(folder: Path) -> None:
    folder.with_name("real").mkdir(mode=0o700)
    folder.symlink_to("real")
    os.lchown(folder, STRANGER, STRANGER)


def for_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def below_for_all(folder: Path) -> None:
    folder.parent.chmod(0o777)
    folder.mkdir(mode=0o700)


@only_root
@pytest.mark.parametrize("make", [theirs, by_link, for_all, below_for_all])
@pytest.mark.parametrize("command", ["run shop", "ps", "up --keep", "gc"])
def test_a_folder_that_another_user_could_change(bay: Bay, make: object, command: str) -> None:
    """It is refused before anything in it is read."""
    folder = bay.project.parent / "open/cache"
    folder.parent.mkdir()
    make(folder)  # type: ignore[operator]
    done = bay.run(*command.split(), TESTBAY_CACHE_DIR=str(folder))

    assert done.code == 11
    assert f"{folder}: testbay refuses this cache folder" in done.out
    assert list(folder.iterdir()) == []


def test_a_group_of_ones_own_is_shut_out(bay: Bay) -> None:
    """A folder made under an umask of 002 is no attack: it is closed, and used."""
    bay.cache.mkdir(exist_ok=True)
    bay.cache.chmod(0o775)

    assert bay.run("ps").code == 0
    assert bay.cache.stat().st_mode & 0o777 == 0o755


@only_root
def test_another_users_record_ends_nothing(bay: Bay) -> None:
    """It names a process and a folder of ours; whoever planted it wants them gone."""
    bystander = subprocess.Popen(["sleep", "600"])
    (bay.project / "precious").mkdir()
    home = bay.cache / "stacks/shop-abcdef"
    home.mkdir(parents=True)
    who = process.identify(bystander.pid)
    planted = {"id": "shop-abcdef", "engine": "embedded", "data_dir": str(bay.project / "precious")}
    (home / "stack.json").write_text(json.dumps(planted | {"pids": {"postgres": who}, "sessions": [who]}))
    os.chown(home / "stack.json", STRANGER, STRANGER)
    bay.run("gc")
    alive = bystander.poll() is None
    bystander.kill()
    bystander.wait()

    assert alive
    assert (bay.project / "precious").exists()


def test_a_cache_that_cannot_be_written_ends_only_what_needs_it(bay: Bay) -> None:
    """A test without a lease passes; one with a lease is told in a sentence."""
    bay.tests("def test_plain():\n    pass\n\ndef test_leased(dragonfly):\n    pass\n")
    env = bay.environ | {"TESTBAY_CACHE_DIR": "/dev/null/cache"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(bay.service)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    assert "1 passed, 1 error" in done.stdout
    assert "/dev/null/cache: cannot keep testbay's files here" in done.stdout
    assert "INTERNALERROR" not in done.stdout

"""What the machine takes away: an output, a working folder, the room on a disk. It is said in a line, with a code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import Bay

PROGRAM = f"{sys.executable} -m testbay"


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("command", ["doctor", "ps", "open --list", "--version"])
def test_an_output_that_takes_nothing(bay: Bay, command: str, redirection: str) -> None:
    """A line on standard error and an exit code of its own; never a traceback, also at the very end."""
    done = bay.type(f"{{ {PROGRAM} {command} {redirection}; }} 2>&1")

    assert done.lines[0] == "error: testbay could not write to its standard output"
    assert "Traceback" not in done.out
    assert "Exception" not in done.out
    assert done.code == 27 or (command == "doctor" and done.code != 0)


def test_no_stream_at_all(bay: Bay) -> None:
    """A daemon's child may have none of the three; no file of ours takes their numbers."""
    done = bay.type(f"{PROGRAM} run shop -- -k nothing_has_this_name <&- >&- 2>&-")

    assert done.code == 15
    assert bay.left() == []


def test_a_run_outlives_its_reader(bay: Bay) -> None:
    """`testbay run | head -1`: the tests run to their end, everything is torn down, nothing is said of it."""
    done = bay.type(f"{{ {PROGRAM} run shop | head -1; }} 2>&1; echo ${{PIPESTATUS[0]}}")

    assert "Traceback" not in done.out
    assert '"exit_code": 0' in bay.run_json()


@pytest.mark.parametrize("command", ["ps", "run shop", "down", "doctor", "check shop --phase pre-deploy", "report"])
def test_a_working_folder_that_is_gone(bay: Bay, command: str) -> None:
    """It may have been a temporary one, or a branch that was left."""
    done = bay.type(f"mkdir gone && cd gone && rmdir ../gone && {PROGRAM} {command}", PYTHONSAFEPATH="1")

    assert "Traceback" not in done.out
    assert done.code in (0, 10, 27)
    assert done.code == 0 or "\nerror: " in f"\n{done.out}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("room_bytes", [0, 264 << 10])
def test_a_full_disk(bay: Bay, room_bytes: int) -> None:
    """Before the run, or while it writes: never a traceback of ours, nothing left, and never green."""
    shutil.copytree(bay.project, bay.project.with_name("small"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", bay.project], check=True)
    try:
        shutil.copytree(bay.project.with_name("small"), bay.project, dirs_exist_ok=True)
        disk = os.statvfs(bay.project)
        (bay.project / "fill").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - room_bytes)))
        done = bay.run("run", "shop")
    finally:
        subprocess.run(["umount", "-l", bay.project], check=True)

    assert "testbay/" not in "".join(part for part in done.out.split("Traceback")[1:])
    assert (done.code == 0) == ("error: " not in done.out and "❌" not in done.out)


def test_a_disk_that_fills_up_in_the_middle(bay: Bay) -> None:
    """A file that cannot grow: what a test did is not recorded, which no run passes."""
    bay.tests("def test_fills():\n    import resource\n    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n")
    done = bay.run("run", "shop")

    assert done.code != 0


def test_the_record_is_for_its_owner(bay: Bay) -> None:
    """What servers logged and tests printed is nothing for other users of the machine, also in an old folder."""
    folder = bay.project / ".testbay"
    folder.mkdir(mode=0o755)
    bay.run("run", "shop")

    assert Path(folder).stat().st_mode & 0o777 == 0o700

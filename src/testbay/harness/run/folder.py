"""The run folders of a project: `.testbay/runs/<id>/`, the newest twenty."""

import errno
import fcntl
import os
import shlex
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from testbay.errors import EngineUnavailableError
from testbay.files import read_bounded, records_of

RECORD = "run.json"  # the file of a run's folder that `record.py` writes and reads
_MOST_BYTES = 128 << 20  # of a file that is read back; a larger one would take the machine's memory
_KIND = "runs"
_KEPT_RUNS = 20
_STAMP = len("20260101-000000-")
_LEAST_ROOM_BYTES = 256 << 10
_in_use: dict[Path, int] = {}  # the folders of this process's runs, each with a descriptor that has it locked


def run_id(who: str, unique: str) -> str:
    """Make a run's id; ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{who}-{unique}"


def is_meant(name: str, which: str) -> bool:
    """Tell whether the user means the run of that id: by its id, or by its service."""
    return which in (name, name[_STAMP:].rpartition("-")[0])


def runs(project: Path) -> Path:
    """The folder of a project's runs, which may not exist."""
    return project / ".testbay" / _KIND


def contents(file: Path) -> bytes:
    """Read a run's file, which may come from elsewhere.

    Raises:
        ValueError: As `read_bounded`.
    """
    return read_bounded(file, _MOST_BYTES)


def make(project: Path, name: str) -> Path:
    """Make a run's folder unless it exists, and remove all but the newest twenty and those in use.

    Raises:
        EngineUnavailableError: It cannot be written.
    """
    folder = runs(project) / name
    try:
        records_of(project, _KIND)
        folder.mkdir(parents=True, exist_ok=True)
        _use(folder)
        (folder / "logs").mkdir(exist_ok=True)
        _check_room(folder)
    except OSError as error:
        raise EngineUnavailableError(
            f"{project / '.testbay'}: cannot keep the run's record here",
            why=str(error.strerror),
            todo=f'sudo chown -R "$(id -u)" {shlex.quote(str(project / ".testbay"))}: as after `sudo testbay`'
            if error.errno == errno.EPERM  # of another user
            else "make the folder writable and no link, with room on its disk; `testbay exec -- pytest` needs none",
        ) from None
    # A clock that was set back makes this one the oldest.
    for stale in sorted(p for p in folder.parent.iterdir() if p.is_dir() and p != folder)[: 1 - _KEPT_RUNS]:
        if not _is_in_use(stale):
            shutil.rmtree(stale, ignore_errors=True)
    return folder


def _use(folder: Path) -> None:
    """Lock a folder until this process ends, so that no other run removes it."""
    if folder not in _in_use:
        held = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_SH)
        _in_use[folder] = held


def _is_in_use(folder: Path) -> bool:
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(held)
    return False


def _check_room(folder: Path) -> None:
    """Refuse a full disk at once, before pytest, coverage and the servers fail on it one by one."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < _LEAST_ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

"""The lock of a history's folder, so that one watcher at a time writes there."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from testbay.errors import HistoryError


def locked(folder: Path) -> int:
    """Take the lock of a history's folder; the kernel frees it when the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(folder, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise HistoryError(
            f"another testbay watch keeps the history in {folder}",
            why=f"process {owner or 'unknown'} holds its lock: two watchers would send every message twice",
            todo="end that one, or name another folder with --history",
        ) from None
    except OSError as error:  # of a file system without locks
        os.close(descriptor)
        raise unusable(folder, error) from None
    with suppress(OSError):  # of a full disk: the lock holds without the note who has it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def unusable(
    place: Path, error: Exception, todo: str = "name a folder that this user may write to, with room"
) -> HistoryError:
    """Make the error of a history that cannot be used."""
    return HistoryError(f"history: {place} cannot be used", why=str(error), todo=todo)

"""The cache folder, used only if no other user can change it (as ssh requires of its files).

Its content ends processes and removes folders (records), becomes databases (templates) and is executed with our rights:
another user must have neither prepared it nor be able to replace it.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from testbay.errors import EngineUnavailableError

_TODO = 'make it writable for you alone, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"'


def make(folder: Path) -> None:
    """Make the folder if it does not exist.

    Raises:
        EngineUnavailableError: It cannot be made, or it is refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise unusable(folder, error) from None
    check(folder)


def check(folder: Path) -> None:
    """Refuse a folder that another user made or could replace; a missing folder is fine.

    Raises:
        EngineUnavailableError: It is refused.
    """
    try:
        problem = _problem(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(folder, error) from None
    if problem:
        raise EngineUnavailableError(
            f"{folder}: testbay refuses this cache folder", why=f"{problem}: another user could change it", todo=_TODO
        )


def unusable(folder: Path, error: OSError) -> EngineUnavailableError:
    """The error for a cache folder that cannot be written."""
    why = str(error.strerror or error)
    return EngineUnavailableError(f"{folder}: cannot keep testbay's files here", why=why, todo=_TODO)


def is_ours(path: Path) -> bool:
    """Return whether the path is a file or folder of this user, and no symbolic link."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)


def _problem(folder: Path) -> str:
    ours = (0, os.geteuid())
    for part in (folder, *folder.parents):
        status = part.lstat() if part.is_symlink() else None
        if status is not None and status.st_uid not in ours:
            return f"{part} is a symbolic link of user {status.st_uid}"
    real = folder.resolve(strict=True)
    own = real.stat()
    if own.st_uid != os.geteuid():
        return f"it belongs to user {own.st_uid}, and you are {os.geteuid()}"
    if own.st_mode & stat.S_IWOTH:
        return f"every user may write in it (mode {stat.S_IMODE(own.st_mode):o})"
    if own.st_mode & stat.S_IWGRP:  # as an umask of 002 makes folders
        with suppress(OSError):
            real.chmod(stat.S_IMODE(own.st_mode) & ~0o022)
    for parent in real.parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"every user may exchange what is in {parent} (mode {stat.S_IMODE(mode):o})"
    return ""

"""Temporary folders that also a killed monitor does not leave for good."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A new folder that only this user can enter; it is removed at the end.

    A lock on it lasts as long as this process: folders of the same purpose whose lock is free belong to a monitor that
    was killed, and are removed first.
    """
    for abandoned in Path(tempfile.gettempdir()).glob(f"error-monitor-{purpose}-*"):
        with contextlib.suppress(OSError), _locked(abandoned):  # OSError: in use, another user's, or gone by now
            shutil.rmtree(abandoned)
    made = Path(tempfile.mkdtemp(prefix="error-monitor-new-"))
    try:
        with _locked(made):
            # Only now may the others see it: a folder without a lock is a folder without an owner.
            made = made.rename(made.with_name(made.name.replace("new", purpose, 1)))
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)

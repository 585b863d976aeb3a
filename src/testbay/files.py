"""Files that others may write or read meanwhile: replaced in one step, read up to a size, kept in a project."""

import errno
import os
import secrets
import stat
from pathlib import Path


def read_bounded(file: Path, most_bytes: int) -> bytes:
    """Read a file that may come from elsewhere: no link is followed, no pipe waited for.

    Raises:
        ValueError: Not an ordinary file, larger than `most_bytes`, or cannot be read.
    """
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise ValueError("no ordinary file")
            data = source.read(most_bytes + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(data) > most_bytes:
        raise ValueError(f"larger than {most_bytes >> 20} MiB")
    return data


def write_whole(file: Path, content: str | bytes) -> None:
    """Replace a file atomically: a link in its place is not followed, and a full disk leaves no partial file.

    Raises:
        OSError: It cannot be written.
    """
    scratch = file.with_name(f".{file.name[:100]}.{secrets.token_hex(8)}")
    try:
        number = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(number, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


def records_of(project: Path, kind: str) -> Path:
    """Return the folder of a project's records of one kind, in `.testbay`, which other users cannot read; make it.

    Raises:
        OSError: It cannot be written, another user made it, or it is a link, which a repository can hold: the oldest
            records are removed, and must not be other files.
    """
    folder = project / ".testbay"
    for made in (folder, folder / kind):
        made.mkdir(parents=True, exist_ok=True)
        if made.lstat().st_uid not in (os.geteuid(), project.stat().st_uid):
            raise PermissionError(errno.EPERM, "another user made it")
        if made.is_symlink():
            raise PermissionError(errno.ELOOP, "it is a symbolic link")
    folder.chmod(0o700)
    ignore = folder / ".gitignore"
    if ignore.is_symlink() or not ignore.exists():  # one that is there will do on a full disk
        write_whole(ignore, "*\n")
    return folder / kind

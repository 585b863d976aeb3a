"""Templates: initialised and migrated data directories in the cache, which a warm start copies.

A template is one file, named by the hash of everything it was made from: a line of JSON that lists the folders and the
files with their sizes, then the bytes of all files. A data directory has a thousand small files, which a disk makes and
removes ten times as slowly as one large file. Copying is the longest part of a warm start: from such a file it takes
two thirds of the time that copying file by file takes, and a third of what Python's tarfile takes.
"""

import contextlib
import json
import mmap
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

_LINE = 1 << 24  # more than the list of any data directory that is kept takes
_CHUNK = 1 << 20
_MAX_BYTES = 1 << 30
_MAX_AGE_S = 30 * 86400.0


def restore(entry: Path, into: Path) -> bool:
    """Copy a template's data to `into`; return False, and remove the template, if it is absent or damaged."""
    if not entry.exists():
        return False
    try:
        _unpack(entry, into)
    except (OSError, ValueError, TypeError, LookupError):  # whatever a damaged list holds
        shutil.rmtree(into, ignore_errors=True)
        _remove(entry)
        return False
    with contextlib.suppress(OSError):
        os.utime(entry)  # last used now
    return True


def save(entry: Path, data: Path) -> bool:
    """Keep a copy of the `data` of a stopped server; return False if that failed, which only costs time later."""
    scratch = entry.parent / f".{entry.name}-{os.urandom(3).hex()}"
    try:
        listed = _listing(f"{data}")
        if sum(file["size"] for file in listed["files"]) > _MAX_BYTES:
            return False  # it would be removed at once
        entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _pack(scratch, data, listed)
        scratch.rename(entry)
    except OSError:
        return entry.is_file()  # another run was first; else a full disk, or a link, which is not followed
    finally:
        _remove(scratch)
    prune(entry.parent)
    return True


def prune(folder: Path, *, max_bytes: int = _MAX_BYTES, max_age_s: float = _MAX_AGE_S) -> list[str]:
    """Remove templates not used for a month, and the least recently used beyond the size; return their names."""
    found = []
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed or removed it
            found.append((entry.stat(), entry))
    total = 0
    removed = []
    for facts, entry in sorted(found, key=lambda one: one[0].st_mtime, reverse=True):
        total += facts.st_size
        if total > max_bytes or time.time() - facts.st_mtime > max_age_s or stat.S_ISDIR(facts.st_mode):
            _remove(entry)
            removed.append(entry.name)
    return removed


def _remove(entry: Path) -> None:
    """Remove a template; a folder is one that an earlier version made."""
    with contextlib.suppress(OSError):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _listing(data: str, inner: str = "") -> dict[str, list[dict[str, Any]]]:
    """List the folders and the files below `data`, in the order in which they can be made."""
    folders, files = [_facts(inner, Path(data + inner).stat())], []
    with os.scandir(data + inner) as entries:
        for entry in entries:
            name = f"{inner}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                below = _listing(data, name)
                folders += below["folders"]
                files += below["files"]
            else:
                files.append(_facts(name, entry.stat(follow_symlinks=False)))
    return {"folders": folders, "files": files}


def _facts(name: str, facts: os.stat_result) -> dict[str, Any]:
    owner = [facts.st_uid, facts.st_gid]
    return {"name": name, "size": facts.st_size, "mode": stat.S_IMODE(facts.st_mode), "owner": owner}


def _pack(entry: Path, data: Path, listed: dict[str, list[dict[str, Any]]]) -> None:
    with entry.open("xb") as packed:
        packed.write(json.dumps(listed).encode() + b"\n")
        for file in listed["files"]:
            reader = os.open(f"{data}{file['name']}", os.O_RDONLY | os.O_NOFOLLOW)
            try:
                left = file["size"]
                while left:
                    part = os.read(reader, min(left, _CHUNK))
                    if not part:
                        raise OSError("cut off while it was copied")
                    packed.write(part)
                    left -= len(part)
            finally:
                os.close(reader)


def _unpack(entry: Path, into: Path) -> None:
    """Make the folders and files of a template.

    Raises:
        OSError: The template cannot be read, or the files cannot be made.
        ValueError: It is shorter or longer than its list says.
    """
    with entry.open("rb") as packed:
        line = packed.readline(_LINE)
        content = memoryview(mmap.mmap(packed.fileno(), 0, prot=mmap.PROT_READ))[len(line) :]
    listed = json.loads(line)
    if len(content) != sum(file["size"] for file in listed["files"]):
        raise ValueError("the template is not as long as its list says")
    for folder in listed["folders"]:
        Path(f"{into}{folder['name']}").mkdir(mode=folder["mode"])
        _give(f"{into}{folder['name']}", folder["owner"])
    for file in listed["files"]:
        _write(f"{into}{file['name']}", content[: file["size"]], file)
        content = content[file["size"] :]


def _write(target: str, content: memoryview, file: dict[str, Any]) -> None:
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file["mode"])
    try:
        _give(writer, file["owner"])
        while content:
            content = content[os.write(writer, content) :]
    finally:
        os.close(writer)


def _give(copy: str | int, owner: list[int]) -> None:
    """Give a copy the owner of its original, if that is another user's, as only root sees them."""
    if owner[0] != os.geteuid():
        os.chown(copy, *owner)

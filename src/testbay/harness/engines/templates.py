"""Templates: initialised and migrated data directories in the cache, which a warm start copies.

An entry is a folder named by the hash of everything it was made from. Its seal, a list of every file with size and
time, is written last: an entry without a matching seal is incomplete or was tampered with, so it is removed and made
again. Copying is the longest part of a warm start, and done here: `cp -a` takes twice as long, as it asks for
attributes and ACLs that a data directory does not have, and the seal would need another pass.
"""

import contextlib
import json
import os
import shutil
import stat
import time
from pathlib import Path

_SEAL = "seal.json"
_DATA = "data"
_CHUNK = 1 << 20
_MAX_BYTES = 1 << 30
_MAX_AGE_S = 30 * 86400.0


def restore(entry: Path, into: Path) -> bool:
    """Copy an entry's data to `into`; return False, and remove the entry, if it is absent or damaged."""
    if not entry.is_dir():
        return False
    if _copied_whole(entry, into):
        with contextlib.suppress(OSError):
            os.utime(entry / _SEAL)  # last used now
        return True
    shutil.rmtree(into, ignore_errors=True)
    shutil.rmtree(entry, ignore_errors=True)
    return False


def _copied_whole(entry: Path, into: Path) -> bool:
    """Copy the data; return whether it matches the seal. Sizes and times are read while copying."""
    try:
        return _copy(f"{entry / _DATA}", f"{into}") == _read_seal(entry)
    except OSError:
        return False


def save(entry: Path, data: Path) -> bool:
    """Keep a copy of the `data` of a stopped server; return False if that failed, which only costs time later."""
    scratch = entry.parent / f".{entry.name}-{os.urandom(3).hex()}"
    try:
        if _bytes(data) > _MAX_BYTES:
            return False  # it would be removed at once
        scratch.mkdir(parents=True, mode=0o700)
        _copy(f"{data}", f"{scratch / _DATA}")
        (scratch / _SEAL).write_text(json.dumps(_listing(f"{scratch / _DATA}")), encoding="utf-8")
        scratch.rename(entry)
    except OSError:
        return (entry / _SEAL).exists()  # another run was first; else a full disk, or a link, which is not followed
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    prune(entry.parent)
    return True


def prune(folder: Path, *, max_bytes: int = _MAX_BYTES, max_age_s: float = _MAX_AGE_S) -> list[str]:
    """Remove entries not used for a month, and the least recently used beyond the size; returns their names."""
    entries = sorted(((_last_used(entry), entry) for entry in folder.iterdir() if entry.is_dir()), reverse=True)
    total = 0
    removed = []
    for used, entry in entries:
        total += _bytes(entry)
        if total > max_bytes or time.time() - used > max_age_s:
            shutil.rmtree(entry, ignore_errors=True)
            removed.append(entry.name)
    return removed


def _copy(source: str, target: str, inner: str = "") -> dict[str, list[int]]:
    """Copy folders and plain files with modes and owners; return the size and time of each file."""
    folder = Path(source + inner).stat()
    Path(target + inner).mkdir(mode=stat.S_IMODE(folder.st_mode))
    _give(target + inner, folder)
    found: dict[str, list[int]] = {}
    for entry in _entries(source + inner):
        name = f"{inner}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            found |= _copy(source, target, name)
        else:
            found[name] = _copy_file(source + name, target + name)
    return found


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _copy_file(source: str, target: str) -> list[int]:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        facts = os.fstat(reader)
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(facts.st_mode))
        try:
            _give(writer, facts)
            _pour(reader, writer, facts.st_size)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return [facts.st_size, facts.st_mtime_ns]


def _give(copy: str | int, facts: os.stat_result) -> None:
    """Give a copy the owner of its original, if that is another user's, as only root sees them."""
    if facts.st_uid != os.geteuid():
        os.chown(copy, facts.st_uid, facts.st_gid)


def _pour(reader: int, writer: int, size: int) -> None:
    done = 0
    while done < size:
        written = os.write(writer, os.pread(reader, min(size - done, _CHUNK), done))
        if not written:
            raise OSError("cut off while it was copied")
        done += written


def _listing(data: str, inner: str = "") -> dict[str, list[int]]:
    """Every file's size and time of change: shows what is missing, truncated or modified."""
    found: dict[str, list[int]] = {}
    for entry in _entries(data + inner):
        name = f"{inner}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            found |= _listing(data, name)
        else:
            facts = entry.stat(follow_symlinks=False)
            found[name] = [facts.st_size, facts.st_mtime_ns]
    return found


def _read_seal(entry: Path) -> object:
    try:
        return json.loads((entry / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _last_used(entry: Path) -> float:
    for file in (entry / _SEAL, entry):  # without its seal an entry counts as incomplete
        with contextlib.suppress(OSError):
            return file.stat().st_mtime
    return time.time()  # another process has just renamed or removed it


def _bytes(entry: Path) -> int:
    total = 0
    for folder, _, names in os.walk(entry):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - as above
    return total

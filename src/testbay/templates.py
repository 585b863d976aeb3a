"""Data directories kept between runs, initialised and migrated: a warm start copies one instead of making it.

An entry is a folder named by the hash of everything that went into it. Its seal, a listing of every file with size and
time, is written last: an entry without a seal, or one that does not match it, was half-made or tampered with; it is
removed and made again, never used.
"""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

from testbay import process

_SEAL = "seal.json"
_DATA = "data"
_MAX_BYTES = 1 << 30
_MAX_AGE_S = 30 * 86400.0


def restore(entry: Path, into: Path) -> bool:
    """Copy an entry's data to `into`; False, and the entry is gone, when there is none or it is damaged."""
    if not entry.is_dir():
        return False
    if _read_seal(entry) == _listing(entry / _DATA) and _copy(entry / _DATA, into):
        with contextlib.suppress(OSError):
            os.utime(entry / _SEAL)  # last used now
        return True
    shutil.rmtree(into, ignore_errors=True)
    shutil.rmtree(entry, ignore_errors=True)
    return False


def save(entry: Path, data: Path) -> bool:
    """Keep a copy of `data` (of a stopped server); False when it could not be kept, which costs only time later."""
    scratch = entry.parent / f".{entry.name}-{os.urandom(3).hex()}"
    try:
        scratch.mkdir(parents=True, mode=0o700)
        if not _copy(data, scratch / _DATA):
            return False
        (scratch / _SEAL).write_text(json.dumps(_listing(scratch / _DATA)), encoding="utf-8")
        scratch.rename(entry)
    except OSError:
        return False  # a full disk, or another run was first
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    prune(entry.parent)
    return True


def prune(folder: Path, *, max_bytes: int = _MAX_BYTES, max_age_s: float = _MAX_AGE_S) -> list[str]:
    """Remove entries nobody used for a month, and the least recently used beyond the size; returns their names."""
    entries = sorted(((_last_used(entry), entry) for entry in folder.iterdir() if entry.is_dir()), reverse=True)
    total = 0
    removed = []
    for used, entry in entries:
        total += _bytes(entry)
        if total > max_bytes or time.time() - used > max_age_s:
            shutil.rmtree(entry, ignore_errors=True)
            removed.append(entry.name)
    return removed


def _copy(source: Path, target: Path) -> bool:
    """With owners and times; a file system that can share blocks does."""
    flags = ["-a", "--reflink=auto"] if process.LINUX else ["-Rp"]
    return process.run(["cp", *flags, str(source), str(target)]).code == 0


def _listing(data: Path) -> list[list[object]]:
    """Every file's path, size and time of change: finds what is missing, cut off or written to since."""
    found: list[list[object]] = []
    for folder, _, names in os.walk(data):
        for name in names:
            facts = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a thousand files: a Path each is slow
            found.append([os.path.relpath(folder, data), name, facts.st_size, facts.st_mtime_ns])
    return sorted(found, key=str)


def _read_seal(entry: Path) -> object:
    try:
        return json.loads((entry / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _last_used(entry: Path) -> float:
    try:
        return (entry / _SEAL).stat().st_mtime
    except OSError:
        return entry.stat().st_mtime  # half-made: by somebody at work, or by somebody who died


def _bytes(entry: Path) -> int:
    total = 0
    for folder, _, names in os.walk(entry):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - as above
    return total

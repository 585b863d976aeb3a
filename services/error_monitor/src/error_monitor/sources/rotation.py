"""Log files through rotation: the file that continues what was read before, found by inode and by content."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from error_monitor.sources.records import MAX_LINE_BYTES, Gap

PACKED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip")
_MARK_BYTES = 512
_MOST_FILES = 64
_LOOKS = 10
_LEFT = re.compile(r"[.-][\w.:-]*\d[\w.:-]*")


@dataclass(frozen=True, kw_only=True)
class Known:
    """A file as the cursor remembers it.

    `head` and `tail` are a length and a hash of the bytes at its beginning and before `offset`. What was there before
    the monitor was is `ignored`. `skips` means that the offset is inside a line that is too long.
    """

    inode: int
    device: int
    offset: int
    size: int
    head: tuple[int, str]
    tail: tuple[int, str]
    modified: float
    is_current: bool
    ignored: bool = False
    skips: bool = False

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read the place from a cursor."""
        return cls(**{**entry, "head": tuple(entry["head"]), "tail": tuple(entry["tail"])})

    def as_json(self) -> dict[str, Any]:
        """Write the place for a cursor."""
        return {**vars(self), "head": list(self.head), "tail": list(self.tail)}


class Found:
    """A file that is there, held open: it stays the same file whatever becomes of its name."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.info = os.fstat(descriptor)
        self.has_more = False
        self._descriptor = descriptor
        length = min(_MARK_BYTES, self.info.st_size)
        self.known = Known(
            inode=self.info.st_ino,
            device=self.info.st_dev,
            offset=0,
            size=self.info.st_size,
            head=self._mark(0, length),
            tail=(0, ""),
            modified=self.info.st_mtime,
            is_current=False,
        )

    def close(self) -> None:
        os.close(self._descriptor)

    def continues(self, known: Known) -> bool:
        """Return whether its content is what was read before, with perhaps more behind it."""
        if self.info.st_size < known.offset or self._mark(0, known.head[0]) != known.head:
            return False
        return self._mark(known.offset - known.tail[0], known.tail[0]) == known.tail

    def copies(self, other: "Found") -> bool:
        """Return whether all there is of it is the beginning of the other one: `copytruncate` is at work."""
        size = self.info.st_size
        length = min(_MARK_BYTES, size)
        spans = ((0, length), (size - length, length))
        return size <= other.info.st_size and all(self._mark(*span) == other._mark(*span) for span in spans)  # noqa: SLF001

    def resume(self, known: Known) -> None:
        """Go on behind what was read of it before."""
        self.known = replace(known, inode=self.info.st_ino, device=self.info.st_dev)

    def read_on(self, most_bytes: int) -> list[bytes]:
        """Whole lines; of a file that was rotated away and is left alone also a last one without an end."""
        known, size = self.known, self.info.st_size
        is_left = not known.is_current and known.size == size
        self.known = replace(known, size=size, modified=self.info.st_mtime)
        if known.ignored or known.offset >= size:
            return []
        block = os.pread(self._descriptor, most_bytes, known.offset)
        lines, taken, skips = cut(block, skips=known.skips, is_end=is_left and len(block) < most_bytes)
        if not taken or os.fstat(self._descriptor).st_size < known.offset + len(block):
            return []  # nothing whole yet; or it was truncated under our eyes, which the next read looks into
        self.has_more = len(block) == most_bytes
        offset = known.offset + taken
        length = min(_MARK_BYTES, offset)
        head, tail = self._mark(0, length), self._mark(offset - length, length)
        self.known = replace(self.known, offset=offset, skips=skips, head=head, tail=tail)
        return lines

    def _mark(self, start: int, length: int) -> tuple[int, str]:
        content = os.pread(self._descriptor, length, start) if length > 0 else b""
        return len(content), hashlib.blake2b(content, digest_size=12).hexdigest() if content else ""


def cut(block: bytes, *, skips: bool, is_end: bool) -> tuple[list[bytes], int, bool]:
    """The lines of a block, how many bytes they are, and whether the last one is too long and goes on behind it."""
    end = len(block) if is_end else block.rfind(b"\n") + 1
    if end == 0:
        if len(block) < MAX_LINE_BYTES:
            return [], 0, skips
        line = block.lstrip(b"\0")[:MAX_LINE_BYTES]  # a file that was truncated under its writer begins with a hole
        return ([line] if line and not skips else []), len(block), skips or bool(line)
    lines = block[:end].split(b"\n")
    if not lines[-1]:
        lines.pop()
    if skips and lines:
        del lines[0]
    if end > MAX_LINE_BYTES and max(map(len, lines), default=0) > MAX_LINE_BYTES:
        lines = [line.lstrip(b"\0")[:MAX_LINE_BYTES] for line in lines]
    return lines, end, False


def is_left_by(path: str, other: str) -> bool:
    """Return whether this is a file that was rotated away from the other one: app.log.1, app.log-20260401."""
    return path.startswith(other) and bool(_LEFT.fullmatch(path[len(other) :]))


@contextmanager
def family(path: Path) -> Iterator[list[Found]]:
    """A file and what was rotated away from it, the oldest first, all held open.

    Raises:
        OSError: The folder cannot be read, or does not keep still.
    """
    for _ in range(_LOOKS):
        before = _listed(path)
        with ExitStack() as stack:
            found = []
            for name in before:
                try:
                    one = Found(path.parent / name, os.open(path.parent / name, os.O_RDONLY | os.O_NONBLOCK))
                except FileNotFoundError:
                    break
                stack.callback(one.close)
                found.append(one)
            # A rename while the folder is listed can show a file twice, or not at all.
            if {one.path.name: one.info.st_ino for one in found} == before == _listed(path):
                found.sort(key=lambda one: _age(one, path))
                yield found[-_MOST_FILES:]
                return
    raise OSError(errno.EBUSY, "the folder changes faster than it can be listed")


def _listed(path: Path) -> dict[str, int]:
    """The inode of each file by its name; none in a folder that is gone, as that of a Kubernetes pod is one day."""
    listed: dict[str, int] = {}
    try:
        entries = os.scandir(path.parent)
    except FileNotFoundError:
        return listed
    for entry in entries:
        if (entry.name == path.name or is_left_by(entry.name, path.name)) and not entry.name.endswith(PACKED):
            try:
                info = entry.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(info.st_mode):
                listed[entry.name] = info.st_ino
    return listed


def matched(
    known: Sequence[Known], here: Sequence[Found], path: Path, since: float | None
) -> tuple[list[Found], list[Gap]]:
    """The files to read, in order, each where it was left; and what is missing. `since` is set for the first look."""
    resumed, lost = _resumed(known, here)
    free = [file for file in here if file not in resumed]
    fresh = [file for file in free if file.path == path or not any(file.copies(other) for other in resumed)]
    for file in fresh:
        # What is new is read from its beginning, except what was left there long before the first look.
        is_old = since is not None and file.path != path and file.info.st_mtime < since
        file.known = replace(file.known, ignored=is_old)
    to_read = [file for file in here if file in resumed or file in fresh]
    for file in to_read:
        is_current = file.path == path
        # A file that has just been rotated away is waited for once more before its last, unfinished line is taken.
        was_left = file.known.is_current != is_current
        file.known = replace(file.known, is_current=is_current, size=-1 if was_left else file.known.size)
    return to_read, [_gap(one, here, path) for one in lost if one.is_current or one.offset < one.size]


def _resumed(known: Sequence[Known], here: Sequence[Found]) -> tuple[list[Found], list[Known]]:
    """Go on with the files that are known; return them, and what of the known is not there any more."""
    free, lost = list(here), list(known)
    for find in (_same, _moved):  # what is where it was comes first: only the rest can have been moved
        for one in lost[:]:
            if file := find(one, free):
                lost.remove(one)
                free.remove(file)
                file.resume(one)
    return [file for file in here if file not in free], lost


def _same(known: Known, free: Sequence[Found]) -> Found | None:
    """The file of the same inode, unless that was truncated or is used again."""
    for file in free:
        if (file.info.st_ino, file.info.st_dev) == (known.inode, known.device) and file.continues(known):
            return file
    return None


def _moved(known: Known, free: Sequence[Found]) -> Found | None:
    """A copy of it, which is how `copytruncate` rotates."""
    if known.ignored or known.head[0] == 0:
        return None
    return next((file for file in free if file.continues(known)), None)


def _gap(known: Known, here: Sequence[Found], path: Path) -> Gap:
    is_truncated = any(file.info.st_ino == known.inode and file.path == path for file in here)
    kind = "truncated" if is_truncated else "deleted"
    detail = f"{path.name} was {kind} after its first {known.offset} bytes were read; what came behind them is lost"
    return Gap(kind=kind, detail=detail, since=datetime.fromtimestamp(known.modified, UTC), until=datetime.now(UTC))


def _age(file: Found, path: Path) -> tuple[int, float, float]:
    """Sorts the oldest first: app.log.2, app.log.1, app.log; others by their time."""
    if file.path == path:
        return 1, 0, 0
    number = file.path.name.removeprefix(path.name)[1:]
    return (
        (0, 0, -int(number))
        if number.isascii() and number.isdigit() and len(number) < 6
        else (0, file.info.st_mtime, 0)
    )

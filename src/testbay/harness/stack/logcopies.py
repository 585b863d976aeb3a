"""Logs in a run's record: copied while they grow, and masked in passing, so that a kill leaves no raw copy."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

_HEAD_BYTES = _TAIL_BYTES = 4 << 20
_PIECE_BYTES = 1 << 20
_LINE_BYTES = 64 << 10  # a line that is longer is copied in parts
_HELD_BYTES = 16 << 10  # of such a line: the longest value, encoded


class Copies:
    """Masked copies, in `target`, of all logs in a stack's folder.

    Call `catch_up` regularly, and `close` when the stack is gone. `mask` takes secrets out of whole lines.
    """

    def __init__(self, target: Path, mask: Callable[[str], str]) -> None:
        self._target = target
        self._mask = mask
        self._sources: list[Path] = []
        self._copies: dict[Path, _Copy] = {}

    def follow(self, folder: Path, *, from_now: bool = False) -> None:
        """Copy the logs in a folder; with `from_now`, only lines added from now on."""
        self._sources.append(folder)
        for log in sorted(folder.glob("*.log")) if from_now else ():
            self._copies[log] = _Copy(log, self.path_of(log), self._mask, log.stat().st_size)

    def add(self, log: Path) -> None:
        """Copy a log from its beginning."""
        self._copies[log] = _Copy(log, self.path_of(log), self._mask, 0)

    def path_of(self, log: Path) -> Path:
        return self._target / log.name

    def catch_up(self) -> None:
        """Copy new lines. An opened log is copied to its end, even if its folder is deleted."""
        for log in (log for folder in self._sources for log in sorted(folder.glob("*.log"))):
            if log not in self._copies:
                self._copies[log] = _Copy(log, self.path_of(log), self._mask, 0)
        for copy in self._copies.values():
            copy.catch_up()

    def close(self) -> None:
        """Copy the rest of each log, and close the copies."""
        self.catch_up()
        for copy in self._copies.values():
            copy.close()
        self._copies, self._sources = {}, []


class _Copy:
    """The copy of one log: its first and its last 4 MiB, so that a chatty server does not fill the disk twice."""

    def __init__(self, log: Path, target: Path, mask: Callable[[str], str], start: int) -> None:
        self._mask = mask
        self._log: IO[bytes] | None = None
        self._copy: IO[bytes] | None = None
        self._paths = (log, target)
        self._start = start
        self._line = b""
        self._room = _HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._left_out = 0

    def catch_up(self) -> None:
        try:
            self._log = self._log or self._paths[0].open("rb")
            self._log.seek(self._start)
            while piece := self._log.read(_PIECE_BYTES):
                self._start += len(piece)
                self._take(self._line + piece)
            if os.fstat(self._log.fileno()).st_ino != self._paths[0].stat().st_ino:  # another of that name
                self._log.close()
                self._log, self._start = None, 0
        except OSError:
            return  # no log yet, or a disk that takes no more: the run itself says that

    def _take(self, text: bytes) -> None:
        """Write only whole lines: a secret that is split would be found in neither half."""
        lines, newline, self._line = text.rpartition(b"\n")
        if len(self._line) > _LINE_BYTES:
            at = self._cut(text)
            lines, newline, self._line = text[:at], b"", text[at:]
        if lines or newline:
            self._write(lines + newline)

    def _cut(self, text: bytes) -> int:
        """Find where to split a very long line without splitting a secret."""
        for held in range(_HELD_BYTES, min(len(text), 4 * _HELD_BYTES), _HELD_BYTES // 4):
            at = len(text) - held
            near = text[max(0, at - _HELD_BYTES) :]
            before, behind = near[: len(near) - held], near[len(near) - held :]
            if self._masked(before) + self._masked(behind) == self._masked(near):
                return at
        return len(text) - _HELD_BYTES

    def _masked(self, text: bytes) -> bytes:
        return self._mask(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def _write(self, lines: bytes) -> None:
        masked = self._masked(lines)
        head, rest = masked[: self._room], masked[self._room :]
        self._room -= len(head)
        if head:
            self._copy = self._copy or self._paths[1].open("wb")
            self._copy.write(head)
            self._copy.flush()
        if rest:
            self._tail.append(rest)
            while sum(map(len, self._tail)) > _TAIL_BYTES + _PIECE_BYTES:
                self._left_out += len(self._tail.popleft())

    def close(self) -> None:
        try:
            if self._line:
                self._write(self._line)
            if self._copy is not None and self._tail:
                if self._left_out:
                    self._copy.write(f"\n… {self._left_out} bytes left out here …\n".encode())
                self._copy.writelines(self._tail)
        except OSError:
            pass
        for file in (self._log, self._copy):
            if file is not None:
                file.close()

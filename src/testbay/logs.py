"""Reading other programs' logs: bounded, and safe for any bytes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from testbay.text import visible

_LINE_BYTES = 350  # of tails: so many on average at most
_WINDOW_BYTES = 64 << 10
_WINDOW_LINES = 200
_LINE_CHARACTERS = 2000
_CHUNK_BYTES = 1 << 20


class Log(NamedTuple):
    """A log of which failed tests show their part.

    `databases` restricts PostgreSQL's log to those of a lease. `tested` marks the log of the service under test: an
    exception there may be the reason why a test fails.
    """

    file: Path
    databases: tuple[str, ...] | None = None
    tested: bool = False


class Window(NamedTuple):
    """A part of a log: its last lines, printable, and the number of lines before them."""

    lines: list[str]
    hidden: int

    def text(self, log: str) -> str:
        """Join the lines, after a line that counts the hidden ones in the file `log`."""
        more = [f"… {self.hidden} lines more in {log}"] if self.hidden else []
        return "\n".join(more + self.lines)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, printable; empty if it does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - lines * _LINE_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return visible("\n".join(text.splitlines()[-lines:]))


def window(log: Path, start: int, relevant: Callable[[list[str]], list[str]] = list) -> Window:
    """Read the part of a log that was written since it was `start` bytes long.

    Args:
        log: The file; a missing one counts as empty.
        start: The file's size at the window's beginning; not a time, as a container's clock may be wrong.
        relevant: Selects lines. Lines before the last 64 KB are only counted, relevant or not.
    """
    found, hidden = _read(log, start)
    lines = relevant(found) if found else []
    hidden += max(0, len(lines) - _WINDOW_LINES)
    return Window([_shortened(line) for line in lines[-_WINDOW_LINES:]], hidden)


def since(log: Path, start: int) -> list[str]:
    """The whole lines of a log since it was `start` bytes long, of the last 64 KB."""
    return _read(log, start)[0]


def _read(log: Path, start: int) -> tuple[list[str], int]:
    """Read the lines of the last 64 KB since `start`, printable, and count those before."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            shown_from = max(start, end - _WINDOW_BYTES)
            hidden = _count_lines(file.fileno(), start, shown_from)
            file.seek(shown_from)
            text = file.read(_WINDOW_BYTES).decode(errors="replace")
    except OSError:
        return [], 0
    return (visible(text).rstrip("\n").split("\n") if text.strip() else []), hidden


def _count_lines(log: int, start: int, end: int) -> int:
    """Count lines, with only a chunk of the log in memory at a time."""
    count = 0
    while start < end and (chunk := os.pread(log, min(_CHUNK_BYTES, end - start), start)):
        count += chunk.count(b"\n")
        start += len(chunk)
    return count


def _shortened(line: str) -> str:
    more = len(line) - _LINE_CHARACTERS
    return line if more <= 0 else f"{line[:_LINE_CHARACTERS]}… {more} characters more"

"""Crashes that the table knows: which line begins one, and what its lines say."""

from collections.abc import Mapping, Sequence

from error_monitor.reading.crashtable import ROWS, Crash
from error_monitor.reading.event import Failure, Frame, called
from error_monitor.reading.headers import Header
from error_monitor.reading.levels import level_of
from error_monitor.reading.tables import by_first

BY_FIRST = by_first(ROWS)


def begun(text: str) -> Crash | None:
    """Find the row of a crash that a line begins."""
    for row in BY_FIRST.get(text[:1], ()):
        if row.needs in text and row.begins.match(text):
            return row
    return None


def read(row: Crash, lines: Sequence[str]) -> Failure:
    """Read the exception: what the first line says, else what stands below; frames innermost last."""
    said = _said(row, lines)
    calls = [call.groupdict() for text in lines if (call := row.call.match(text))]
    frames = [made for call in calls if (made := _frame(row, call))]
    if not any(frame.in_app for frame in frames) and (own := _frame(row, said)):
        frames = [own, *frames]
    return Failure(type=said.get("type") or row.kind, message=said.get("message") or "", frames=tuple(reversed(frames)))


def header(row: Crash, lines: Sequence[str]) -> Header:
    """Read the head of a record that is a block of fields; without a level it reports no error."""
    said = _said(row, lines)
    level = level_of(said.get("level", ""))
    return Header(level or "info", said.get("message") or said.get("last") or "", time=said.get("time"))


def _said(row: Crash, lines: Sequence[str]) -> dict[str, str]:
    """The groups of the lines that say something; what is said first counts."""
    found: dict[str, str] = {}
    for at, text in enumerate(lines):
        match = row.says.match(text) if at or row.above or row.block else row.begins.match(text)
        if match:
            found = {name: value for name, value in match.groupdict().items() if value} | found
    return found


def _frame(row: Crash, groups: Mapping[str, str | None]) -> Frame | None:
    """A frame, if the groups name a place."""
    file, function = groups.get("file") or "", groups.get("function") or ""
    if not (file or function):
        return None
    own = not (row.library.search(file) or row.library.search(function))
    return called(file, function, groups.get("line"), own=own)

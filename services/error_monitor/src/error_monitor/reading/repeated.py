"""Tracebacks whose every line carries what only a header should: a logger's prefix, or a JSON object of its own."""

import re
from collections.abc import Callable

from error_monitor.reading import foreign, languages, tracebacks
from error_monitor.reading.line import Line
from error_monitor.reading.phases import Open

Goes = Callable[[Open, Line], bool]
BEGINS = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):\s*$")
BELOW = re.compile(r"\s|\[SQL: |\[parameters: |\(Background on this error |DETAIL: |$")
"""What may stand below `Type: message` where the next line of the same logger may as well be another record."""
DIGIT = re.compile(r"\d")


def continues(record: Open | None, line: Line, goes_on: Goes) -> bool:
    """Add a line that has the prefix of the line which opened the traceback; False where it is another record."""
    if record is None or not record.traceback or record.header is None:
        return False
    first = record.lines[0].text
    at = languages.rails(first) if record.phase == "stack" else _begins(first)
    if at is None:
        return False
    whole = line.text
    if at == 0 or DIGIT.sub("0", first[:at]) != DIGIT.sub("0", whole[:at].ljust(at)):
        return False
    line.text = whole[at:]
    if _fits(record, line.text) and goes_on(record, line):
        return True
    line.text = whole
    return False


def _begins(first: str) -> int | None:
    found = BEGINS.search(first)
    return found.start() if found else None


def wrapped(record: Open | None, line: Line) -> bool:
    """Tell whether a JSON record is one line of a traceback that a collector took for a record of its own."""
    if line.exception is not None:
        return False
    if tracebacks.opening(line.text):
        return True
    if record is None or not record.traceback or not line.text.strip():
        return False
    return _fits(record, line.text) and (line.text[0] in " \t|+" or _margin(line.text))


def _fits(record: Open, text: str) -> bool:
    if record.phase == "stack":
        return foreign.stacked(text) or not text.strip()
    if record.phase == "message":
        return bool(BELOW.match(text) or tracebacks.CHAIN.match(text))
    return record.phase in ("frames", "group", "between")


def _margin(text: str) -> bool:
    return tracebacks.failure_line(text) or bool(tracebacks.CHAIN.match(text))

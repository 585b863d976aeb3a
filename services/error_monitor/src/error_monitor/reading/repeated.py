"""Tracebacks whose every line carries what only a header should: a logger's prefix, or a JSON object of its own."""

import re
from collections.abc import Callable

from error_monitor.reading import foreign, languages, tracebacks
from error_monitor.reading.headers import Header
from error_monitor.reading.line import Line
from error_monitor.reading.phases import Open

Goes = Callable[[Open, Line], bool]
BEGINS = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):\s*$")
BELOW = re.compile(r"\s|\[SQL: |\[parameters: |\(Background on this error |DETAIL: |$")
"""What may stand below `Type: message` where the next line of the same logger may as well be another record."""
FINE = re.compile(r":\d\d[.,]\d{3}")
"""A time so exact that two lines which share it are of one call."""
EXACT = re.compile(r"[.,]\d{6}")
ERLANG = re.compile(r"<\d+\.\d+\.\d+> ")
"""The process that writes; since OTP 21 its loggers may put the head before each line of a message."""
CALLED = "Traceback (most recent call last):"
REPORTERS = ("AndroidRuntime", "DEBUG", "libc")
"""Android's, of what has ended a process."""
BACKTRACE = re.compile(
    r"(?:\[\S+\] )?(?:#\d+: |Backtrace \(use |Envoy version: )"
    r"|(?i:called from:?|(?:stack ?|back)?trace(?:back)?:|call stack:)$"
)
LOGCAT = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\s+\d+\s+\d+ [VDIWEFA] ")
"""Android puts the head of a message before each line of it."""
INDENT = re.compile(r" {2,}")
HEAD_CHARS = 200
DEEPER = 2
"""So many blanks more than before the first line of a message show that a line goes on with the one before."""
DIGIT = re.compile(r"\d")


def continues(record: Open | None, line: Line, goes_on: Goes) -> bool:
    """Add a line that has the prefix of the line which opened the traceback; False where it is another record."""
    if record is None or not record.traceback or record.header is None:
        return False
    first = record.call + CALLED if record.call else record.lines[0].text
    at = languages.rails(first) if record.phase == "stack" else _begins(first)
    if at is None:
        return False
    whole = line.text
    if at == 0 or DIGIT.sub("0", first[:at]) != DIGIT.sub("0", whole[:at].ljust(at)):
        return False
    line.text = whole[at:]
    is_one_call = record.phase == "message" and FINE.search(first[:at]) and first[:at] == whole[:at]
    if (is_one_call or _fits(record, line.text)) and goes_on(record, line):
        record.sure = True
        return True
    line.text = whole
    return False


def same_call(record: Open, line: Line, header: Header, *, starts: bool) -> bool:
    """Add a line whose header another line of the same call has too: a formatter put it before each, oslo's does.

    A traceback below a message of the same moment opens; the stack of another language goes on.
    """
    above = record.header
    if above is None or record.phase != "text" or record.level != header.level or above.logger != header.logger:
        return False
    rest = None if starts else _rest(record, line, header)
    if rest is not None:
        line.text = rest
        return record.add(line)
    begins = BEGINS.search(line.text) if starts else None
    if begins is None or above.time is None or above.time != header.time or len(record.lines) != 1:
        return False
    if not record.lines[0].text.startswith(line.text[: len(line.text) - len(header.message)].rstrip(" ")):
        return False
    record.call = line.text[: begins.start()]
    record.traceback, record.phase = True, "group" if "Group" in begins[0] else "frames"
    return record.add(line)


def _rest(record: Open, line: Line, header: Header) -> str | None:
    """The text behind the head that a line has in common with the first one, where it goes on with its message."""
    first, text = record.lines[0].text, line.text
    if said := ERLANG.match(header.message):
        is_one = record.header and record.header.message.startswith(said[0]) and record.header.time == header.time
        return header.message[said.end() :] if is_one and EXACT.search(header.time or "") else None
    if foreign.STACK.match(header.message) or (record.header and _announced(record, record.header, header)):
        return text if header.alone else header.message
    if "  " not in text:
        return None
    if (said := LOGCAT.match(text)) and first.startswith(f"{said[0]}{header.logger}"):
        return header.message
    said_at = len(text) - len(header.message) if text.endswith(header.message) else HEAD_CHARS
    for run in INDENT.finditer(text, 1, HEAD_CHARS):
        at = run.start()
        if run.end() < said_at:
            continue
        if DIGIT.sub("0", first[:at]) != DIGIT.sub("0", text[:at]):
            break
        if 0 < len(first) - len(first[at:].lstrip(" ")) - at <= len(run[0]) - DEEPER:
            return text[at:]
    return None


def _announced(record: Open, above: Header, header: Header) -> bool:
    """Return whether a line is the next one of a report that its program logs line by line."""
    if above.logger in REPORTERS:
        return above.worker == header.worker
    if BACKTRACE.match(header.message):
        return True
    return (
        above.message.endswith(":") and above.time is not None and above.time == header.time and len(record.lines) == 1
    )


def _begins(first: str) -> int | None:
    found = BEGINS.search(first)
    return found.start() if found else None


def wrapped(record: Open | None, line: Line) -> bool:
    """Return whether a JSON record is one line of a traceback that a collector took for a record of its own."""
    if line.exception is not None:
        return False
    if tracebacks.opening(line.text):
        return True
    if record is None or not record.traceback or not line.text.strip():
        return False
    return _fits(record, line.text) and (
        line.text[0] in " \t|+" or tracebacks.failure_line(line.text) or bool(tracebacks.CHAIN.match(line.text))
    )


def _fits(record: Open, text: str) -> bool:
    if record.phase == "stack":
        return foreign.stacked(text) or not text.strip()
    if record.phase == "message":
        return bool(BELOW.match(text) or tracebacks.CHAIN.match(text))
    return record.phase in ("frames", "group", "between")

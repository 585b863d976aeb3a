"""The phases of a record: one function for each, which decides about one line."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from error_monitor.reading import crashes, dialects, foreign, frames, heads, languages, runtimes, tracebacks
from error_monitor.reading.crashtable import Crash
from error_monitor.reading.headers import Header
from error_monitor.reading.line import Line

OPENER = re.compile(
    r"Exception in thread |Exception ignored |Exception ignored in|(?:Task|Future) exception was never retrieved"
    r"|Exception in callback |Error in atexit|Exception in ASGI application|Un(?:handled|caught|expected) exception"
    r"|Process [\w.:-]+:$|--- Logging error(?: in Loguru Handler #\d+)? ---|exception calling callback"
    r"|Error in sys\.excepthook|Exception in worker process"
)
"""What Python and its servers print before a traceback, without a level."""
CREATED = re.compile(r"(?:source_traceback|Object created|Task was created)[^(]*\(most recent call last\)")
QUOTE = '"""'
KEPT_LINES, SPARE_LINES = 1500, 300
BLANKS, NOISE = 12, 20
_SHOWN = 4  # lines before those of the source that Ruby shows
_BRACED = 60
_SAID_LINES = 12  # of a message above its stack


@dataclass(slots=True)
class Open:
    """A record whose end has not been seen."""

    level: str | None
    phase: str
    header: Header | None = None
    lines: list[Line] = field(default_factory=list)
    blanks: list[Line] = field(default_factory=list)
    traceback: bool = False
    stamped: bool = False
    headered: bool = True
    """Records of this stream have headers, so a message goes on until the next one, also over blank lines."""
    levelled: bool = False
    """Only the collector named a level, and does so for each line: a line of another level is another record."""
    alone: bool = False
    """Tracebacks of this stream have no header, so the next one is not the rest of this record."""
    sure: bool = False
    """A second line has stood behind `call`: a formatter writes it, and the message is part of this record."""
    created: bool = False
    """asyncio shows where the object was made; the exception follows."""
    quoted: bool = False
    indent: int = 0
    """How far the whole traceback is indented, as rich and tornado print it."""
    call: str = ""
    """What stands before each line of the traceback, where the record's first line is its message."""
    gaps: bool = False
    """Lines of other records stand between its own."""
    crash: Crash | None = None
    """The row of the table that it is."""
    noise: int = 0
    age: int = 0

    def add(self, line: Line) -> bool:
        """Add a line. Of a record without end, the beginning and the end are kept."""
        for added in (*self.blanks, line):
            before = self.lines[-1].numbers[-1] if self.lines else added.numbers[0]
            self.gaps = self.gaps or (added.numbers[0] > before + 1 and not added.joined)
            self.lines.append(added)
        self.blanks = []
        if len(self.lines) > KEPT_LINES + 2 * SPARE_LINES:
            del self.lines[KEPT_LINES : KEPT_LINES + SPARE_LINES]
        return True

    def enter(self, phase: str, line: Line) -> bool:
        """Add a line that begins a phase."""
        self.phase = phase
        self.noise = 0
        return self.add(line)

    def opens(self, phase: str, line: Line) -> bool:
        """Add a line that opens a traceback."""
        self.traceback = True
        self.stamped = line.stamped
        self.indent = 0 if phase == "group" else tracebacks.indent_of(line.text)
        return self.enter(phase, line)


def goes_on(record: Open, line: Line) -> bool:
    """Add a line to a record if it belongs there; False where it begins something else."""
    if not line.text.strip():
        record.blanks.append(line)
        return len(record.blanks) <= BLANKS
    return PHASES[record.phase](record, line)


def _text(record: Open, line: Line) -> bool:
    """Take a line after a header: the rest of its message, or its traceback."""
    if record.levelled and not line.part and _apart(record, line):
        return False
    if begins := tracebacks.opening(line.text):
        return not record.alone and record.opens(begins, line)
    if _foreign(record, line) or (not record.headered and record.blanks) or _beyond(record, line):
        return False
    if OPENER.match(line.text) and record.header and not OPENER.match(record.header.message):
        return False
    goes_far = foreign.STACK.match(line.text) or frames.framed(line.text) or len(record.lines) > 4
    if record.level is None and not _made_at(record, line) and goes_far:
        return _named(record, line)
    return record.add(line)


def _beyond(record: Open, line: Line) -> bool:
    """Return whether a line stands below what a tool says in one line, among others that have no level."""
    header = record.header
    is_brief = header and (header.placed or (header.alone and record.level in ("warning", "error")))
    return bool(is_brief) and not (line.text[0] in " \t" or foreign.stacked(line.text))


def _frames(record: Open, line: Line) -> bool:
    """Below `Traceback`: indented lines, then the exception at the margin."""
    text = _inside(record, line)
    is_source = tracebacks.flat(record.lines[-1].text) and not (tracebacks.typed(text) or tracebacks.opening(text))
    if text[0] in " \t>" or tracebacks.flat(text) or is_source:
        return record.add(line)
    if tracebacks.opening(line.text):
        return False
    if tracebacks.CHAIN.match(text):
        return record.enter("between", line)
    if tracebacks.failure_line(text) and not _foreign(record, line):
        return record.enter("message", line)
    if text is not line.text:
        return record.add(line)  # a line of source that rich broke at its width
    return _disturbed(record)


def _box(record: Open, line: Line) -> bool:
    """Inside rich's box."""
    text = line.text.strip()
    if text[0] in tracebacks.BOX_ENDS:
        return record.enter("boxed", line)
    return record.add(line) if text[0] in tracebacks.BOX_CHARS else _disturbed(record)


def _boxed(record: Open, line: Line) -> bool:
    """Below rich's box: the exception."""
    if tracebacks.CHAIN.match(line.text):
        return record.enter("between", line)
    if tracebacks.opening(line.text) == "box" or line.text.strip()[0] in tracebacks.BOX_TOPS:
        return record.enter("box", line)
    return tracebacks.failure_line(_inside(record, line)) and record.enter("message", line)


def _named(record: Open, line: Line) -> bool:
    """Below a bare `Type: message`, which may have a few more lines: only a stack makes it an event."""
    is_far = record.phase == "named" and len(record.lines) > 1
    is_called = foreign.framed(line.text) or languages.RUBY_CALL.match(line.text)
    is_frame = is_called if is_far else foreign.STACK.match(line.text)
    if not (is_frame or frames.framed(line.text)):
        goes_on = record.phase == "named" and len(record.lines) < _SAID_LINES
        return goes_on and not _begins(record, line) and record.add(line)
    record.level = "error"
    return record.opens("stack", line)


def _begins(record: Open, line: Line) -> bool:
    """Return whether a line may begin a record of its own."""
    text = line.text
    named = foreign.NAMED.match(text) or languages.begins(text) or runtimes.begins(text) or OPENER.match(text)
    begins = named or crashes.begun(text) or tracebacks.opening(text) or _foreign(record, line)
    return bool(begins) or line.level in ("error", "critical")


def _foreign_stack(record: Open, line: Line) -> bool:
    """Inside the stack of another language."""
    rust = foreign.RUST.match(record.lines[0].text) if len(record.lines) == 1 else None
    shown = line.text[0] == " " and len(record.lines) <= _SHOWN and languages.RUBY.match(record.lines[0].text)
    caused = line.text[0] == " " and record.lines[-1].text == "Caused by:"
    belongs = (
        foreign.stacked(line.text)
        or frames.framed(line.text)
        or caused
        or shown
        or _braced(record)
        or (rust and rust["below"])
    )
    return bool(belongs) and record.add(line)


def _braced(record: Open) -> bool:
    """Tell whether a line stands in the braces in which Node prints what an error has beside its stack."""
    return record.lines[-1].text != "}" and any(line.text.endswith(" {") for line in record.lines[-_BRACED:])


def _loose(record: Open, line: Line) -> bool:
    """Below what may be the first frame of a stack in an unknown grammar: a second one makes it an event."""
    if frames.framed(line.text):
        record.traceback, record.level = True, "error"
    return (line.text[0] in " \t#") and record.add(line)


def _crash(record: Open, line: Line) -> bool:
    """Below the first line of a crash."""
    row = record.crash
    is_over = row is None or (row.block and record.blanks) or crashes.begun(line.text)
    return not is_over and bool(row and row.goes.match(line.text)) and record.add(line)


def _group(record: Open, line: Line) -> bool:
    """Inside an exception group: everything stands behind bars."""
    if line.text.lstrip()[0] in "|+":
        return record.add(line)
    if not tracebacks.CLOSED.match(record.lines[-1].text):
        return record.add(line)  # a member's message: Python puts no bars before its other lines
    if line.text.startswith(tracebacks.BELOW_ALL):
        return record.enter("message", line)
    return bool(tracebacks.CHAIN.match(line.text)) and record.enter("between", line)


def _between(record: Open, line: Line) -> bool:
    """Between two exceptions of a chain."""
    begins = tracebacks.opening(line.text)
    return begins is not None and record.enter(begins, line)


def _message(record: Open, line: Line) -> bool:
    """Below `Type: message`: more lines of it, notes, or the next exception of the chain."""
    text = line.text
    if text == QUOTE:
        record.quoted = not record.quoted
        return record.add(line)
    if record.quoted or (text.lstrip()[0] in tracebacks.BOX_TOPS and tracebacks.BOX_MEMBER.search(text)):
        return record.add(line)
    if tracebacks.CHAIN.match(text):
        return record.enter("between", line)
    if record.lines[-1].text == tracebacks.LOGURU_ENDS:
        return False
    begins = tracebacks.opening(text) or OPENER.match(text) or foreign.PANIC.match(text)
    is_over = (record.blanks and not record.headered) or begins or _foreign(record, line)
    return not is_over and record.add(line)


def _inside(record: Open, line: Line) -> str:
    """The text without the indent of its traceback."""
    indent = record.indent
    return line.text[indent:] if indent and not line.text[:indent].strip() else line.text


def _made_at(record: Open, line: Line) -> bool:
    """Return whether a line shows where asyncio made the object that failed."""
    begins = bool(CREATED.match(line.text))
    record.created = record.created or begins
    return begins or (record.created and line.text[0] in " \t")


def _apart(record: Open, line: Line) -> bool:
    """Return whether a line that has a level of its collector's is a message of its own."""
    opens = tracebacks.opening(line.text) or OPENER.match(line.text) or foreign.STACK.match(line.text)
    return line.level != record.lines[0].level or not (opens or line.text[0] in " \t")


def _foreign(record: Open, line: Line) -> bool:
    """Return whether a line with a time of its own stands among lines that have none."""
    if record.header and len(record.lines) == 1 and heads.CODES.match(record.header.message):
        return line.time not in (record.header.time, record.lines[0].time)
    alone = not record.stamped or bool(record.header and record.header.logger == dialects.PHP_LOGGER)
    return line.stamped and alone and line.text[0] not in " \t"


def _disturbed(record: Open) -> bool:
    """Pass over a line of another writer, a few times."""
    record.noise += 1
    return record.noise <= NOISE


PHASES: dict[str, Callable[[Open, Line], bool]] = {
    "text": _text,
    "frames": _frames,
    "box": _box,
    "boxed": _boxed,
    "group": _group,
    "between": _between,
    "message": _message,
    "stack": _foreign_stack,
    "named": _named,
    "loose": _loose,
    "crash": _crash,
}

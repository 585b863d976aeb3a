"""Records, joined from the lines of one stream."""

from error_monitor.reading import crashes, foreign, frames, languages, repeated, runtimes, tracebacks, words
from error_monitor.reading.crashtable import Crash
from error_monitor.reading.headers import Header, header_of
from error_monitor.reading.line import Line
from error_monitor.reading.phases import OPENER, Open, goes_on

ALARMING = ("warning", "error", "critical")
REPORTED = ("error", "critical")
PATIENCE = 200
"""How many records of its stream an interrupted traceback waits for its rest."""
HEAD_LINES, ABOVE_LINES = 60, 8
CONTINUES = ("", " ", "\t", "|", ">")
"""What the first lines of a stream begin with where they are the rest of a traceback."""
HABIT, BARE_HABIT = 20, 2
"""How far the habit of a stream counts, and from where on its tracebacks are taken to have no headers."""


class Joiner:
    """Joins the lines of one stream. `feed` and `flush` return the records that ended."""

    def __init__(self) -> None:
        """Begin before the first line: what comes may be the rest of a traceback."""
        self.open: Open | None = None
        self.waiting: Open | None = None
        self.headered = False
        self.fresh = True
        self.above: list[Line] = []
        """A line in no record, and the indented ones below it: a stack may follow that names no exception."""
        self.told: list[Line] = []
        """Warnings of JSON, which the stack of an exception may follow as a record of its own."""
        self.head: list[Line] = []
        self.stack = False
        self.timeless = False
        """A record without a time has begun in this stream: the next one may be such a record too."""
        self.bare = 0
        """Above 0: tracebacks of this stream have come without a header, as far as it was seen."""
        self.ended: list[Open] = []

    def feed(self, line: Line, header: Header | None) -> list[Open]:
        """Take one line; the records that it ended."""
        if header is not None and not header.time and (self._named(line) or self._below(line, header)):
            header = None
        if header is not None:
            if not repeated.continues(self.open, line, goes_on):
                self._record(line, header)
        elif line.whole and not repeated.wrapped(self.open, line):
            self._whole(line)
        elif self.open is not None or self._matters(line):
            self._text(line)
        self._look_back(line, is_text=header is None and self.open is None and not line.whole)
        return self._taken() if self.ended else self.ended

    def _look_back(self, line: Line, *, is_text: bool) -> None:
        """Keep a line that stands in no record, and the indented ones below it."""
        if not is_text:
            self.above = []
        elif line.text[:1] not in CONTINUES:
            self.above = [line]
        elif self.above:
            self.above = [*self.above, line] if line.text and len(self.above) < ABOVE_LINES else []

    def flush(self) -> list[Open]:
        """End what is open: the input is over."""
        self._close()
        self._stop_waiting()
        return self._taken()

    def pending(self) -> list[Line]:
        """The lines of what is open: fed again, they open it again."""
        records = [record for record in (self.waiting, self.open) if record]
        return (
            [line for record in records for line in (*record.lines, *record.blanks)]
            or self.head
            or self.above
            or self.told
        )

    def cut_off(self) -> bool:
        """Return whether what is pending is the rest of a traceback whose beginning was never seen."""
        record = self.waiting or self.open
        return bool(self.head) or bool(record and not record.header and record.lines[0].text[:1] in CONTINUES)

    def _taken(self) -> list[Open]:
        ended, self.ended = self.ended, []
        return ended

    def _matters(self, line: Line) -> bool:
        """Tell quickly whether a line without a header can begin anything."""
        if self.fresh or self.head or self.waiting or line.level in REPORTED:
            return True
        text = line.text
        if text[:1] in (" ", "\t", "#") and (text.lstrip().startswith("at ") or frames.HINT.search(text)):
            return True
        if words.hinted(text) or crashes.begun(text):
            return True
        is_timed = line.stamped or line.time is not None
        return not self.headered and words.may_tell(text) and words.tells(text, stamped=is_timed)

    def _record(self, line: Line, header: Header) -> None:
        """A header begins a record and ends the one before."""
        starts = "most recent call last" in line.text
        if self.open and repeated.same_call(self.open, line, header, starts=starts):
            return
        self._interrupt()
        self.headered, self.fresh, self.stack, self.head = self.headered or not header.alone, False, False, []
        if header.level in ALARMING:
            self.open = self._alarm(line, header, starts=starts)
        elif starts and (begins := tracebacks.opening(header.message)):
            self.open = Open(level=header.level, phase=begins, header=header, lines=[line], traceback=True)

    def _alarm(self, line: Line, header: Header, *, starts: bool) -> Open:
        """The record of a warning or an error. Its message may end in the beginning of a traceback, or hold a whole
        one, its line ends escaped.
        """
        record = Open(level=header.level, phase="text", header=header, lines=[line], stamped=line.stamped)
        is_full = bool(header.time or header.logger or line.stamped)
        record.headered = header.level == "critical" or (self.headered and is_full)  # of a death, much is said
        announces = OPENER.match(header.message) or words.LOOSE.search(header.message)
        record.alone = self.bare >= BARE_HABIT and not announces
        if starts:
            if found := tracebacks.START_WITHIN.search(header.message):
                record.traceback, record.phase = True, "group" if found["group"] else "frames"
            elif escaped := tracebacks.unescaped(line.text):
                line.exception, record.traceback = escaped, True
        elif languages.rails(header.message) == 0:
            record.traceback, record.phase = True, "stack"
        return record

    def _named(self, line: Line) -> bool:
        """Return whether a line names the exception of the open traceback: PostgreSQL's begins as a record does."""
        return bool(self.open and self.open.phase == "frames" and words.BARE.match(line.text))

    def _below(self, line: Line, header: Header) -> bool:
        """Return whether a line has a level but no time, below a record of a stream whose records have times."""
        if line.stamped:
            return False
        if header.level not in ALARMING:
            self.timeless = self.timeless or header.message != line.text
            return False
        if self.open and self.open.phase == "named" and self.open.lines[-1].text.endswith(":"):
            return True
        above = self.open if self.open and self.open.phase == "text" and self.open.level in REPORTED else None
        is_timed = above and above.header and above.header.time
        is_alike = above and (line.time is None) == (above.lines[0].time is None)
        is_below = bool(is_timed and is_alike and words.LABEL.match(line.text) and not self.timeless)
        self.timeless = not is_below
        return is_below

    def _whole(self, line: Line) -> None:
        """An application's own JSON record is complete in itself."""
        self._interrupt()
        self.headered, self.fresh, self.head = True, False, []
        if line.exception is None and line.level == "warning":
            self._warned(line)
            return
        self.told = []
        if line.exception is not None or line.level in REPORTED:
            self.ended.append(Open(level=line.level, phase="text", lines=[line], traceback=line.exception is not None))

    def _warned(self, line: Line) -> None:
        """Take a warning of JSON. Sidekiq's are the job, the exception and the stack of one error."""
        if self.told and languages.STACK.match(line.text):
            self.ended.append(Open(level="error", phase="stack", lines=[*self.told, line], traceback=True))
            self.told = []
        elif self.told and not self.told[-1].text.startswith("{"):
            self.told = [line]
        else:
            self.told = [*self.told[-1:], line]

    def _interrupt(self) -> None:
        """Close what is open. An unfinished traceback waits: another writer's record may stand in its midst."""
        if self.open and self.open.phase in ("frames", "box"):
            self._stop_waiting()
            self.waiting, self.open = self.open, None
        self._close()
        if self.waiting:
            self.waiting.age += 1
            if self.waiting.age > PATIENCE:
                self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self.waiting:
            self._end(self.waiting)
            self.waiting = None

    def _close(self) -> None:
        if self.open:
            self._end(self.open)
            self.open = None

    def _end(self, record: Open) -> None:
        """Hand a record on if it reports an error."""
        if record.traceback and record.header is not None:
            self.bare = max(self.bare - 2, -HABIT)
        if record.phase == "named" and not record.headered and words.TOOL.match(record.lines[0].text):
            record.level, record.header = "error", Header("error", record.lines[0].text)
            below = (at for at, line in enumerate(record.lines[1:], 1) if line.text[:1] not in CONTINUES)
            del record.lines[next(below, len(record.lines)) :]
        if record.crash and record.crash.block:
            record.traceback, record.level = False, None
            record.header = crashes.header(record.crash, [line.text for line in record.lines])
            record.level = record.header.level
        if record.traceback or record.level in REPORTED or _throws(record):
            self.ended.append(record)

    def _text(self, line: Line) -> None:
        """A line without a header goes on with what is open, or begins something, or is nothing."""
        calm = self.headered and self.open is None
        self._part(line)
        if self.open and self._takes(self.open, line):
            return
        self._close()
        self._begin(line, calm=calm)

    def _part(self, line: Line) -> None:
        """Part from what is open the record that a line shows to stand in it, or close it."""
        if self.open and self.open.call and not self.open.sure:
            self._split(self.open)
        if self.open and self.open.phase == "message" and foreign.framed(line.text):
            self._cut_below(self.open)
        if self.open and not self.headered and self.open.phase in ("text", "message") and crashes.begun(line.text):
            self._close()

    def _takes(self, record: Open, line: Line) -> bool:
        """Add a line to what is open if it belongs there; False where that is over."""
        if record.phase == "text" and self.waiting and self._resumes(line.text):
            return False
        if goes_on(record, line):
            return True
        if record.alone and tracebacks.opening(line.text):
            self.bare -= 1  # a guess: too many of them in a row, and the habit was another one
        header = record.header
        if header and header.alone and foreign.PANIC.match(line.text) and line.text.endswith(header.message):
            self.open = None  # the panic repeats it, as Go's log prints it
        return False

    def _split(self, record: Open) -> None:
        """Two calls in one moment: only the first line of the second one has a header, so it is a record of its own."""
        self._end(Open(level=record.level, phase="text", header=record.header, lines=record.lines[:1]))
        second = record.lines[1]
        self.open = None
        self._record(second, header_of(second.text) or Header(record.level, second.text))

    def _cut_below(self, record: Open) -> None:
        """A stack of another language below a traceback: its exception stands behind the traceback's own."""
        names = [at for at, above in enumerate(record.lines) if foreign.NAMED.match(above.text)]
        own = max((at for at, above in enumerate(record.lines) if tracebacks.FRAME.match(above.text)), default=0)
        if len([at for at in names if at > own]) > 1:
            other = record.lines[names[-1] :]
            del record.lines[names[-1] :]
            self._close()
            self.open = Open(level="error", phase="stack", traceback=True, lines=other, headered=self.headered)

    def _begin(self, line: Line, *, calm: bool) -> None:
        """Begin a record without a header, or take up a traceback that was interrupted."""
        text, fresh = line.text, self.fresh
        self.fresh = False
        row = crashes.begun(text)
        if row and (len(self.above) == 1 or not row.above):
            self._crash(row, line)
        elif "most recent call last" in text:
            self._opening(line, calm=calm)
        elif self.waiting and self._resumes(text):
            self.open, self.waiting = self.waiting, None
            goes_on(self.open, line)
        elif tracebacks.CUT_FRAME.match(text):
            self._cut(line)
        elif self._exceptional(line):
            return
        elif foreign.framed(text) and (fresh or len(self.above) == 1):
            self._untyped(line)
        elif self.above and frames.framed(text):
            self.head = self.above
            self._open(Open(level=None, phase="loose", stamped=line.stamped), line)
        elif fresh or self.head:
            self._beginning(line, text)
        elif line.level in REPORTED and text.strip():
            self._reported(line)

    def _exceptional(self, line: Line) -> bool:
        """Begin what words at the beginning of a line tell: an exception, or a message of a level; tell whether so."""
        text = line.text
        if line.level not in REPORTED and (OPENER.match(text) or (words.may_open(text))):
            self._open(Open(level=None, phase="text", header=Header(None, text), stamped=line.stamped), line)
        elif tracebacks.REMOTE.match(text):
            self._open(Open(level=None, phase="message", traceback=True, stamped=line.stamped), line)
        elif foreign.NAMED.match(text) or languages.begins(text) or runtimes.begins(text):
            self._foreign(line)
        elif line.level in REPORTED and text[:1] not in CONTINUES and not words.BARE.match(text):
            self._reported(line)
        elif not self.headered and words.tells(text, stamped=line.stamped or line.time is not None):
            header = Header("error", text, alone=True)
            self._open(Open(level="error", phase="text", header=header, stamped=line.stamped), line)
        else:
            return False
        return True

    def _crash(self, row: Crash, line: Line) -> None:
        """A crash of the table; the line above may be its first."""
        self.head = self.above if row.above else []
        self._open(Open(level=row.level, phase="crash", crash=row, traceback=True, stamped=line.stamped), line)

    def _untyped(self, line: Line) -> None:
        """A stack without the name of an exception: below a line of words, or cut off by the window."""
        self.head = self.above
        self._open(Open(level="error", phase="stack", traceback=True, stamped=line.stamped), line)

    def _reported(self, line: Line) -> None:
        """A line without a header whose collector knows its level."""
        header = Header(line.level, line.text)
        self._open(Open(level=line.level, phase="text", header=header, stamped=line.stamped, levelled=True), line)

    def _foreign(self, line: Line) -> None:
        """The exception of another language, if a stack follows. A panic, and what ends Ruby or Perl, need none."""
        panics = bool(foreign.PANIC.match(line.text) or languages.RUBY.match(line.text) or runtimes.begins(line.text))
        record = Open(level="error" if panics else None, phase="stack" if panics else "named", traceback=panics)
        self._open(record, line)

    def _open(self, record: Open, line: Line) -> None:
        for one in (*self.head, line):
            record.add(one)
        record.headered = self.headered
        self.open, self.head = record, []

    def _opening(self, line: Line, *, calm: bool) -> None:
        """The first line of a traceback, or of a stack that is no exception."""
        self.head = []
        if begins := tracebacks.opening(line.text):
            header = self._announcement(line)
            if calm and not header:
                self.bare = min(self.bare + 1, HABIT)
            self._open(Open(level=None, phase=begins, header=header, traceback=True, stamped=line.stamped), line)
        elif line.text.startswith("Stack ("):
            self.stack = True

    def _announcement(self, line: Line) -> Header | None:
        """The line above a traceback that announces it: with a colon, or as CherryPy does."""
        above = self.above[0] if len(self.above) == 1 else None
        if above is None or not words.announces(above.text, stamped=above.stamped and line.time is None):
            return None
        self.head = self.above
        return Header(None, above.text)

    def _cut(self, line: Line) -> None:
        """A frame without a beginning: the window cut it off. Below `Stack` it belongs to no exception."""
        if not self.stack:
            phase = "group" if line.text.lstrip()[0] in "|+" else "frames"
            self._open(Open(level=None, phase=phase, traceback=True, stamped=line.stamped), line)

    def _beginning(self, line: Line, text: str) -> None:
        """The first lines of a stream may be the rest of a traceback that was cut off."""
        if not (text or self.head):
            self.fresh = True  # a blank line begins nothing
        elif text[:1] in CONTINUES and len(self.head) < HEAD_LINES:
            self.head.append(line)
        elif words.BARE.match(text):
            self._open(Open(level=None, phase="message", traceback=True, stamped=line.stamped), line)
        else:
            self.head = []

    def _resumes(self, text: str) -> bool:
        """Return whether a line is the rest of the traceback that waits."""
        waiting = self.waiting
        if waiting is None or not text.strip():
            return False
        if waiting.phase == "box":
            return text.lstrip()[0] in tracebacks.BOX_CHARS
        return bool(tracebacks.FRAME.match(text)) or text.startswith("    ") or tracebacks.failure_line(text)


def _throws(record: Open) -> bool:
    """Return whether a warning carries the exception of another language with its stack."""
    texts = [line.text for line in record.lines]
    if record.level != "warning" or not any(foreign.STACK.match(text) for text in texts[1:]):
        return False
    failure = foreign.read(texts)
    return bool(failure and failure.type and failure.frames)

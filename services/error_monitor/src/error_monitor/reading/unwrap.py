"""One physical line, unwrapped: prefixes, JSON and time stamps come off, nested ones too."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from error_monitor.reading import blocks, bundles, prefixes, records
from error_monitor.reading.headers import Header, header_of
from error_monitor.reading.line import Line

LAYERS = 8
PARTIAL_CHARS = 1_000_000
STREAMS = 256
EXPORT = "journal export"
FIELD = re.compile(r"[A-Z_][A-Z0-9_]*")
NUMBERED = re.compile(r"\[(\d{1,7})\](?: |$)")
BEGINS = re.compile(
    r"\[?(?:\d{4}-\d\d-\d\d[ T])?\d\d:\d\d:\d\d|(?:  \+ Exception Group )?Traceback \(most|[A-Z]{4,8}(?: - |[ :])\s*\S"
)
"""What a record begins with behind the number of the process that wrote it."""
FLAT = re.compile(r"(?<!\s)\s{2,}+(?=at [\w.<>`$+\[\],]{3,300}\([^()]{0,300}\))")
"""Between the frames of a stack that a logger put into one line."""


class Unwrapper:
    """Takes the wrappers off each line, and joins lines that a collector cut in pieces."""

    def __init__(self) -> None:
        """Begin with no piece in hand."""
        self.pieces: dict[str, Line] = {}
        self.quoted = False
        """A row of a CSV has begun whose message goes on."""
        self.wrappers = set[str]()
        """The fields of a collector's objects that hold a line each."""
        self.writers = set[str]()
        """The streams of processes that put their number alone before each line."""

    def feed(self, line: Line) -> Header | None:
        """Take the wrappers off; the header that is left, or None. A piece sets `line.partial`: its rest follows."""
        if (line.text.startswith("__CURSOR=") or EXPORT in self.pieces) and self._exported(line):
            return None
        if self.quoted or line.text[:1].isdigit():
            self.quoted = bundles.unquoted(line, inside=self.quoted)
        for _ in range(LAYERS):
            if self._layer(line):
                if self._held(line) or line.whole:
                    return None
                if "\n" in line.text:
                    line.text, *rest = line.text.split("\n")
                    line.rest = tuple(rest)
                continue
            if (self.pieces or line.text[:1] in ("{", "<")) and self._kept(line):
                return None
            if "  at " in line.text:
                _unfold(line)
            header = header_of(line.text, stamped=line.stamped)
            if header is None or header.level is not None:
                return header
            line.text, line.time, line.stamped = header.message, line.time or header.time, True
        return None

    def _kept(self, line: Line) -> bool:
        """Put what stood above the line before it, where that is no record of its own; keep what goes on below."""
        self._held(line)
        return not line.part and self._spread(line)

    def rest(self) -> list[tuple[Line, Header | None]]:
        """The pieces whose end never came, with their headers; none is kept."""
        pieces, self.pieces = self.pieces, {}
        found = []
        for line in pieces.values():
            line.partial = False
            if line.stream.endswith(blocks.STREAM):
                line.stream = line.stream.removesuffix(blocks.STREAM)
                found += [(one, self.feed(one)) for one in _apart(line)]
                continue
            if line.stream == EXPORT:
                _fields(line, line)
            found.append((line, self.feed(line) if line.stream.startswith("/") and not line.whole else None))
        return found

    def _exported(self, line: Line) -> bool:
        """Keep a line of `journalctl -o export`; the blank line behind a record's fields becomes the record."""
        block = self.pieces.pop(EXPORT, None)
        if block and not line.text:
            _fields(block, line)
            return False
        if block:
            line.text = f"{block.text}\n{line.text}"[:PARTIAL_CHARS]
            line.numbers = (block.numbers[0], line.numbers[-1])
        line.stream, line.partial = EXPORT, True
        self.pieces[EXPORT] = line
        return True

    def _spread(self, line: Line) -> bool:
        """Keep a line of a record that is spread over several; tell whether no header is to be looked for."""
        key = line.stream + blocks.STREAM
        block = self.pieces.pop(key, None)
        if block is None and (line.rest or not blocks.begins(line.text)):
            return False  # a text of several lines is a whole record, which was tried, or none
        text = line.text
        is_inside = block is None or (
            not line.rest and blocks.goes_on(block.text, text) and block.text.count("\n") < blocks.LINES
        )
        if block:
            line.text, line.numbers = f"{block.text}\n{text}"[:PARTIAL_CHARS], (*block.numbers, *line.numbers)
            line.time, line.level = block.time or line.time, block.level or line.level
        if is_inside and not blocks.ended(line.text, text) and len(self.pieces) < STREAMS:
            line.stream, line.partial = key, True
            self.pieces[key] = line
            return True
        if is_inside and blocks.read(line):
            return True
        line.text, *rest = line.text.split("\n")
        line.rest = (*rest, *line.rest)
        return False

    def _layer(self, line: Line) -> bool:
        """Take one wrapper off; tell whether there was one."""
        if line.text.endswith("}") and records.unwrap(line, self.wrappers):
            return True
        return prefixes.peel(line) or (line.text[:1] == "[" and self._numbered(line))

    def _numbered(self, line: Line) -> bool:
        """Take a process's number off, where a record was seen to begin behind it."""
        found = None if line.stamped else NUMBERED.match(line.text)
        if found is None:
            return False
        stream = f"{line.stream}/{found[1]}"
        if stream not in self.writers:
            if len(self.writers) >= STREAMS or not BEGINS.match(line.text, found.end()):
                return False
            self.writers.add(stream)
        line.stream, line.worker, line.text = stream, found[1], line.text[found.end() :]
        return True

    def _held(self, line: Line) -> bool:
        """Keep a piece, or put the kept one before its end."""
        earlier = self.pieces.pop(line.stream, None) if self.pieces else None
        if earlier:
            line.text = (earlier.text + line.text)[:PARTIAL_CHARS]
            line.numbers = (*earlier.numbers, *line.numbers)
            line.time = line.time or earlier.time
        if line.partial and len(self.pieces) < STREAMS:
            self.pieces[line.stream] = line
            return True
        line.partial = False
        return False


def _unfold(line: Line) -> None:
    """Make lines of their own of the stack that stands in one line with what it is of."""
    if line.text[0] not in " \t":
        text, *rest = FLAT.split(line.text)
        if len(rest) == 1 and text.endswith(":"):
            return  # the head of each line of a stack
        line.text = text
        line.rest = (*(f"   {call}" for call in rest), *line.rest)


def _apart(line: Line) -> list[Line]:
    """The lines of a text, each with its own number."""
    texts = line.text.split("\n")
    numbers = [(number,) for number in line.numbers] if len(line.numbers) == len(texts) else [line.numbers] * len(texts)
    return [replace(line, text=text, numbers=at, part=True) for text, at in zip(texts, numbers, strict=True)]


def _fields(block: Line, line: Line) -> None:
    """Read the fields of an exported record into a line."""
    found = dict(_pairs(block.text.split("\n")))
    line.numbers, line.stream, line.text = block.numbers, "", ""
    records.journald(line, {"MESSAGE": "", **found})


def _pairs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The fields by name. A value of several lines stands below its name, behind its length as eight bytes."""
    name, value = "", list[str]()
    for text in lines:
        key, separator, rest = text.partition("=")
        if FIELD.fullmatch(key):
            if name:
                yield name, _without_length("\n".join(value))
            name, value = ("", []) if separator else (key, [])
            if separator:
                yield key, rest
        else:
            value.append(text)
    if name:
        yield name, _without_length("\n".join(value))


def _without_length(text: str) -> str:
    """A value without its length, of which cleaning has left the bytes that are not zero."""
    for count in (1, 2, 3):
        size = len(text[count:].encode("utf-8", "replace"))
        if text[:count] == size.to_bytes(8, "little").replace(b"\0", b"").decode("utf-8", "replace"):
            return text[count:]
    return text

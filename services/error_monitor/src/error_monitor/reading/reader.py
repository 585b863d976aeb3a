"""The way in: lines of one source go in, events come out."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from error_monitor.reading import bundles, events, state, text
from error_monitor.reading.event import Event
from error_monitor.reading.joining import Joiner
from error_monitor.reading.line import Line
from error_monitor.reading.unwrap import Unwrapper

STREAMS = 256


class Reader:
    """Reads the lines of one source: one file, one container's output, one set of labels."""

    def __init__(self) -> None:
        """Begin at line 1."""
        self.number = 0
        self.unwrapper = Unwrapper()
        self.joiners: dict[str, Joiner] = {}

    @classmethod
    def restore(cls, kept: Mapping[str, Any] | None) -> "Reader":
        """Go on where `state()` was taken."""
        reader = cls()
        if kept:
            reader.number = int(kept["number"])
            reader.unwrapper.quoted = bool(kept.get("quoted"))
            reader.unwrapper.pieces = {line.stream: line for line in state.lines(kept["pieces"])}
            reader.unwrapper.wrappers = set(kept.get("wrappers", ()))
            reader.unwrapper.writers = {stream["name"] for stream in kept["streams"]}
            for stream in kept["streams"]:
                reader.joiners[stream["name"]] = state.restored(stream)
        return reader

    def state(self) -> dict[str, Any]:
        """The open lines and the learnt formats, as JSON, redacted and bounded; empty after `flush`."""
        streams = state.kept(self.joiners)
        pieces = state.rows(list(self.unwrapper.pieces.values()), state.CHARS)
        if not (streams or pieces):
            return {}
        learnt = {"quoted": self.unwrapper.quoted, "wrappers": sorted(self.unwrapper.wrappers)}
        return {"number": self.number, "streams": streams, "pieces": pieces, **learnt}

    def feed(self, lines: Iterable[str | bytes]) -> list[Event]:
        """Take lines, with or without their newline; the events that ended."""
        found: list[Event] = []
        number = self.number
        for raw in lines:
            number += 1
            for piece in text.pieces(text.clean(raw)):
                for record in bundles.unpacked(piece):
                    self._take(Line((number,), record), found)
        self.number = number
        return found

    def flush(self) -> list[Event]:
        """End what is open: the input is over, or the source has been quiet."""
        found: list[Event] = []
        for line, header in self.unwrapper.rest():
            self._join(line, header, found)
        for joiner in self.joiners.values():
            found += [events.made(record) for record in joiner.flush()]
        self.joiners.clear()
        return found

    def _take(self, line: Line, found: list[Event]) -> None:
        """Unwrap one line and give it to its stream."""
        header = self.unwrapper.feed(line)
        rest = _parted(line) if line.rest else ()
        if not line.partial:
            self._join(line, header, found)
        for more in rest:
            self._take(more, found)

    def _join(self, line: Line, header: Any, found: list[Event]) -> None:
        joiner = self.joiners.get(line.stream)
        if joiner is None:
            joiner = self._stream(line.stream, found)
        ended = joiner.feed(line, header)
        if ended:
            found += [events.made(record) for record in ended]

    def _stream(self, name: str, found: list[Event]) -> Joiner:
        """A joiner for a stream. The oldest stream ends where there are too many."""
        if len(self.joiners) >= STREAMS:
            oldest = next(iter(self.joiners))
            found += [events.made(record) for record in self.joiners.pop(oldest).flush()]
        joiner = self.joiners[name] = Joiner()
        return joiner


def _parted(line: Line) -> list[Line]:
    """The other lines of a text; each has its own number where they were lines before."""
    numbers = [line.numbers] * (1 + len(line.rest))
    if len(line.numbers) == len(numbers):
        numbers = [(number,) for number in line.numbers]
    line.numbers = numbers[0]
    return [
        replace(line, text=text, numbers=at, rest=(), part=True, stamped=False)
        for text, at in zip(line.rest, numbers[1:], strict=True)
    ]

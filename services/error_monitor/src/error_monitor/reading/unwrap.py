"""One physical line, unwrapped: prefixes, JSON and time stamps come off, nested ones too."""

from error_monitor.reading import prefixes, records
from error_monitor.reading.headers import Header, header_of
from error_monitor.reading.line import Line

LAYERS = 8
PARTIAL_CHARS = 1_000_000
STREAMS = 256


class Unwrapper:
    """Takes the wrappers off each line, and joins lines that a collector cut in pieces."""

    def __init__(self) -> None:
        """Begin with no piece in hand."""
        self.pieces: dict[str, Line] = {}

    def feed(self, line: Line) -> Header | None:
        """Take the wrappers off; the header that is left, or None. A piece sets `line.partial`: its rest follows."""
        for _ in range(LAYERS):
            if self._layer(line):
                if self._held(line):
                    return None
                if line.whole:
                    return None
                continue
            header = header_of(line.text)
            if header is None or header.level is not None:
                return header
            line.text, line.time, line.stamped = header.message, line.time or header.time, True
        return None

    def _layer(self, line: Line) -> bool:
        """Take one wrapper off; tell whether there was one."""
        if line.text.endswith("}") and records.unwrap(line):
            return True
        return prefixes.peel(line)

    def _held(self, line: Line) -> bool:
        """Keep a piece, or put the kept one before its end."""
        earlier = self.pieces.pop(line.stream, None) if self.pieces else None
        if earlier:
            line.text = (earlier.text + line.text)[:PARTIAL_CHARS]
            line.numbers = (*earlier.numbers, *line.numbers)
        if line.partial and len(self.pieces) < STREAMS:
            self.pieces[line.stream] = line
            return True
        line.partial = False
        return False

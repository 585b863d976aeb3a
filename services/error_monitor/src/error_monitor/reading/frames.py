"""Stacks in a grammar that no row knows: indented lines that each name a place in a file."""

import re
from collections.abc import Sequence

from error_monitor.reading.event import Failure, Frame, called

PLACE = (
    r"(?:(?P<file>(?:[A-Za-z]:)?[\w./\\@+~-]*\w\.[A-Za-z]\w{0,6})(?::|\(|\"?,? line )(?P<line>\d{1,7})"
    r"|line (?P<number>\d{1,7}) (?:of|in) \"?(?P<where>[\w./\\-]+\.[A-Za-z]\w{0,6}))"
)
HINT = re.compile(r"\.[A-Za-z]\w{0,6}(?:[:(]|\"?,? line )\d|, +line \d")
FRAMED = re.compile(
    r"(?:\s+|(?=#\d))(?:(?:#?\d+[:.]?|at|in|from|by|sub|block|function|method|procedure|\$?[\dA-Fa-f]{8,16}|0x[\da-f]+)\s+)*+"
    r"(?:(?P<function>[\w.$<>:!?*'`#+/-]+?),?\s+(?:\(|at |in |from )?)?"
    rf"{PLACE}(?::\d+)?[\])\"]?:?(?:,?\s+(?:in )?[`'\"]?(?P<called>[\w.$<>:!?*#+-]+)['\"]?(?:\([^()]{{0,200}}\))?)?\s*$"
)
MAIN = re.compile(r"#\d+ \{main\}$")
"""PHP's outermost frame."""
TYPED = re.compile(r"(?P<type>[A-Za-z_][\w.:$\\]*(?:Error|Exception|Violation|Failure|Fault))(?:: (?P<message>.*))?$")
LIBRARY = re.compile(r"^(?:/usr/(?:local/)?(?:lib|share)/|<)|/(?:vendor|gems|node_modules|site-packages|collects)/")


def framed(text: str) -> bool:
    """Return whether a line is a frame, as far as its shape tells."""
    return len(text) < 500 and bool(FRAMED.match(text) if HINT.search(text) else MAIN.match(text))


def read(lines: Sequence[str]) -> Failure | None:
    """Read what the first lines say, and the frames below, innermost first; None where there are no frames."""
    calls = [found for text in lines[1:] if len(text) < 500 and (found := FRAMED.match(text))]
    if not calls:
        return None
    typed = next((found for text in lines if (found := TYPED.match(text))), None)
    frames = tuple(_frame(found) for found in reversed(calls))
    if typed is None:
        return Failure(message=lines[0], frames=frames)
    return Failure(type=typed["type"], message=typed["message"] or "", frames=frames)


def _frame(found: re.Match[str]) -> Frame:
    file, line = found["file"] or found["where"], found["line"] or found["number"]
    return called(file, found["function"] or found["called"] or "", line, own=not LIBRARY.search(file))

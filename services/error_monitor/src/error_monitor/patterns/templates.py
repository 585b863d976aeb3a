"""Templates of messages from the source: the line that raised shows which words are values."""

import re
from collections.abc import Sequence

from error_monitor.reading.event import Frame

LITERAL = re.compile(r"(?P<prefix>[fFrRbB]{0,2})(?P<quote>\"\"\"|\"|')(?P<text>(?:(?!(?P=quote)).)*)(?P=quote)?")
HOLES = re.compile(r"\{[^{}]*\}|%\(\w+\)[sdrifgx]|%[-+.\d]*[sdrifgx]")
FRAMES, LITERALS = 3, 4
ENOUGH = 6
"""So many letters of a literal must stand in the message before we believe that it made it."""


def levelled(message: str, frames: Sequence[Frame]) -> str:
    """The message with a 0 for every value, as far as a line of source shows its template."""
    first = message.split("\n", 1)[0]
    own = [frame.code for frame in frames if frame.in_app and frame.code]
    for code in own[: -FRAMES - 1 : -1]:
        for count, literal in enumerate(LITERAL.finditer(code)):
            if count >= LITERALS:
                break
            pieces = HOLES.split(literal["text"])
            if len(pieces) > 1 and sum(map(len, pieces)) >= ENOUGH:
                filled = _filled(first, pieces)
                if filled is not None:
                    return filled
    return message


def _filled(message: str, pieces: Sequence[str]) -> str | None:
    """The message with its values replaced, or None where the pieces do not stand in it in this order."""
    start = message.find(pieces[0]) if pieces[0] else 0
    if start < 0 or (start and not message[:start].endswith((": ", " ", ") "))):
        return None
    made, at = [message[:start], pieces[0]], start + len(pieces[0])
    for piece in pieces[1:]:
        found = message.find(piece, at) if piece else len(message)
        if found < at:
            return None
        made += ["0", piece]
        at = found + len(piece)
    return "".join(made) + message[at:]

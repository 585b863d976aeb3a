"""The state that a reader keeps between two scans: the open lines, redacted and bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from error_monitor.reading.headers import header_of
from error_monitor.reading.joining import Joiner
from error_monitor.reading.line import Line
from error_monitor.redaction import redact

CHARS = 40_000
NAME_CHARS = 300
ROW_CHARS = 60
# The numbers are bounded, the other parts of a text are lines by now, and what carries an exception is complete.
FIELDS = tuple(one.name for one in fields(Line) if one.name not in ("numbers", "rest", "exception"))


def kept(joiners: Mapping[str, Joiner]) -> list[dict[str, Any]]:
    """Every stream: what is open in it, and what the reader has learnt of it."""
    pending = {name: joiner.pending() for name, joiner in joiners.items()}
    budget = CHARS // max(sum(1 for found in pending.values() if found), 1)
    return [
        {
            "name": name[:NAME_CHARS],
            "headered": joiner.headered,
            "stack": joiner.stack,
            "timeless": joiner.timeless,
            "bare": joiner.bare,
            "begins": joiner.cut_off(),
            "lines": rows(pending[name], budget),
        }
        for name, joiner in joiners.items()
    ]


def restored(stream: Mapping[str, Any]) -> Joiner:
    """A joiner that has read these lines."""
    joiner = Joiner()
    joiner.fresh = bool(stream.get("begins"))
    pending = lines(stream["lines"])
    for line in pending:
        header = header_of(line.text, stamped=line.stamped)
        joiner.feed(line, header if header and header.level else None)
        if joiner.open and joiner.open.call and line is not pending[-1]:
            joiner.open.sure = True
    joiner.headered, joiner.stack = bool(stream["headered"]), bool(stream["stack"])
    joiner.timeless, joiner.bare = bool(stream.get("timeless")), int(stream["bare"])
    return joiner


def rows(found: Sequence[Line], chars: int) -> list[dict[str, Any]]:
    """Lines as JSON. Where there are too many, the middle goes: the end names the exception."""
    texts = redact("\n".join(line.text for line in found)).split("\n")
    if len(texts) != len(found):
        texts = [redact(line.text) for line in found]
    made = [_row(line, text) for line, text in zip(found, texts, strict=True)]
    if sum(len(row["text"]) + ROW_CHARS for row in made) <= chars:
        return made
    begin = _fitting(made, chars // 2)
    end = _fitting(made[begin:][::-1], chars // 2)
    rest = made[len(made) - end :]
    return [*made[:begin], *({**row, "joined": True} for row in rest[:1]), *rest[1:]]


def lines(found: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The lines of rows."""
    return [Line(tuple(row["numbers"]), **{name: row[name] for name in FIELDS if name in row}) for row in found]


def _row(line: Line, text: str) -> dict[str, Any]:
    row = {name: value for name in FIELDS if (value := getattr(line, name)) not in (None, False, "")}
    return {**row, "numbers": [*line.numbers[:1], *line.numbers[1:][-3:]], "text": text[: CHARS // 8]}


def _fitting(found: Sequence[Mapping[str, Any]], chars: int) -> int:
    """Count the rows that fit."""
    for count, row in enumerate(found):
        chars -= len(row["text"]) + ROW_CHARS
        if chars < 0:
            return count
    return len(found)

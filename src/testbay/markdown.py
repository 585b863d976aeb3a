"""Markdown for GitHub's job summaries, in which text of others is nothing but text."""

import re
from collections.abc import Iterable, Sequence

LISTED = 20
# What could mean something to Markdown, to HTML or to GitHub: a link, a formula, a mention, an emoji.
_MEANING = re.compile(
    r"(?<=www)\.|:(?=/)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^A-Za-z0-9 \u0080-\U0010ffff_:,./'()=%;?-]", re.IGNORECASE
)


def plain(words: str) -> str:
    """Text that is nothing but text, in a paragraph, a table's cell and a tag: all else is an entity."""
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};", words)


def code(words: str, limit: int = 500) -> str:
    """The same, as code."""
    return f"<code>{plain(words if len(words) <= limit else words[:limit] + '…')}</code>"


def fitting(parts: Iterable[str], room: int) -> Iterable[str]:
    """The parts that there is room for, in their order."""
    for part in parts:
        size = len(part.encode()) + 2
        if size <= room:
            room -= size
            yield part


def table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = LISTED) -> str:
    """A line for each row, of which only the first are shown; the cells are Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows[:most]]]
    return "\n".join([*lines, *[f"\n… and {len(rows) - most} more"] * (len(rows) > most)])

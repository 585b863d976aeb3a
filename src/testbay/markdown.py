"""GitHub's Markdown around untrusted text, which is shown and never interpreted.

Job summaries know entities: `plain`, `code`, `table`. In issues an entity does not silence a mention, since GitHub
looks for names in the rendered text: there, untrusted text is always code (`issue_code`, `issue_fence`).
"""

import re
from collections.abc import Iterable, Sequence

LISTED = 20
# What could mean something to Markdown, to HTML or to GitHub: a link, a formula, a mention, an emoji.
_MEANING = re.compile(
    r"(?<=www)\.|:(?=/)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^A-Za-z0-9 \u0080-\U0010ffff_:,./'()=%;?-]", re.IGNORECASE
)
_JOINER = "\u2060"  # has no width
_BACKTICK = "\u02cb"  # looks like one


def plain(words: str) -> str:
    """Escape a text for a paragraph, a table's cell or a tag: special characters become entities."""
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};", words)


def code(words: str, limit: int = 500) -> str:
    """Escape a text and show it as code."""
    return f"<code>{plain(words if len(words) <= limit else words[:limit] + '…')}</code>"


def fitting(parts: Iterable[str], room: int) -> Iterable[str]:
    """Yield parts, in their order, as long as they fit into `room` bytes."""
    for part in parts:
        size = len(part.encode()) + 2
        if size <= room:
            room -= size
            yield part


def table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = LISTED) -> str:
    """A table of the first `most` rows; the cells are Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows[:most]]]
    return "\n".join([*lines, *[f"\n… and {len(rows) - most} more"] * (len(rows) > most)])


def _shown(text: str, most: int) -> str:
    """Show a text on one line, cut, with a mark for each character that is unprintable or reverses the line."""
    shown = "".join(c if c.isprintable() else " " if c in "\t\r\n" else "\ufffd" for c in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def issue_code(text: str, most: int = 200) -> str:
    """Show code in a line of prose. A backtick, which would end it, is replaced by a similar character."""
    return f"`{_shown(text, most).replace('`', _BACKTICK).strip() or ' '}`"


def issue_fence(lines: list[str]) -> str:
    """Show lines in a fenced block, each cut to 200 characters."""
    return "\n".join(["```text", *(_shown(line, 200).replace("`", _BACKTICK) for line in lines), "```"])


def issue_title(text: str) -> str:
    """Write an issue's title, where code is not available: signs that mention people or issues are defused."""
    return re.sub(r"([@#])", rf"\1{_JOINER}", _shown(text, 150)).replace("`", "'")


def issue_link(words: str, url: str, prefix: str) -> str:
    """Link the words to an address below the prefix; any other address is shown as code."""
    if prefix and re.fullmatch(re.escape(prefix) + r"/[\w./?=&%+-]*", url, re.ASCII):
        return f"[{words}]({url})"
    return f"{words} {issue_code(url)}" if url else words

"""Ways down behind a marker that no known tool has, found by what they do: they take away what stands above them."""

import re
from itertools import islice

_LOOKED_AT = 20  # statements behind one comment: a dump may hold a million
_BLOCK = re.compile(r"/\*.*?\*/", re.DOTALL)
_BACK = re.compile(
    r"^[ \t]*(?:--|#)[^\w\n]*(?:\w+[^\w\n]+){0,2}?"
    r"(?:down|downgrade|undo|un-?apply|roll\s?back|revert|reverse|backwards?)(?![A-Za-z]).*$",
    re.IGNORECASE | re.MULTILINE,
)
_TAKES_AWAY = re.compile(
    r"^[ \t]*(?:DROP\s+(?:MATERIALIZED\s+)?\w+(?:\s+CONCURRENTLY)?(?:\s+IF\s+EXISTS)?|DELETE\s+FROM"
    r"|ALTER\s+TABLE[^;]*?\bDROP(?:\s+(?:COLUMN|CONSTRAINT))?(?:\s+IF\s+EXISTS)?)\s+"
    r"[\"\w.]*?\"?(?P<name>\w+)\"?(?=[\s;,(]|$)",
    re.IGNORECASE | re.MULTILINE,
)


def undone(text: str) -> tuple[int, str] | None:
    """Find a comment such as `-- [down]` behind which something is taken away that was made before it.

    Returns:
        The comment's line, and the name of the first thing taken away; None without such a comment.
    """
    if text.lstrip().lower().startswith("--liquibase"):
        return None  # its `--rollback` comments end with the line
    text = _BLOCK.sub(_one_line, text)
    for comment in _BACK.finditer(text):
        above = text[: comment.start()]
        for gone in islice(_TAKES_AWAY.finditer(text, comment.end()), _LOOKED_AT):
            if re.search(rf"(?i)\b(?:CREATE|ADD|INSERT)\b[^;]*\b{re.escape(gone['name'])}\b", above):
                return above.count("\n") + 1, gone["name"]
    return None


def _one_line(block: re.Match[str]) -> str:
    """A block comment as one line of comment, and as many line feeds as it had."""
    lines = block[0][2:-2].split("\n")
    return "--" + " ".join(lines) + "\n" * (len(lines) - 1)

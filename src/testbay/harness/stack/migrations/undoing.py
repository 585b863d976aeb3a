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
    """Find a comment such as `-- [down]` behind which something is taken away that was made before it, or all of it.

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
    return _comes_to_nothing(text)


_MADE = re.compile(
    r"^[ \t]*CREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+|MATERIALIZED\s+)?"
    r"(?:TABLE|VIEW|TYPE|DOMAIN|SCHEMA|SEQUENCE|EXTENSION)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"[\"\w.]*?\"?(?P<name>\w+)\"?(?=[\s;,(]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_ELSEWHERE = re.compile(r"^[ \t]*(?:INSERT|UPDATE|ALTER|DO|SELECT|CALL|COPY|\\)", re.IGNORECASE | re.MULTILINE)
_ANY_COMMENT = re.compile(r"^[ \t]*--.*$", re.MULTILINE)


def _comes_to_nothing(text: str) -> tuple[int, str] | None:
    """Find a comment, whatever it says, behind which all that the file makes is taken away, and nothing else is done.

    A file that makes a table, uses it and drops it has another effect, and is no such file.
    """
    gone = list(islice(_TAKES_AWAY.finditer(text), _LOOKED_AT))
    made = {match["name"].lower() for match in _MADE.finditer(text)}
    if not made or _ELSEWHERE.search(text) or not made <= {match["name"].lower() for match in gone}:
        return None
    last_made = max(match.start() for match in _MADE.finditer(text))
    begins = next((match for match in gone if match.start() > last_made), None)
    comment = begins and next(_ANY_COMMENT.finditer(text, last_made, begins.start()), None)
    return (text.count("\n", 0, comment.start()) + 1, begins["name"]) if begins and comment else None


def _one_line(block: re.Match[str]) -> str:
    """A block comment as one line of comment, and as many line feeds as it had."""
    lines = block[0][2:-2].split("\n")
    return "--" + " ".join(lines) + "\n" * (len(lines) - 1)

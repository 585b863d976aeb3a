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
_INDEX = re.compile(
    r"^[ \t]*CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"
    r"[\"\w.]*?\"?(?P<name>\w+)\"?\s+ON\s+(?:ONLY\s+)?[\"\w.]*?\"?(?P<table>\w+)\"?(?=[\s;(]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_STATEMENT = re.compile(
    r"^[ \t]*(?:CREATE|INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE|ALTER|DROP|GRANT|REVOKE|DO|SELECT|CALL|COPY|REFRESH"
    r"|REASSIGN|IMPORT|SECURITY|LOCK|NOTIFY|VACUUM|REINDEX|CLUSTER|ANALYZE|\\)",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_COMMENT = re.compile(r"^[ \t]*--.*$", re.MULTILINE)


def _comes_to_nothing(text: str) -> tuple[int, str] | None:
    """Find a comment, whatever it says, behind which all that the file makes is taken away, and nothing else is done.

    A file that makes a table, uses it and drops it has another effect and does not count, nor does one that also
    touches what it did not make: a table it drops, an index on another table, a function.
    """
    made = list(islice(_MADE.finditer(text), _LOOKED_AT + 1))
    if not made or len(made) > _LOOKED_AT:
        return None
    names = {match["name"].lower() for match in made}
    indexes = [one for one in islice(_INDEX.finditer(text), _LOOKED_AT) if one["table"].lower() in names]
    gone = list(islice(_TAKES_AWAY.finditer(text), _LOOKED_AT))
    last_made = max(match.start() for match in (*made, *indexes))
    taken = [match for match in gone if match.start() > last_made]
    own = names | {one["name"].lower() for one in indexes}
    known = {match.start() for match in (*made, *indexes, *(one for one in gone if one["name"].lower() in own))}
    if not names <= {match["name"].lower() for match in taken}:
        return None
    if any(statement.start() not in known for statement in _STATEMENT.finditer(text)):
        return None
    comment = next(_ANY_COMMENT.finditer(text, last_made, taken[0].start()), None)
    return (text.count("\n", 0, comment.start()) + 1, taken[0]["name"]) if comment else None


def _one_line(block: re.Match[str]) -> str:
    """A block comment as one line of comment, and as many line feeds as it had."""
    lines = block[0][2:-2].split("\n")
    return "--" + " ".join(lines) + "\n" * (len(lines) - 1)

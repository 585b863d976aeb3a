"""Messages without what changes from one occurrence to the next."""

import re

MASK = re.compile(
    r"(?P<url>[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>\])]+)"
    r"|(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<quoted>'(?:[^'\\]|\\.){0,2000}?'(?![A-Za-z])"
    r"|\"(?:[^\"\\]|\\.){0,2000}?\"|`[^`]{0,2000}?`)"
    r"|(?P<date>\d{4}[-/]\d\d(?:[-/]\d\d)?(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?\b)"
    r"|(?P<path>(?<![\w/])(?:[A-Za-z]:\\|~?/)[\w.@%+=~-]+(?:[/\\][\w.@%+=~{}#-]*)+)"
    r"|(?P<hex>\b(?:0x[0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27})\b)"
    r"|(?P<token>[A-Za-z_]*(?:[-_.:/#+=][A-Za-z_]+)*[-_.:/#+=]?\d[\w.:/#%+-]*)"
)
SPACES = re.compile(r"\s+")


def masked(message: str) -> str:
    """The first line of a message, its variable parts replaced."""
    first = next((line for line in message.split("\n") if line.strip()), "")[:1000]
    return SPACES.sub(" ", MASK.sub("*", first)).strip()

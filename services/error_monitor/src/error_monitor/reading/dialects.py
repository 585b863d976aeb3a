"""The first lines of records that loggers of other languages write: level, message, and who wrote it."""

import re

PHP = re.compile(
    r"PHP (?P<kind>Fatal error|Parse error|Compile error|Core error|Recoverable fatal error|Warning|Core Warning|Notice"
    r"|Deprecated|Strict Standards):\s+"
)
PHP_LOGGER = "PHP"
PHP_LEVELS = {"Warning": "warning", "Core Warning": "warning", "Notice": "info", "Deprecated": "info"}
RUBY = re.compile(
    r"(?P<letter>[DIWEFA]), \[(?P<time>[\d-]+T[\d:.]+) #(?P<worker>\d+)\]\s+\w+ -- (?P<logger>[\w:.-]*): ?"
    r"(?P<tags>(?:\[[\w.:-]{1,64}\] ?)*)"
)
RUBY_LEVELS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "critical", "A": "info"}
DOTNET = re.compile(r"(?P<word>trce|dbug|info|warn|fail|crit): (?P<logger>[\w.`+]+)\[\d+\]\s*$")
DOTNET_LEVELS = {
    "trce": "debug", "dbug": "debug", "info": "info", "warn": "warning", "fail": "error", "crit": "critical",
}  # fmt: skip
CHANNEL = re.compile(
    r"\s?(?P<logger>[\w-]{1,40})\.(?P<word>DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT|EMERGENCY): "
)
"""Monolog: `[TIME] production.ERROR: message`."""

Said = tuple[str, str, str | None, str | None, str | None]
"""Level, message, time, logger, worker."""


def said(text: str) -> Said | None:
    """What the first line of a record says; None where it is another dialect."""
    if text.startswith("PHP ") and (found := PHP.match(text)):
        return PHP_LEVELS.get(found["kind"], "critical"), text[found.end() :], None, PHP_LOGGER, None
    if text[1:3] == ", " and (found := RUBY.match(text)):
        message = text[found.end() :].strip()
        # Rails puts empty records of the same level around an exception.
        level = RUBY_LEVELS[found["letter"]] if message else "debug"
        return level, message, found["time"], found["logger"] or None, found["worker"]
    if text[4:6] == ": " and (found := DOTNET.match(text)):
        return DOTNET_LEVELS[found["word"]], "", None, found["logger"], None
    return None

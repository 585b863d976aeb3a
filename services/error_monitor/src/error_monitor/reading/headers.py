"""The header of a log record: where its time, level, logger and message stand, in any layout that people use."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from error_monitor.reading import dialects, heads
from error_monitor.reading.levels import LETTERS, NAMES, level_named
from error_monitor.reading.times import ZONE

CALM = ("info", "debug")
WORDS = "|".join(
    sorted((name.upper() for name in NAMES if name not in ("exception", "success")), key=len, reverse=True)
)

TIME = (
    rf"(?:\d{{4}}[-/.]\d\d[-/.]\d\d(?:[T _]|, )\d\d:\d\d:\d\d(?:[.,:]\d{{1,9}})?(?: ?{ZONE})?"
    r"|\d{8}[T ]\d\d:?\d\d:?\d\d(?:[.,]\d{1,9})?Z?"
    rf"|(?:\d{{10}}(?:\.\d{{1,9}})?|\d{{13}}|\d\.\d{{4,18}}e\+\d\d)(?=\s+\[?(?:{WORDS})\b)"
    r"|(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d(?:[.,]\d+)?(?: (?:UTC|GMT|[+-]\d{4}))?"
    r"|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?:\.\d+)?"
    rf"(?: (?:[+-]\d{{4}}|(?!(?:{WORDS})\b)[A-Z][\w/+-]+))?"
    r"|\d\d(?P<dot>[/.-])(?:\d\d|[A-Z][a-z]{2})(?P=dot)\d{2,4}(?:,? |:)\d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"(?: (?:[AP]M|[+-]\d{4}))?"
    r"|(?:[A-Z][a-z]{2},? )?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:[.,]\d+)?(?: \d{4})?"
    r"|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d{1,2}:\d\d[AP]M(?= [A-Z]{3} )"
    r"|\d{6} \d{6}(?= \d+ [A-Z]))"
)
STAMP = re.compile(rf"[\[(]?(?:time=\"?)?({TIME})\"?[\])]?(?![\w.])")
LEVEL = re.compile(
    rf"(?<![\w./=&?%\"'$-])(?:({WORDS})(?=[\s\]:|)/>,;-]|\[\d+\]|$)"
    r"|[\[|(<]\s*(?:[a-z_]\w*:)?((?i:trace|debug|info|notice|warn|warning|error|err|critical|crit|fatal|emerg|alert|trc|dbg|inf|wrn|ftl))\s*[\]|)>])"
    r"|\b(?:level|lvl|severity|levelname)=[\"']?(\w+)(?:[+-]\d+)?"
)
LEADING = re.compile(
    r"(?!INFO: task \S+ blocked |WARNING: (?:ThreadSanitizer: |DATA RACE)|ERRORS? \w+ ?[:=] ?(?:0|none)\b)"
    rf"[\[(<*]?({WORDS})(?:(?=[\]:|)/>,;*])|(?=\s))|\[\s*((?i:{WORDS}))\s*\]"
    rf"|(?:\w+=(?>\"[^\"]*\"|\S+) )*?(?:level|lvl|severity|prio|priority)=[\"']?((?i:{WORDS}))(?:[+-]\d+)?"
)
GLOG = re.compile(r"([IWEF])(?:\d{4}|\d{6}|\d{8}) (\d\d:\d\d:\d\d\.\d+)\s+\d+ \S+:\d+(?:\]| \u22ee) ")
SPRING = re.compile(r"\s*\d+ --- (?:\[[^\]]*\] ?)+(\S+)\s*: ?")
BLANK_TIME = re.compile(rf"(?:\s{{5,}}(?=(?:{WORDS})\s{{2,}}|CRITICAL\s)|  \d{{4}}-\d\d-\d\dT[\d:.]+Z +)({WORDS})\s+")
"""Rust's tracing indents what it prints prettily; rich leaves out a time that it printed on the line before; FastAPI's
command prints none."""
INDENT = re.compile(r" {1,8}(?=\d)|\s(?=[\dA-Z])")
"""How far a program may set off what it begins a record with: a number of a fixed width, or a short level."""
ACCESS = re.compile(r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}[^\]]*\] \"|\S+ - \"[A-Z]+ \S+ HTTP/|\[pid: \d+\|app: ")
CRASHED = re.compile(r"Fatal Python error: ")

WORKER = re.compile(r"/([\w.@-]+)\]\s?")
FENCE = re.compile(r"[\]\s:|)>/,;*-]*")
LOCATION = re.compile(
    r"(?:\[([\w.:$-]+)\]:? |([\w.$-]+(?::[\w<>.]+)?(?::\d+)?)(?: - |: | \| |\s+-\s+)|([a-z_]\w*(?:\.\w+)+):?\s+)"
)
FAR_LOGGER = re.compile(
    r"(?=[^\[\d]*\d)(?:(?:(?=[^\s\[\]]*\d)[^\s\[\]]++|[\w/.-]++) ){1,8}\[([a-z]\w*(?:\.\w+){2,})\] "
)
"""Whose request it was stands before the logger: Jira's user, session and path."""
HEAD_CHARS = 200
THROWN = ("Error: ", "Exception: ")
"""What is thrown stands there too: its name is part of the message."""
LOGFMT, LOGFMT_ERROR = (
    re.compile(
        rf"(?:\w+=(?:\"[^\"]*\"|'[^']*'|[^\s\"']\S*) )*?(?:{names})="
        r"(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"'=]+))(?= \w+=|\s*$)"
    )
    for names in ("msg|message|event", "err|error")
)
NAMED_TIME = re.compile(r"(?:[a-z][\w.-]{1,30} ){1,2}(?=\d{4}[-/]\d\d[-/]\d\d[ T]|\d{14}\b)")
"""Who writes, and the name of what it works on, before the time."""
PLACED = re.compile(r"(?:[\w.-]{1,40}: )?[^\s:]*\.\w{1,8}:\d+(?::\d+)?: ")
FIELDS = re.compile(r"\w+=(?:\"|\S+ \w+=)")
IDS = re.compile(r"\s*([a-z_][\w.]*)(?: \d{1,7} \d{6,20} |:\d+\] )")
"""The module, the process and the thread, as Django's documentation prints them; or the line, as Tornado does."""
CONSOLE = re.compile(r"\[(?:warning|error|critical) *\]")
"""structlog's console: a level in small letters; what the call adds stands behind the event."""
PAIRS = re.compile(
    r"(?:\s+\[[\w.]+\])?(?:\s+[A-Za-z_][\w.]*=(?:'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"|[^\s'\"]\S*+))++$"
)
SUFFIX = re.compile(r"\s{4,}[\w.<>-]+\.py:\d+\s*$")
FIELD_WORKER = re.compile(r"\b(?:pid|worker|thread)[=: ](\w+)")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a record. `level` is None where the line only carries a time."""

    level: str | None
    message: str
    time: str | None = None
    logger: str | None = None
    worker: str | None = None
    alone: bool = False
    """It is known by its words, so other records of its stream need not begin as it does."""
    placed: bool = False
    """It names the place in a source, as compilers do: what belongs to it below is indented."""


def header_of(text: str, *, stamped: bool = False) -> Header | None:
    """The header in a line of text, or None where the line starts no record; `stamped`: a time stood before it."""
    if not text:
        return None
    first = text[0]
    if first.isspace():
        return _indented(text)
    if (first.isdigit() or first in "[(t" or first.isupper()) and (stamp := STAMP.match(text)):
        return _stamped(text, stamp)
    if found := LEADING.match(text):
        level = level_named(found[1] or found[2] or found[3])
        if level:
            head = heads.first(text) if text[found.end() + 1 : found.end() + 2].isdigit() else None
            return _made(level, text, head.end if head else found.end(), head.time if head else None)
    return _rare(text) or (None if stamped else _unknown(text))


def _indented(text: str) -> Header | None:
    """The header of a line that begins with blanks."""
    if found := BLANK_TIME.match(text):
        return _made(found[1], text, found.end(), None)
    return _unknown(text[found.end() :]) if (found := INDENT.match(text)) else None


def _rare(text: str) -> Header | None:
    """Layouts that start neither with a time nor with a level."""
    if said := dialects.said(text):
        level, message, time, logger, worker = said
        return Header(level, message, time=time, logger=logger, worker=worker, alone=not (time or logger))
    if found := GLOG.match(text):
        return Header(LETTERS[found[1]], dialects.unquoted(text[found.end() :]), time=found[2])
    if CRASHED.match(text):
        return Header("critical", text)
    return Header("info", text) if ACCESS.match(text) else None


def _unknown(text: str) -> Header | None:
    """A layout that no row knows."""
    if text[0] in heads.OPENS_TIME or text[:3] in heads.NAMES:
        if head := heads.first(text):
            return _made(head.level, text, head.end, head.time)
        head, end, time = heads.stamped(text)
        if head:
            return _made(head.level, text, head.end, time, before=text[end : head.end])
        if time:
            return Header(None, text[end:].lstrip(" \t"), time=time)
    elif text[0] in heads.LEVELS and (head := heads.first(text)):
        return _made(head.level, text, head.end, head.time)
    return _timeless(text)


def _timeless(text: str) -> Header | None:
    """A record that begins with names, or has no time at all."""
    if (named := NAMED_TIME.match(text)) and (inner := header_of(text[named.end() :])) and inner.level:
        return replace(inner, logger=inner.logger or named[0].strip())
    head = heads.timeless(text)
    if head is None:
        return None
    made = _made(head.level, text, head.end, None)
    placed = bool(PLACED.match(text, 0, head.end))
    return replace(made, logger=head.logger or made.logger, alone=placed or not head.logger, placed=placed)


def _stamped(text: str, stamp: re.Match[str]) -> Header | None:
    """A line that starts with a time: its level follows within a few fields, or it has none."""
    end = stamp.end()
    found = LEVEL.search(text, end, end + 140)
    if found and _fields(text[end : found.start()]):
        level, at = level_named(found[1] or found[2] or found[3]), found.end()
        if level == "debug":
            deeper = heads.deeper(text, at)
            level, at = deeper.level, deeper.end
        if level:
            return _made(level, text, at, stamp[1], before=text[end : found.start()])
    if head := (heads.numbered(text, end) or heads.behind(text, end)):
        return _made(head.level, text, head.end, stamp[1], before=text[end : head.end])
    at = end + (text[end : end + 2] == ": ") + 2 * text.startswith(" | ", end)
    at += text[at : at + 1] in (" ", "\t")
    at += text[at : at + 1] == " " != text[at + 1 : at + 2]  # two spaces are a separator, more an indent
    return Header(None, text[at:], time=stamp[1])


def _fields(between: str) -> bool:
    """Return whether the text between time and level is made of fields, not of a sentence."""
    fields = pairwise([*between.split(), ""])
    words = [name for name, value in fields if name.isalpha() and not value[:1].isdigit()]
    return len(words) <= 1 and '"' not in between and "'" not in between


def _made(level: str, text: str, at: int, time: str | None, before: str = "") -> Header:
    """A header whose level ends at `at`: what follows is worker, logger and message."""
    level = NAMES.get(level.lower(), level)
    if level in CALM and "most recent call last" not in text:
        return Header(level, text[at:], time=time)  # nothing of it is kept: most lines end here
    worker, is_console = None, bool(CONSOLE.search(text, 0, at + 1)) and "=" in text
    at += text.startswith(("'", '"'), at)  # level='error'
    if found := WORKER.match(text, at):
        worker, at = found[1], found.end()
    elif before and (named := FIELD_WORKER.search(before)):
        worker = named[1]
    logger, at = _placed(text, at)
    message = text[at:].rstrip()
    is_last = not message or FIELDS.match(text)
    if quoted := (LOGFMT.match(text, at) or (LOGFMT.match(text) if is_last else None) or LOGFMT_ERROR.match(text, at)):
        said = quoted[1] or quoted[2] or quoted[3] or message
        return Header(level, dialects.with_cause(said, dialects.cause(text)), time=time, logger=logger, worker=worker)
    if message.endswith(tuple("0123456789")) and (found := SUFFIX.search(message, max(len(message) - 200, 0))):
        message = message[: found.start()]
    if is_console:
        message = dialects.with_cause(PAIRS.sub("", message), dialects.cause(text))
    return Header(level, message.strip(), time=time, logger=logger, worker=worker)


def _placed(text: str, at: int) -> tuple[str | None, int]:
    """Find the logger's name behind a level that ends at `at`, and where the message begins."""
    dashed = text.startswith((" - ", "] - "), at)
    basic = text.startswith(":", at) and text[at + 1 : at + 2] not in ("", " ", "\t")
    colon = text.startswith(": ", at) or text.startswith(":\t", at)
    fence = FENCE.match(text, at)
    at = fence.end() if fence else at
    if spring := (SPRING.match(text, at) or IDS.match(text, at)):
        return spring[1], spring.end()
    place = None if colon or dashed else LOCATION.match(text, at)
    if place and (not basic or ":" not in place[0].rstrip(": ")) and not place[0].endswith(THROWN):
        return place[1] or place[2] or place[3], place.end()
    if not basic and " [" in text[at : at + HEAD_CHARS] and (far := FAR_LOGGER.match(text, at, at + HEAD_CHARS)):
        return far[1], far.end()
    if basic:
        name, separator, _ = text[at:].partition(":")
        if separator and " " not in name:
            return name, at + len(name) + 1
    return None, at

"""The header of a log record: where its time, level, logger and message stand, in any layout that people use."""

import re
from dataclasses import dataclass

from error_monitor.reading import dialects
from error_monitor.reading.times import ZONE

NAMES = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "success": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "exception": "error",
    "severe": "error",
    "critical": "critical",
    "crit": "critical",
    "fatal": "critical",
    "emerg": "critical",
    "emergency": "critical",
    "alert": "critical",
    "panic": "critical",
    "trc": "debug",
    "dbg": "debug",
    "inf": "info",
    "wrn": "warning",
    "ftl": "critical",
    "dpanic": "critical",
}
CALM = ("info", "debug")
WORDS = "|".join(
    sorted((name.upper() for name in NAMES if name not in ("exception", "success")), key=len, reverse=True)
)

TIME = (
    rf"(?:\d{{4}}[-/.]\d\d[-/.]\d\d(?:[T _]|, )\d\d:\d\d:\d\d(?:[.,:]\d{{1,9}})?(?: ?{ZONE})?"
    r"|\d{8}[T ]\d\d:?\d\d:?\d\d(?:[.,]\d{1,9})?Z?"
    rf"|(?:\d{{10}}(?:\.\d{{1,9}})?|\d{{13}})(?= \[?(?:{WORDS})\b)"
    r"|(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d(?:[.,]\d+)?(?: (?:UTC|GMT|[+-]\d{4}))?"
    r"|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?:\.\d+)?"
    rf"(?: (?!(?:{WORDS})\b)[A-Z][\w/+-]+)?"
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
    r"(?!INFO: task \S+ blocked |WARNING: (?:ThreadSanitizer: |DATA RACE))"
    rf"[\[(<]?({WORDS})(?:(?=[\]:|)/>,;])|(?=\s))|\[\s*((?i:{WORDS}))\s*\]"
    r"|(?:\w+=\S+ )*?(?:level|lvl|severity)=[\"']?(\w+)(?:[+-]\d+)?"
)
SPOKEN = re.compile(
    r"[\s|-]*(?:\[[\w.:-]{1,40}\] )?(debug|info|warn|warning|error|critical|fatal):(?=\s)(?! (?:none|null|0)$)"
    r"|, (Info|Warning|Error)(?=\s{2})|\t(debug|info|warn|error|dpanic|panic|fatal)(?=\t)"
)
"""winston and its like, `TIME error: message`; Windows, `TIME, Error   SOURCE  message`; and zap between tabs."""
GLOG = re.compile(r"([IWEF])(?:\d{4}|\d{6}|\d{8}) (\d\d:\d\d:\d\d\.\d+)\s+\d+ \S+:\d+(?:\]| \u22ee) ")
SPRING = re.compile(r"\s*\d+ --- (?:\[[^\]]*\] ?)+(\S+)\s*: ?")
TORNADO = re.compile(r"\[([DIWEC]) (\d{6} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) [^\]]+\] ")
LETTERS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "critical", "C": "critical"}
NAMED = re.compile(
    rf"([\w.$-]{{1,80}})(?<!Exception)(?<!Error)(?: - |: | \| | )(?:\[)?({WORDS})(?:\])?(?= - |: | \| |:)"
)
BLANK_TIME = re.compile(rf"(?:\s{{5,}}(?=(?:{WORDS})\s{{2,}})|  \d{{4}}-\d\d-\d\dT[\d:.]+Z +)({WORDS})\s+")
"""Rust's tracing indents what it prints prettily; rich leaves out a time that it printed on the line before; FastAPI's
command prints none."""
ACCESS = re.compile(r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}[^\]]*\] \"|\S+ - \"[A-Z]+ \S+ HTTP/|\[pid: \d+\|app: ")
WARNED = re.compile(r"\S+\.py:\d+: \w*Warning: ")
CRASHED = re.compile(r"Fatal Python error: ")

WORKER = re.compile(r"/([\w.@-]+)\]\s?")
FENCE = re.compile(r"[\]\s:|)>/,;-]*")
LOCATION = re.compile(
    r"(?:\[([\w.:$-]+)\]:? |([\w.$-]+(?::[\w<>.]+)?(?::\d+)?)(?: - |: | \| |\s+-\s+)|([a-z_]\w*(?:\.\w+)+):?\s+)"
)
LOGFMT, LOGFMT_ERROR = (
    re.compile(
        rf"(?:\w+=(?:\"[^\"]*\"|'[^']*'|[^\s\"']\S*) )*?(?:{names})="
        r"(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"'=]+))(?= \w+=|\s*$)"
    )
    for names in ("msg|message|event", "err|error")
)
SUFFIX = re.compile(r"\s{4,}[\w.<>-]+\.py:\d+\s*$")
FIELD_WORKER = re.compile(r"\b(?:pid|worker|thread)[=: ](\w+)")
OFFSET = re.compile(r"[+-]\d+$")


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


def level_named(word: object) -> str | None:
    """The level that a word or a number (bunyan, pino) means; Go's slog writes `ERROR+2`."""
    if isinstance(word, bool):
        return None
    if isinstance(word, int | float):
        if not 0 < word < 100:  # the status of an HTTP answer, say
            return None
        return "debug" if word < 30 else ("info", "warning", "error", "critical")[min(int(word) // 10, 6) - 3]
    return NAMES.get(OFFSET.sub("", word.strip().lower())) if isinstance(word, str) else None


def header_of(text: str) -> Header | None:
    """The header in a line of text, or None where the line starts no record."""
    if not text:
        return None
    first = text[0]
    if first.isspace():
        found = BLANK_TIME.match(text)
        return _made(found[1], text, found.end(), None) if found else None
    if (first.isdigit() or first in "[(t" or first.isupper()) and (stamp := STAMP.match(text)):
        return _stamped(text, stamp)
    if found := LEADING.match(text):
        level = level_named(found[1] or found[2] or found[3])
        if level:
            return _made(level, text, found.end(), None)
    return _rare(text)


def spoken(text: str) -> Header | None:
    """The header of a line that begins with a level in small letters, as servers write it to syslog."""
    found = SPOKEN.match(text)
    return _made(found[1], text, found.end() - 1, None) if found and found[1] else None


def _rare(text: str) -> Header | None:
    """Layouts that start neither with a time nor with a level."""
    if said := dialects.said(text):
        level, message, time, logger, worker = said
        return Header(level, message, time=time, logger=logger, worker=worker, alone=not (time or logger))
    if found := (GLOG.match(text) or TORNADO.match(text)):
        return Header(LETTERS[found[1]], dialects.unquoted(text[found.end() :]), time=found[2])
    if found := NAMED.match(text):
        made = _made(found[2], text, found.end(), None)
        return Header(made.level, made.message, logger=found[1])
    if CRASHED.match(text):
        return Header("critical", text)
    if WARNED.match(text):
        return Header("warning", text)
    return Header("info", text) if ACCESS.match(text) else None


def _stamped(text: str, stamp: re.Match[str]) -> Header | None:
    """A line that starts with a time: its level follows within a few fields, or it has none."""
    end = stamp.end()
    if said := SPOKEN.match(text, end):
        word, at = (said[1], said.end() - 1) if said[1] else (said[2] or said[3], said.end())
        return _made(word, text, at, stamp[1])
    if channel := dialects.CHANNEL.match(text, end):
        return Header(level_named(channel["word"]), text[channel.end() :], time=stamp[1], logger=channel["logger"])
    found = LEVEL.search(text, end, end + 140)
    if found and _fields(text[end : found.start()]):
        level = level_named(found[1] or found[2] or found[3])
        if level:
            return _made(level, text, found.end(), stamp[1], before=text[end : found.start()])
    if text[0] == "[" and (letters := TORNADO.match(text)):
        return Header(LETTERS[letters[1]], text[letters.end() :], time=letters[2])
    return Header(None, text[end + 1 :] if text[end : end + 1] in (" ", "\t") else text[end:], time=stamp[1])


def _fields(between: str) -> bool:
    """Return whether the text between time and level is made of fields, not of a sentence."""
    words = [word for word in between.split() if word.isalpha()]
    return len(words) <= 1 and '"' not in between and "'" not in between


def _made(level: str, text: str, at: int, time: str | None, before: str = "") -> Header:
    """A header whose level ends at `at`: what follows is worker, logger and message."""
    level = NAMES.get(level.lower(), level)
    if level in CALM and "most recent call last" not in text:
        return Header(level, text[at:], time=time)  # nothing of it is kept: most lines end here
    worker = None
    at += text.startswith(("'", '"'), at)  # level='error'
    if found := WORKER.match(text, at):
        worker, at = found[1], found.end()
    elif before and (named := FIELD_WORKER.search(before)):
        worker = named[1]
    logger, at = _placed(text, at)
    message = text[at:].rstrip()
    if quoted := (LOGFMT.match(text, at) or (None if message else LOGFMT.match(text)) or LOGFMT_ERROR.match(text, at)):
        said = quoted[1] or quoted[2] or quoted[3] or message
        return Header(level, dialects.with_cause(said, dialects.cause(text)), time=time, logger=logger, worker=worker)
    if message.endswith(tuple("0123456789")) and (found := SUFFIX.search(message, max(len(message) - 200, 0))):
        message = message[: found.start()]
    return Header(level, message.strip(), time=time, logger=logger, worker=worker)


def _placed(text: str, at: int) -> tuple[str | None, int]:
    """Find the logger's name behind a level that ends at `at`, and where the message begins."""
    dashed = text.startswith((" - ", "] - "), at)
    basic = text.startswith(":", at) and text[at + 1 : at + 2] not in ("", " ", "\t")
    colon = text.startswith(": ", at) or text.startswith(":\t", at)
    fence = FENCE.match(text, at)
    at = fence.end() if fence else at
    if spring := SPRING.match(text, at):
        return spring[1], spring.end()
    place = None if colon or dashed else LOCATION.match(text, at)
    if place and (not basic or ":" not in place[0].rstrip(": ")):
        return place[1] or place[2] or place[3], place.end()
    if basic:
        name, separator, _ = text[at:].partition(":")
        if separator and " " not in name:
            return name, at + len(name) + 1
    return None, at

"""Records of XML: log4j's and java.util.logging's layouts, Windows' events, FoundationDB's traces, and their like.

Fields are found by their names, without a parser: a log is no document, and a hostile one must cost no more than its
length.
"""

import html
import re
from collections.abc import Mapping, Sequence

from error_monitor.reading import foreign, tracebacks
from error_monitor.reading.levels import level_named
from error_monitor.reading.line import Line

CHARS = 65_536
BEGINS = re.compile(
    r"<(?P<name>(?:[\w.-]+:)?(?:[A-Za-z]{0,20}[Ee]vent|[Rr]ecord|(?:[Ll]og)?[Ee]ntry)(?=[\s>])|!\[LOG\[)"
)
ATTRIBUTE = re.compile(r"(?<=\s)(?P<name>[\w:.-]{1,40})=(?P<quote>[\"'])(?P<value>[^\"'<]{0,4000})(?P=quote)")
ELEMENT = re.compile(r"<(?:\w+:)?(?P<name>[A-Za-z]\w{0,40})(?:\s[^<>]{0,400})?>(?P<value>[^<]++)</")
PROVIDER = re.compile(r"<Provider Name=[\"']([^\"'<]{1,200})")
CMTRACE = re.compile(r"<!\[LOG\[(.*)\]LOG\]!>", re.DOTALL)
FRAME = re.compile(
    r"<frame>\s*<class>([^<]{1,400})</class>\s*<method>([^<]{1,200})</method>\s*(?:<line>(\d{1,9})</line>)?"
)
LEVELS = ("level", "severity")
MESSAGES = ("message", "rendered-message", "msg", "text")
SAID = ("type", "error", "errordescription", "eventid", "data", "method")
"""What tells an error where there is no message."""
LOGGERS = ("logger", "provider")
TIMES = ("date", "systemtime", "datetime", "timestamp", "time", "millis")
THROWN = ("throwable", "exception", "stacktrace")
NUMBERS = {"1": "critical", "2": "error", "3": "warning", "20": "warning", "30": "warning", "40": "error"}
"""Windows' levels, and FoundationDB's; all others are about what works."""
TYPES = {"2": "warning", "3": "error"}
"""The levels of what CMTrace shows, which it calls types."""


def begins(text: str) -> str | None:
    """The name of the element that a line begins, if it is that of a record."""
    found = BEGINS.match(text)
    return found["name"] if found else None


def ends(name: str, text: str) -> bool:
    """Return whether a line ends the element."""
    return text.rstrip().endswith(">" if name.startswith("!") else (f"</{name}>", "/>"))


def read(line: Line, text: str) -> bool:
    """Read a record into a line; tell whether it has a level."""
    text = _without_cdata(text)
    fields = _fields(text)
    said = fields.get("type", "") if text.startswith("<!") else _first(fields, LEVELS) or ""
    level = (TYPES if text.startswith("<!") else NUMBERS).get(said) or level_named(said)
    if level is None and said.isdigit():
        level = "info"
    if level is None:
        return False
    line.level, line.whole = level, True
    line.time = _first(fields, TIMES) or line.time
    line.logger = _first(fields, LOGGERS)
    line.text = _first(fields, MESSAGES) or ": ".join(fields[name] for name in SAID if name in fields)
    thrown = _first(fields, THROWN) or _framed(text)
    if thrown and (foreign.whole(thrown) or tracebacks.BELOW.search(thrown)):
        line.exception = thrown
    return True


def _first(fields: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _fields(text: str) -> dict[str, str]:
    """Every attribute and every element that holds a text, the first of each name."""
    fields: dict[str, str] = {}
    if cmtrace := CMTRACE.match(text):
        fields["message"] = cmtrace[1]
    for found in (*ELEMENT.finditer(text), *ATTRIBUTE.finditer(text)):
        if value := html.unescape(found["value"]).strip():
            fields.setdefault(found["name"].lower(), value)
    if provider := PROVIDER.search(text):
        fields["provider"] = provider[1]
    return fields


def _without_cdata(text: str) -> str:
    """A text whose quoted sections are escaped instead."""
    first, *sections = text[:CHARS].split("<![CDATA[")
    parts = [section.partition("]]>") for section in sections]
    return first + "".join(html.escape(inner) + after for inner, _, after in parts)


def _framed(text: str) -> str | None:
    """The exception of java.util.logging, whose frames are elements."""
    exception = text.partition("<exception>")[2]
    frames = [
        f"\tat {place}.{method}({place.rpartition('.')[2]}.java:{at or 1})"
        for place, method, at in FRAME.findall(exception)
    ]
    said = re.search(r"<message>([^<]{1,4000})</message>", exception)
    return "\n".join([html.unescape(said[1]).strip(), *frames]) if said and frames else None

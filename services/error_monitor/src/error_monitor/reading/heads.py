"""The head of a record in a layout that no row knows: a time of any form and a level of any form among its fields.

A head is a run of fields - times, numbers, brackets, names with dots, words that a delimiter ends - and one of the
first of them names a level. A sentence is not: its words stand alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from error_monitor.reading.levels import JAVA, KNOWN, level_of


def _either(words: Iterable[str]) -> str:
    """Any of the words, behind their first letter, by which `re` leaves most texts at once."""
    ends: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        ends.setdefault(word[0], []).append(re.escape(word[1:]))
    return "(?:" + "|".join(f"{letter}(?:{'|'.join(rest)})" for letter, rest in ends.items()) + ")"


CAPITALS = _either({word.upper() for word in KNOWN})
WORDS = _either({form for word in KNOWN for form in (word, word.capitalize(), word.upper())})
MONTH = r"(?i:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
DATE = (
    rf"(?:\d{{1,4}}(?P<dash>[-/.])(?:\d\d?|{MONTH})(?P=dash)\d{{1,4}}|{MONTH}[ /-][ \d]?\d(?:,? \d{{4}})?"
    rf"|\d{{1,2}}[- /]{MONTH}(?:[- /]\d{{4}})?|\d{{6}}|\d{{8}}|\d\d[-/]?\d\d)"
)
CLOCK = r"(?:\d{1,2}[:.]\d\d[:.]\d\d(?:[.,:]\d{1,9})?|\d{6}\.\d{1,9})"
ZONE = r"(?: ?(?:Z|[A-Z]{3,4}|[+-]\d\d:?\d\d|[AP]M|[+-]\d{3})(?![\w:]))?"
TIME = (
    rf"(?:(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?{DATE}(?:[T _:|@.-]|, |\]\[| --? )"
    rf"(?:{CLOCK}|\d\d:\d\d(?=\s)){ZONE}(?: \d{{4}}(?![\w:.]))?|{CLOCK}{ZONE}"
    rf"|\d{{1,2}}:\d\d ?[AP]M|\d{{14}}(?:\.\d{{1,9}})?|\d{{10}}(?:\.\d{{1,9}})?|\d+\.\d{{3,9}}s(?=\]))"
)
BRACKETS = r"(?:\[[^\[\]\"]{0,60}\]|\{[^{}\"]{0,40}\}|\([^()\"]{0,40}\))"
STAMP = re.compile(rf"(?:(?:{BRACKETS}|\d+[ :]) ?){{0,4}}?[\[(<]*[ @]*(?P<time>{TIME})[\])>]*(?![\w.])")
"""A time, by its shape."""
SECONDS = re.compile(r"\d{1,7}\.\d{3,9}(?= )")
"""Since a program's start: a time only where a level follows."""
NUMBERED = re.compile(
    r",\s+(?P<number>\d{1,2})\]|\s+[\da-f]{8,16}\s+(?P<negative>-1)(?=\s)"
    r"|(?::? \[[^\s()]*\])+ \((?P<mask>0x[\da-f]{4})\):?"
)
"""Samba's level, of which 0 is the gravest; Ceph's, of which -1 is; sssd's, whose first bits are errors."""
GRAVE = 0x0040
GAP = r"[\s|,;:>=\u25b6\u00bb\u203a\u2139\u2716\u26a0\u2013\u2014*#~!@?-]*+"
FIELD = (
    r"(?>[A-Za-z_./@%+$\\-]*+\d[\w./@%+$\\-]*+(?::[\w./@%+$\\-]++)*+|\[[^\[\]\"]{0,120}\]"
    r"|\((?:[^()\"]|\([^()]*\)){0,80}\)|<(?:[^<>\"]|<[^<>]*>){0,80}>|\{[^{}\"]{0,60}\}|'[^']{0,60}'(?=\s)"
    r"|[./~]{0,3}[\w$-]++(?:(?:[./\\]++|:(?!:))[\w$-]++)++(?<!Error)(?<!Exception)|[a-z]++(?:-[a-z]++)++"
    r"|[A-Za-z_][\w-]*+(?<!rror)(?<!xception)(?=\s?[:|(\[<>=]|\t|\s{2}|\s-\s|,\w|\s\d+[:\]]|\s[A-Z]\s{2})"
    r"|(?:[A-Z][a-z]{2}|UTC|GMT)(?=[\s\]]))"
)
CALM = r"(?!\s*(?i:0|none|null|nil|no|false)\s*(?:$|[,;.)\]|]))"
FIRSTS = "".join(sorted({letter for word in KNOWN for letter in (word[0], word[0].upper())}))
FOREIGN = _either(word.upper() for word in JAVA.split())
LOCAL = "Fehler|Warnung|Erreur|Errore|Avertissement|Advertencia|Avviso|Ошибка|Предупреждение|错误|警告|エラー"
"""Nouns that begin no sentence of a log: they need no delimiter behind a time."""
KEY = r"(?=[lLsSpP])(?i:level|lvl|severity|sev|prio|priority|loglevel)\s?[:=]\s?[\"']?"
WITHIN = rf"\[[^\[\]\"']{{0,80}}[\s,:|](?P<within>{WORDS})(?=[\s,:|(\]])[^\[\]\"]{{0,120}}\]"
OPENS_TIME, LEVELS = "0123456789[({<@", FIRSTS + "DIWEFCNVTX"
NAMES = (
    "Mon Tue Wed Thu Fri Sat Sun Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec jan feb mar apr jun jul aug sep oct "
)
NAMES += "may nov dec"
"""What a time may begin with, beside a number."""
MARK = (
    rf"(?:(?=[\[(<{{])(?:.\s*(?:[a-z_\d]++[:.]|[A-Z]++_)?(?P<boxed>{WORDS}|[DIWEFCNVT]|EE|WW|II)\s*(?:[#/(][^\]\[>]{{0,60}})?[\])>}}]"
    rf"|{WITHIN}|\[(?P<letter>[DIWEFC]) \d[^\[\]]{{0,80}}\])"
    rf"|(?=[{FIRSTS}])(?:(?P<upper>{CAPITALS})(?=[\s\]:|)/>,;(\[-]|\d+\[|$)"
    rf"|(?P<said>{WORDS})(?:\(\d+\))?(?=\s?[:|!/;]{CALM}|\t|\s-\s|\s{{2}}|\s['\[(]"
    r"|\s[\w./-]+(?:\[\d+\]| :| \[|:\d+:\s)|\s[A-Z]\w*:\s|\s\d{3,5}(?: \(\w+\))?:\s))"
    rf"|(?=[FWEA\u041e\u041f\u9519\u8b66\u30a8])(?P<local>{LOCAL})(?=\s)|[A-Z]{{3,}}_(?P<compound>{CAPITALS})(?=[\s\]:])|(?=[A-Z]{{3,6}}\d{{3,5}}(?P<ident>[IWEFC])[:\s])"
    rf"|{KEY}(?:[A-Z]+_)?(?P<keyed>{WORDS})(?![A-Za-z_])|[A-Za-z]\w{{0,40}}+[.-](?P<channel>{CAPITALS})(?=[\s\]:|)/>,;(\[-]|$)"
    rf"|(?=[a-z]{{3,8}}[0-7]?\.[a-z]+\s)(?:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|uucp|cron|ftp|local[0-7])\.(?P<facility>{WORDS})(?=\s)"
    r"|(?P<short>[DIWEFCNVT])(?=[!>]|\s\|\s|:?\s+[\[(<{]|\s{2}|\s[\w./-]{1,60}[:.(\[]|\s[A-Z]{2,}\s)"
    rf"|(?P<small>[diwefc])(?=\s+[A-Z]\w+\s{{2,}})|[a-z]++(?:,[a-z]++)*?,(?P<listed>{WORDS})(?=[\s,])"
    r"|%[A-Z][A-Z\d_]*-(?:[A-Z\d_]+-)?(?P<digit>[0-7])-[A-Z\d_]+(?=:))"
)
BEHIND = re.compile(rf"(?:{GAP}{FIELD}){{0,10}}?{GAP}{MARK}")
"""The level of a line, behind its time."""
NEXT = re.compile(rf"{GAP}{MARK}")
FIRST = re.compile(
    rf"(?:{BRACKETS} ?)?[\[(<]? ?(?P<mark>{WORDS}|[DIWEFCNVTX])[\])>]?[,:]? {{0,2}}(?:- )?"
    rf"(?:[\[(]*[ @]*(?P<time>{TIME})[\])>]*|\(\d{{1,12}}\))(?:\(\d+\)\?)?(?![\w.])"
)
"""The level of a line, before its time."""
TIMELESS = re.compile(
    rf" ?(?:(?:{GAP}{FIELD}){{1,5}}?{GAP}"
    rf"(?:(?=[{FIRSTS}])(?:(?P<upper>{CAPITALS})(?=[\]:|)>]|\s[-|]\s|\s{{2}}|\s\*\*:)"
    rf"|(?P<said>{WORDS})(?:\s[A-Z]{{1,5}}\d{{1,6}})?(?=:\s{CALM}))"
    rf"|[A-Z]\w{{0,40}}+-(?:[A-Z]+-)?(?P<channel>{CAPITALS})(?= \*\*:)|[\[<(](?P<boxed>{WORDS})[\])>])"
    rf"|[^\w\s\[\]<>()\"']{{0,3}}\s?[\[<(](?P<alone>{WORDS}|EE|WW|II)(?:[#/(][^\]\[>]{{0,60}})?[\])>]"
    rf"|(?=\[[^\[\]]*\d){WITHIN}|\[[^\[\]\"']{{0,80}}[\s,:|](?P<last>{CAPITALS})\]"
    rf"|\"(?P<quoted>{WORDS})\",\"(?:[^\"]*\",\")*|(?P<padded>{CAPITALS}) +(?=[\w:.]+ +> )"
    rf"|(?P<bare>[EWIN]|{FOREIGN})(?=: \S)"
    rf"|[\w.$-]{{1,40}} (?:(?P<spaced>{CAPITALS})(?=:\s)|(?P<titled>Error|Warning)(?= at \S+:\d)))"
)
"""The level of a line without a time."""
COLUMN = re.compile(r"\s{2,}([A-Za-z]{4,11})\s{2,}")
"""A level as a column of a table, before what another column says."""
NAME = re.compile(r"([\w.$-]+)(?: - |: | \| )")
"""The logger, where it comes first."""

CODES = re.compile(r"\W*\d+(?:[,;] *\w+: ?\d+)+\.?$")
"""A message of numbers alone: what happened stands in the next line of the same moment, as SQL Server writes it."""


@dataclass(frozen=True, slots=True)
class Head:
    """A level that was found: where it ends, and what stands before it."""

    level: str
    end: int
    time: str | None = None
    logger: str | None = None


def behind(text: str, at: int) -> Head | None:
    """Find the level behind a time that ends at `at`."""
    found = BEHIND.match(text, at, at + 400)
    if found is None:
        return None
    group = found.lastgroup or ""
    if found["said"] in ("Error", "Exception") and found.start(group) <= at + 1 and text.startswith(":", found.end()):
        return Head("error", found.start(group))  # what is thrown is printed so, too: its name stays in the message
    head = _head(found[group], found.end())
    return deeper(text, head.end) if head and head.level == "debug" else head


def deeper(text: str, at: int) -> Head:
    """The level where a component is called TRACE or DEBUG, and its level follows; else it was the level."""
    found = NEXT.match(text, at)
    return (_head(found[found.lastgroup or 0], found.end()) if found else None) or Head("debug", at)


def stamped(text: str) -> tuple[Head | None, int, str | None]:
    """Find a time at the beginning, where it ends, and the level behind it."""
    found = STAMP.match(text)
    if found is None:
        seconds = SECONDS.match(text)
        return (behind(text, seconds.end()), seconds.end(), None) if seconds else (None, 0, None)
    return behind(text, found.end()), found.end(), found["time"]


def numbered(text: str, at: int) -> Head | None:
    """Find a number behind a time, within its brackets."""
    found = NUMBERED.match(text, at)
    if found is None:
        return None
    is_grave = int(found["mask"], 16) <= GRAVE if found["mask"] else found["negative"] or found["number"] == "0"
    return Head("error" if is_grave else "info", found.end())


def first(text: str) -> Head | None:
    """Find a level at the beginning, before the time."""
    found = FIRST.match(text)
    return _head(found["mark"], found.end(), found["time"]) if found else None


def timeless(text: str) -> Head | None:
    """Find the level of a line that has no time."""
    found = TIMELESS.match(text, 0, 400)
    if found is None:
        return None
    mark, end = found.lastgroup or "", found.end()
    if (column := COLUMN.search(text, 0, found.start(mark))) and level_of(column[1]):
        mark, end = column[1], column.end()
    else:
        mark = found[mark]
    head = _head(mark, end)
    named = NAME.match(found[0])
    return replace(head, logger=named[1]) if head and named else head


def _head(mark: str, end: int, time: str | None = None) -> Head | None:
    level = level_of(mark)
    return Head(level, end, time) if level else None

"""Times as logs print them, as ISO 8601 in UTC: by their shape, whatever stands between their parts."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

ZONES = {
    "Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00", "WET": "+00:00", "WEST": "+01:00", "CET": "+01:00",
    "CEST": "+02:00", "EET": "+02:00", "SAST": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "HKT": "+08:00",
    "JST": "+09:00", "KST": "+09:00", "AEST": "+10:00", "AEDT": "+11:00", "NZST": "+12:00", "NZDT": "+13:00",
    "BRT": "-03:00", "EDT": "-04:00", "EST": "-05:00", "CDT": "-05:00", "MDT": "-06:00", "MST": "-07:00",
    "PDT": "-07:00", "PST": "-08:00",
}  # fmt: skip
"""What PostgreSQL, Java and others print for a zone; names with two meanings, as IST, count as local time."""
ZONE = rf"(?:{'|'.join(ZONES)}|[+-]\d\d:?\d\d)"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = rf"(?i:{'|'.join(MONTHS)})[a-z]*"
BETWEEN = r"(?:[T_@|~]|::?|-(?=\d\d[.:])|\"?,\"?|\]? ?\[|,? {1,2}| --? |[\"']? time=[\"']?)"
"""What may stand between a date and its clock."""
DATE = (
    r"(?:(?P<y>\d{4})[-/.](?P<m>\d\d?)[-/.](?P<d>\d\d?)|(?P<one>\d\d?)(?P<dash>[-/.])(?P<two>\d\d?)(?P=dash)(?P<three>\d{4}|\d\d)"
    rf"|(?P<dd>\d\d?)[- /](?P<mon>{MONTH})(?:[- /](?P<yy>\d{{4}}))?"
    rf"|(?P<name>{MONTH})[ /-](?P<day>[ \d]?\d)(?:,? (?P<year>\d{{4}}))?|(?P<full>\d{{8}})|(?P<short>\d{{6}})"
    r"|(?P<glued>\d{8})(?=\d{6})|(?P<month>\d\d)-?(?P<last>\d\d))"
)
CLOCK = r"(?P<hour>\d\d?)(?P<colon>[:.]?)(?P<minute>\d\d)(?P=colon)(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9}))?"
MOMENT = re.compile(
    rf"(?<![\w.-])[A-Z]?{DATE}(?:{BETWEEN}|(?<=\d{{8}})(?=\d{{6}}(?!\d))){CLOCK}(?![\d:])(?: ?(?P<half>[AP]M))?"
    rf"(?: ?(?P<zone>{ZONE})(?![\w:]))?(?: (?P<after>\d{{4}})(?![\w:.]))?"
)
EPOCH = re.compile(r"\d{10}(?:\.\d+)?$|\d{13}(?:\.\d+)?$|\d{16}$|\d{19}$")
FLOAT = re.compile(r"1\.\d+e\+0?9$")
"""zap prints its seconds so."""
SECONDS = re.compile(r"[\[=(]\"?(\d{10}(?:\.\d{1,9})?|\d{13})\"?(?=[\])\s]|$)")
HEAD_CHARS, FAR = 160, 60
SPOKEN = re.compile(
    r"[A-Za-z]{3,} [a-z]{3,}(?: |$)|(?:^| )(?:at|by|expired|for|from|in|of|on|since|till|to|until|was|before|after) $"
)
"""Words before a time that make it part of a sentence, not the time of a record."""


def iso(printed: str | None) -> str | None:
    """A printed time as ISO 8601; without a zone it is this machine's local time. None where it names no moment."""
    if not printed:
        return None
    printed = printed.strip()
    try:
        if FLOAT.match(printed):
            found: datetime | None = datetime.fromtimestamp(float(printed), UTC)
        elif EPOCH.match(printed):
            whole = printed.partition(".")[0]
            found = datetime.fromtimestamp(float(printed) / 10 ** (len(whole) - 10), UTC)
        else:
            said = MOMENT.search(printed)
            found = _moment(said) if said else None
    except (ValueError, OverflowError, OSError):
        return None
    return found.astimezone(UTC).isoformat(timespec="microseconds") if found else None


def within(text: str) -> str | None:
    """The time that stands in the head of a record's first line."""
    found = MOMENT.search(text, 0, HEAD_CHARS)
    if found is None:
        seconds = SECONDS.search(text, 0, HEAD_CHARS)
        return iso(seconds[1]) if seconds and not SPOKEN.search(text[: seconds.start()]) else None
    before = text[: found.start()]
    is_told = found.start() > FAR and not before.endswith("=")
    return None if is_told or SPOKEN.search(before) else iso(found[0])


def _moment(found: re.Match[str]) -> datetime | None:
    """The first reading of a date that is a day of the calendar, and not to come."""
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + 12 * (found["half"] == "PM")
    zone = ZONES.get(found["zone"] or "", found["zone"] or "")
    clock = f"{hour:02}:{found['minute']}:{found['second']}.{(found['fraction'] or '0')[:6].ljust(6, '0')}{zone}"
    now = datetime.now(UTC) + timedelta(days=1)
    for year, month, day in _dates(found, now.year):
        try:
            moment = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{clock}")
        except ValueError:
            continue
        if moment.astimezone(UTC) <= now or found["y"] or found["full"]:
            return moment
    return None


def _dates(found: re.Match[str], this: int) -> Iterator[tuple[int, int, int]]:
    """List what year, month and day a date may mean; without a year, the last such day is meant."""
    if found["y"]:
        yield int(found["y"]), int(found["m"]), int(found["d"])
    elif found["one"]:
        yield from _numbers(found)
    elif text := found["full"] or found["short"] or found["glued"]:
        yield (int(text[:-4]) + (2000 if len(text) == len("yymmdd") else 0), int(text[-4:-2]), int(text[-2:]))
    elif found["month"]:
        yield from ((year, int(found["month"]), int(found["last"])) for year in (this, this - 1))
    else:
        name = found["mon"] or found["name"]
        day = int(found["dd"] or found["day"])
        year = found["yy"] or found["year"] or found["after"]
        for one in [int(year)] if year else [this, this - 1]:
            yield one, MONTHS.index(name[:3].lower()) + 1, day


def _numbers(found: re.Match[str]) -> Iterator[tuple[int, int, int]]:
    """Three numbers: America's order with AM or PM and with short years, else the day first; years first last."""
    one, two, three = int(found["one"]), int(found["two"]), int(found["three"])
    is_short = len(found["three"]) == len("yy")
    american, others = (three + 2000 * is_short, one, two), (three + 2000 * is_short, two, one)
    is_american = bool(found["half"]) or (is_short and found["dash"] == "/")
    if is_american:
        yield american
        if is_short:
            yield one + 2000, two, three
    yield others
    yield american

"""Times as logs print them, as ISO 8601 in UTC."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

ZONES = {
    "Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00", "WET": "+00:00", "WEST": "+01:00", "CET": "+01:00",
    "CEST": "+02:00", "EET": "+02:00", "SAST": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "HKT": "+08:00",
    "JST": "+09:00", "KST": "+09:00", "AEST": "+10:00", "AEDT": "+11:00", "NZST": "+12:00", "NZDT": "+13:00",
    "BRT": "-03:00", "EDT": "-04:00", "EST": "-05:00", "CDT": "-05:00", "MDT": "-06:00", "MST": "-07:00",
    "PDT": "-07:00", "PST": "-08:00",
}  # fmt: skip
"""What PostgreSQL, Java and others print for a zone; names with two meanings, as IST, count as local time."""
ZONE = rf"(?:{'|'.join(ZONES)}|[+-]\d\d:?\d\d)"
ISO = re.compile(rf"(\d{{4}})[-/.](\d\d)[-/.](\d\d)(?:[T _]|, )(\d\d:\d\d:\d\d)(?:[.,:](\d{{1,9}}))?(?: ?({ZONE}))?$")
EPOCH = re.compile(r"\d{10}(?:\.\d+)?$|\d{13}$|\d{16}$|\d{19}$")
FORMATS = (
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S",
    "%d-%b-%Y::%H:%M:%S.%f",
    "%d-%b-%Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y, %I:%M:%S %p",
    "%d.%m.%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%Y%m%d %H:%M:%S",
    "%Y%m%dT%H%M%S%z",
    "%m/%d/%y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%y%m%d %H:%M:%S",
    "%y%m%d %H%M%S",
)
YEARLESS = ("%b %d %H:%M:%S", "%b %d %H:%M:%S.%f")


def iso(printed: str | None) -> str | None:
    """A printed time as ISO 8601; without a zone it is this machine's local time. None where it names no moment."""
    if not printed:
        return None
    try:
        found = _moment(printed.strip())
    except (ValueError, OverflowError, OSError):
        return None
    return found.astimezone(UTC).isoformat(timespec="microseconds") if found else None


def _moment(printed: str) -> datetime | None:
    if found := ISO.match(printed):
        year, month, day, clock, fraction, zone = found.groups()
        zone = ZONES.get(zone, zone or "")
        return datetime.fromisoformat(f"{year}-{month}-{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{zone}")
    if EPOCH.match(printed):
        whole = printed.partition(".")[0]
        return datetime.fromtimestamp(float(printed) / 10 ** (len(whole) - 10), UTC)
    return _named(printed)


def _named(printed: str) -> datetime | None:
    """Times with the name of the month; a syslog time has no year, so the last such day is meant."""
    if printed.endswith(" GMT"):
        return parsedate_to_datetime(printed)
    for layout in FORMATS:
        try:
            return datetime.strptime(printed, layout)  # noqa: DTZ007 - without a zone it is local
        except ValueError:
            continue
    now = datetime.now()  # noqa: DTZ005 - local, as what is printed
    for layout in YEARLESS:
        try:
            found = datetime.strptime(f"{now.year} {printed}", f"%Y {layout}")  # noqa: DTZ007
        except ValueError:
            continue
        return found if found <= now + timedelta(days=1) else found.replace(year=now.year - 1)
    return None

"""The table `[watch]`: when an outage counts, whom to notify, and when to be quiet."""

import datetime as dt
import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from testbay.manifest.fields import VARIABLE, Duration, Table

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone: write e.g. Europe/Amsterdam") from None
    return name


def _span(text: str) -> str:
    found = _SPAN.fullmatch(text)
    if not found or text[:5] == text[6:]:
        raise ValueError(f'{text!r} is not a time of day: write e.g. "22:00-07:00"')
    return text


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError(f'{text!r} is not a time of day: write e.g. "02:30"')
    return text


Zone = Annotated[str, AfterValidator(_zone)]


class Channel(Table):
    """A recipient of messages, by an address from the environment, as the address is a secret.

    In the hours of `quiet` nothing is sent there; what happened is sent when they end.
    """

    url: str = Field(pattern=VARIABLE)
    quiet: list[Annotated[str, AfterValidator(_span)]] = []


class Maintenance(Table):
    """Hours of planned work: once, `from` and `until`, or again and again, `at` for `lasts` on some `days`.

    What begins and ends within one is not told; what outlives it is told at its end.
    """

    start: dt.datetime | None = Field(default=None, alias="from")
    until: dt.datetime | None = None
    at: Annotated[str, AfterValidator(_clock)] | None = None
    lasts: Duration | None = None
    days: list[Day] = Field(default=list(DAYS), min_length=1)
    checks: list[str] = []
    targets: list[str] = []

    @model_validator(mode="after")
    def _is_once_or_often(self) -> "Maintenance":
        once, often = (self.start, self.until), (self.at, self.lasts)
        if [all(once), all(often), any(once) and any(often)] not in ([True, False, False], [False, True, False]):
            raise ValueError("either from and until, or at and lasts")
        for moment in filter(None, once):
            if moment.tzinfo is None:
                raise ValueError(f"{moment} is in no zone: write e.g. 2026-12-01T02:00:00Z")
        if self.start and self.until and self.start >= self.until:
            raise ValueError("until is not later than from")
        if self.lasts and self.lasts > 86400:
            raise ValueError("lasts is more than a day: write from and until")
        return self


class Watching(Table):
    """The rules by which `testbay watch` judges outages and notifies.

    An outage counts after so many failed rounds in a row, and is over after so many good ones. `again` is the interval
    of reminders. `keep` is how long every round is kept; sums are kept for years. `alive` is an address that the
    watcher calls each minute: it watches the watcher. `look` is how often the deployment platform is asked for new
    builds.
    """

    after: int = Field(default=3, ge=1, le=100)
    recovered_after: int = Field(default=2, ge=1, le=100)
    again: Duration | None = None
    zone: Zone = "UTC"
    look: Annotated[Duration, Field(ge=1, le=3600)] = 30.0
    keep: Annotated[Duration, Field(ge=3600)] = 7 * 86400.0
    alive: Annotated[str, Field(pattern=VARIABLE)] | None = None
    tell: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], Channel] = {}
    maintenance: list[Maintenance] = []

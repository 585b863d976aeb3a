"""The records of a watcher, which the store keeps: states of checks, incidents, notices, and lines of time lines."""

import sqlite3
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from testbay.production.checks.report import Verdict
from testbay.production.history.slowness import Series

NoticeKind = Literal["open", "again", "close", "channel"]


class JobCall(NamedTuple):
    """A call of a job: its time, kind and text."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The state of one check. `bad` and `good` count rounds in a row; `unheld` the bad ones without an excuse;
    `flaws` grows with each such one, and falls by one with each good one.

    One that `has_passed` is well until an outage begins; of one that never did, nothing good is known. `outages`
    counts the outages that followed each other within an hour, the last of which `ended` at that time.
    """

    verdict: Verdict | Literal["unknown"] = "unknown"
    at: float = 0.0
    bad: int = 0
    good: int = 0
    unheld: int = 0
    flaws: int = 0
    since: float = 0.0
    incident: int = 0
    said: str = ""
    evidence: tuple[str, ...] = ()
    kind: str = ""
    took_s: float | None = None
    has_passed: bool = False
    outages: int = 0
    ended: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One cause at one target, from the first bad round to the good one that ended it. `members` are its checks."""

    id: int
    service: str
    target: str
    kind: Verdict
    cause: str
    opened: float
    said: str
    members: tuple[Series, ...] = ()
    recovered: tuple[Series, ...] = ()
    announced: float = 0.0
    reminded: int = 0
    closed: float = 0.0
    commit: str = ""
    gone: bool = False  # it ended since its last check is not asked any more: nothing says that it is well

    @property
    def goes_on(self) -> bool:
        return not self.closed

    @property
    def failing(self) -> tuple[Series, ...]:
        return tuple(one for one in self.members if one not in self.recovered)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message to one channel. `about` is the channel that fails, for a notice of that kind."""

    id: int
    incident: int
    kind: NoticeKind
    number: int
    channel: str
    posted: float
    due: float
    state: Literal["waiting", "sending", "sent", "dropped", "lost"] = "waiting"
    attempts: int = 0
    about: str = ""
    again: bool = False  # it was being sent when the watcher ended: it may have arrived


@dataclass(frozen=True, kw_only=True)
class Happening:
    """A line in the time line of an incident."""

    incident: int
    at: float
    text: str
    author: str = ""


@dataclass(kw_only=True)
class Changes:
    """The changes that are not written to the store yet."""

    standings: dict[Series, Standing] = field(default_factory=dict)
    incidents: dict[int, Incident] = field(default_factory=dict)
    notices: dict[int, Notice] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)


STANDING, INCIDENT, NOTICE = TypeAdapter(Standing), TypeAdapter(Incident), TypeAdapter(Notice)
Record = TypeVar("Record")


def decoded(kind: TypeAdapter[Record], record: str | bytes) -> Record:
    """Read a record.

    Raises:
        sqlite3.DatabaseError: It is damaged, or of another version.
    """
    try:
        return kind.validate_json(record)
    except ValidationError as error:
        raise sqlite3.DatabaseError(f"a record is damaged: {error.errors()[0]['msg']}") from None

"""The rules of outages: when an incident begins, which checks belong to it, and which notices follow; pure logic.

A check is down after so many failed rounds in a row, or when for long more than every fourth round failed, as of one
bad replica in three. It is up again after so many good ones: twice as many for each outage that followed the one before
within an hour, so that a check which comes and goes is one outage. Checks of a
target that fail for one cause share an incident. Rounds during a rollout or planned work do not announce an incident:
that takes as many failed rounds outside of them. So nothing is sent about what a deploy or planned work breaks and
fixes, and what outlives them is announced.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.incidents.findings import cause
from testbay.production.incidents.marker import digest
from testbay.production.watch.records import Changes, Happening, Incident, Notice, NoticeKind, Standing

_BAD = ("fail", "stale", "error")
_TOGETHER_S = 5.0  # checks that fail for one cause are asked at different moments: the message waits for them
_CLOSELY_S = 3600.0
_MOST_DOUBLINGS = 4
_FLAW = 3  # what a failed round adds; a good one takes one off
_FLAWS = 6  # times `after`: of ten checks that fail by chance in every tenth round, one is down so each week
_MOST_MEMBERS = 500
_EVIDENCE = 12


@dataclass(frozen=True, kw_only=True)
class OutageRules:
    """The rules for a service's outages: when one counts, and who is told."""

    after: int = 3
    recovered_after: int = 2
    again_s: float | None = None
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RoundResult:
    """The result of one round, which may be `held`: excused by a rollout, or by planned work."""

    series: Series
    result: Result
    at: float
    held: bool = False


@dataclass(kw_only=True)
class OutageTracker:
    """Takes in results, and keeps the state of checks, incidents and notices."""

    rules: Mapping[str, OutageRules]
    standings: dict[Series, Standing] = field(default_factory=dict)
    incidents: dict[int, Incident] = field(default_factory=dict)  # that go on, or whose notices wait
    notices: dict[int, Notice] = field(default_factory=dict)  # that wait or are on their way
    last_incident: int = 0
    last_notice: int = 0
    commit_of: Callable[[str, str], str] = lambda _service, _target: ""
    changes: Changes = field(default_factory=Changes)

    def take(self, heard: Iterable[RoundResult]) -> None:
        """Process the results of rounds."""
        for one in heard:
            if one.result.verdict == "skip":
                continue
            before = self.standings.get(one.series, Standing())
            now = self._bad(one, before) if one.result.verdict in _BAD else self._good(one, before)
            self.standings[one.series] = now
            if _matters(before, now):
                self.changes.standings[one.series] = now

    def rule(self, service: str) -> OutageRules:
        """Look up the rules of a service; the default ones if it is not watched any more."""
        return self.rules.get(service, OutageRules())

    def tick(self, now: float) -> None:
        """Post reminders of incidents that go on."""
        for one in list(self.incidents.values()):
            again_s = self.rule(one.service).again_s
            if not (again_s and one.goes_on and one.announced):
                continue
            number = max(0, int((now - one.announced) / again_s))
            if number != one.reminded:  # fewer: the clock was set back
                self._keep(replace(one, reminded=number))
            if number > one.reminded:
                self._post(one.id, "again", number, now)

    def forget(self, known: Iterable[Series], now: float) -> None:
        """Forget checks and channels that left the manifest, and end the incidents of such checks."""
        channels = {channel for rule in self.rules.values() for channel in rule.channels}
        for notice in [one for one in self.notices.values() if one.channel not in channels]:
            self.note(replace(notice, state="dropped"))
        for series in set(self.standings) - set(known):
            gone = self.standings.pop(series)
            if gone.incident in self.incidents:
                self.happened(gone.incident, now, f"{series.name} is no longer checked")
                self._leave(replace(self.incidents[gone.incident], gone=True), series, now)
            self.changes.standings[series] = Standing()

    def _bad(self, one: RoundResult, before: Standing) -> Standing:
        result = one.result
        now = replace(
            before,
            verdict=result.verdict,
            at=one.at,
            bad=before.bad + 1,
            good=0,
            unheld=0 if one.held else before.unheld + 1,
            flaws=before.flaws if one.held else before.flaws + _FLAW,
            since=one.at if before.bad == 0 and not before.incident else before.since,
            said=result.said,
            evidence=result.evidence[:_EVIDENCE],
            kind=result.kind,
            took_s=None,
        )
        after = self.rule(one.series.service).after
        is_flawed = now.flaws >= _FLAWS * after
        if now.incident and now.incident in self.incidents:
            self._relapse(self.incidents[now.incident], one.series)
        elif now.bad >= after or is_flawed:
            is_close = 0 <= one.at - before.ended < _CLOSELY_S
            now = replace(now, incident=self._opened(one, now), outages=before.outages + 1 if is_close else 1)
        if now.incident and (now.unheld >= after or is_flawed):
            self._announce(now.incident, one.at)
        return now

    def _good(self, one: RoundResult, before: Standing) -> Standing:
        now = replace(
            before,
            verdict="pass",
            at=one.at,
            bad=0,
            good=before.good + 1,
            unheld=0,
            flaws=max(0, before.flaws - 1),
            kind=one.result.kind,
            took_s=one.result.response_s,
            has_passed=True,
        )
        if not now.incident:
            first = before.since if before.verdict == "pass" else one.at
            return replace(now, since=first, said=one.result.said, evidence=())
        doublings = min(max(now.outages - 1, 0), _MOST_DOUBLINGS)
        enough = self.rule(one.series.service).recovered_after
        if now.good < enough * 2**doublings:
            return replace(now, flaws=0) if now.good >= enough else now
        if now.incident in self.incidents:
            self._recover(self.incidents[now.incident], one.series, one.at)
        return replace(now, incident=0, flaws=0, since=one.at, said=one.result.said, evidence=(), ended=one.at)

    def _opened(self, one: RoundResult, now: Standing) -> int:
        """The incident for a failing check: an existing one with the same cause, or a new one."""
        series, result = one.series, one.result
        key = digest("cause", series.service, series.target, result.verdict, cause(result))
        for known in self.incidents.values():
            if known.goes_on and known.cause == key and len(known.members) < _MOST_MEMBERS:
                members = known.members if series in known.members else (*known.members, series)
                self._keep(replace(known, members=members, opened=min(known.opened, now.since)))
                self._relapse(self.incidents[known.id], series)
                self.happened(known.id, one.at, f"{series.name}: {result.verdict}: {result.said}")
                return known.id
        self.last_incident += 1
        made = Incident(
            id=self.last_incident,
            service=series.service,
            target=series.target,
            kind=result.verdict,
            cause=key,
            opened=now.since,
            said=result.said,
            members=(series,),
            commit=self.commit_of(series.service, series.target),
        )
        self._keep(made)
        self.happened(made.id, now.since, f"{series.name}: {result.verdict}: {result.said}")
        return made.id

    def _relapse(self, known: Incident, series: Series) -> None:
        if series in known.recovered:
            self._keep(replace(known, recovered=tuple(one for one in known.recovered if one != series)))

    def _recover(self, known: Incident, series: Series, at: float) -> None:
        self.happened(known.id, at, f"{series.name}: passing again")
        self._leave(replace(known, gone=False), series, at)

    def _leave(self, known: Incident, series: Series, at: float) -> None:
        """Remove a check from the failing ones; with the last one the incident ends."""
        recovered = (*known.recovered, series)
        over = set(known.members) <= set(recovered)
        self._keep(replace(known, recovered=recovered, closed=at if over else 0.0))
        if over and known.announced:
            self._post(known.id, "close", 0, at)
            self.settle(known.id)
        elif over:
            self.happened(known.id, at, "it ended during a rollout or planned work, so no message was sent")
            self.incidents.pop(known.id)

    def _announce(self, number: int, at: float) -> None:
        known = self.incidents.get(number)
        if known and not known.announced:
            self._keep(replace(known, announced=at))
            self._post(number, "open", 0, at + _TOGETHER_S)

    def _post(self, incident: int, kind: NoticeKind, number: int, due: float) -> None:
        for channel in self.rule(self.incidents[incident].service).channels:
            self.post(Notice(id=0, incident=incident, kind=kind, number=number, channel=channel, posted=due, due=due))

    def post(self, notice: Notice) -> None:
        """Queue a notice, with a new number."""
        self.last_notice += 1
        self.note(replace(notice, id=self.last_notice))

    def note(self, notice: Notice) -> None:
        """Record the state of a notice; forget it once it is done."""
        self.changes.notices[notice.id] = notice
        if notice.state in ("waiting", "sending"):
            self.notices[notice.id] = notice
            return
        self.notices.pop(notice.id, None)
        self.settle(notice.incident)

    def settle(self, number: int) -> None:
        """Forget an incident that has ended and has no notices left."""
        known = self.incidents.get(number)
        if known and known.closed and not any(one.incident == number for one in self.notices.values()):
            self.incidents.pop(number)

    def happened(self, incident: int, at: float, text: str) -> None:
        """Add a line to an incident's time line."""
        self.changes.happenings.append(Happening(incident=incident, at=at, text=text))

    def _keep(self, incident: Incident) -> None:
        self.incidents[incident.id] = incident
        self.changes.incidents[incident.id] = incident

    def drain(self) -> Changes:
        """Return the changes, and start collecting anew."""
        found, self.changes = self.changes, Changes()
        return found


def _matters(before: Standing, now: Standing) -> bool:
    """Return whether a change must be written: repeated passes are known from the rounds."""
    return before.verdict != now.verdict or now.verdict != "pass" or bool(before.incident or before.flaws)

"""The present state of all checks, as JSON and as a report; a result that is overdue becomes `unknown`."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from testbay.manifest.checkbase import LIVE
from testbay.production.checks import runner
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history.slowness import Series
from testbay.production.statuspage.boards import STATES
from testbay.production.watch.records import Standing
from testbay.production.watch.watcher import Watcher

Now = Verdict | Literal["unknown"]
ORDER: tuple[Now, ...] = (*STATES, "skip")  # the worst first
_LATE_ROUNDS, _LATE_S = 3, 30.0


class CheckState(NamedTuple):
    """The present state of a check: `state` is `fail` only once an incident has begun."""

    series: Series
    kind: str
    every_s: float
    state: Now
    standing: Standing


def check_states(watcher: Watcher, now: float) -> Iterator[CheckState]:
    """Yield every watched check in the manifests' order; a journey's cleanup only once it has run."""
    known = watcher.recorder.tracker.standings
    for watched in watcher.targets:
        gates = (
            [(Series(watched.service, watched.target_name, LIVE), LIVE, watched.target.live.every)]
            if watched.target and watched.target.live
            else []
        )
        jobs = [
            (series, job.check.kind, job.every_s)
            for job in watched.jobs
            for name in runner.names(job.check)
            if (series := job.series._replace(check=name)) == job.series or series in known
        ]
        for series, kind, every_s in [*gates, *jobs]:
            standing = known.get(series, Standing())
            yield CheckState(
                series, kind, every_s, _state(standing, every_s, now, skips=series in watcher.skipped), standing
            )


def worst(every: Iterable[CheckState]) -> Now:
    """Return the worst of the states; without a check nothing is known."""
    return min((one.state for one in every), key=ORDER.index, default="unknown")


def _state(standing: Standing, every_s: float, now: float, *, skips: bool) -> Now:
    if skips:
        return "skip"
    if now - standing.at > _LATE_ROUNDS * every_s + _LATE_S:
        return "unknown"
    if standing.incident:
        return standing.verdict if standing.verdict != "pass" else "fail"  # not passing again yet
    return "pass" if standing.verdict == "pass" or standing.has_passed else "unknown"


def checks(watcher: Watcher, now: float) -> dict[str, Any]:
    """List the checks for `/api/checks`."""
    every = list(check_states(watcher, now))
    return {
        "version": 1,
        "now": _time(now),
        "state": worst(every),
        "checks": [_check(one) for one in every],
    }


def report(watcher: Watcher, service: str, target: str, now: float) -> Report | None:
    """Report a target's state as `testbay check --json` would write it, for `testbay incidents`."""
    watched = next((one for one in watcher.targets if one.key == (service, target)), None)
    if watched is None:
        return None
    ours = [one for one in check_states(watcher, now) if one.series[:2] == watched.key]
    return Report(
        service=service,
        phase="scheduled",
        target=target,
        started=_time(now),
        finished=_time(now),
        commit=watched.commit,
        expected_commit=watched.expected,
        known=tuple(dict.fromkeys(one.series.check for one in ours)),
        results=tuple(_result(one) for one in ours),
    )


def _result(one: CheckState) -> Result:
    standing = one.standing
    verdict, said = _verdict(one)
    return Result(
        check=one.series.check,
        instance=one.series.instance,
        kind=one.kind,
        verdict=verdict,
        said=said,
        evidence=standing.evidence,
        duration_s=standing.took_s or 0.0,
        attempts=0 if verdict == "skip" else 1,
        latencies_s=(standing.took_s,) if standing.took_s is not None and one.state == "pass" else (),
    )


def _verdict(one: CheckState) -> tuple[Verdict, str]:
    """Return the verdict and its words. What is not known yet is skipped: an issue about it would be a false alarm."""
    standing = one.standing
    if one.state != "unknown":
        return one.state, standing.said
    if not standing.at:
        return "skip", "it has not been asked yet"
    if standing.bad and not standing.incident and not standing.has_passed:
        return "skip", f"not often enough for an outage yet: {standing.said}"
    return "error", "it was not asked for three rounds"


def _check(one: CheckState) -> dict[str, Any]:
    standing = one.standing
    return {
        "service": one.series.service,
        "target": one.series.target,
        "check": one.series.check,
        "each": one.series.instance,
        "kind": one.kind,
        "every_s": one.every_s,
        "state": one.state,
        "verdict": standing.verdict,
        "said": standing.said,
        "asked": _time(standing.at) if standing.at else None,
        "since": _time(standing.since) if standing.since else None,
        "response_ms": None if standing.took_s is None else round(standing.took_s * 1000, 3),
        "incident": standing.incident or None,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

"""Deployments as seen by a watcher: failures during a rollout are excused, and a new build is checked at once."""

from dataclasses import dataclass, replace

from testbay.manifest.rollout import Rollout
from testbay.production.checks.report import Verdict


@dataclass(frozen=True, kw_only=True)
class RolloutProgress:
    """The progress of a target's deployment. `given_up` is one that took too long, and no longer excuses failures."""

    served: str = ""
    rolling_since: float | None = None
    given_up: tuple[str, ...] = ()
    arrived: bool = False

    @property
    def is_rolling(self) -> bool:
        return self.rolling_since is not None


def observed(
    before: RolloutProgress, served: str, verdict: Verdict, rollout: Rollout, *, now: float, give_up_s: float
) -> RolloutProgress:
    """Update the progress by an answer of the target and one of the deployment platform.

    `verdict` says whether a build answers that may: it passes also for one that is on its way. `arrived` is true once,
    when another build than before answers for good.
    """
    deploy = (rollout.expected, *rollout.under_way)
    lacks_build = verdict == "stale" or (before.is_rolling and verdict in ("fail", "error"))
    awaited = bool(rollout.expected) and lacks_build
    under_way = bool(rollout.under_way) and not rollout.lost
    known = served or before.served
    if not (awaited or under_way) or rollout.lost:
        is_new = bool(served) and bool(before.served) and served != before.served
        arrived = verdict == "pass" and (is_new or before.is_rolling)
        return RolloutProgress(served=known, arrived=arrived)
    since = now if before.rolling_since is None else before.rolling_since
    if before.given_up == deploy or now - since > give_up_s:
        return RolloutProgress(served=known, given_up=deploy)
    return replace(before, served=known, rolling_since=since, given_up=(), arrived=False)

"""Heartbeats: jobs that call in, and the judgement of their calls."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from testbay.manifest import placeholders
from testbay.manifest.expressions.evaluate import Missing
from testbay.manifest.probes import HeartbeatCheck
from testbay.production.checks.context import FoundError, Passed, judge
from testbay.production.watch.notifications import lasted
from testbay.production.watch.records import JobCall
from testbay.text import one_line

Call = Literal["ok", "start", "fail", "log"]
CALLS: tuple[Call, ...] = ("ok", "start", "fail", "log")
_SHORTEST = 16  # characters of a token


@dataclass(kw_only=True)
class Jobs:
    """The jobs that may call in, by the ids of their checks. `leapt_s`: how far the clock was set since then."""

    checks: Mapping[str, HeartbeatCheck]
    environ: Mapping[str, str] = field(repr=False)
    began: float = 0.0
    leapt_s: Callable[[float], float] = lambda _: 0.0

    def may_call(self, name: str, token: str) -> bool:
        """Return whether a call shows the job's token; compared in constant time."""
        check = self.checks.get(name)
        wanted = self._token(check) if check else ""
        return hmac.compare_digest(wanted.encode(), token.encode()) and len(wanted) >= _SHORTEST

    def _token(self, check: HeartbeatCheck) -> str:
        return placeholders.with_environment(check.token, self.environ)[0]

    def judge(self, check: HeartbeatCheck, calls: Sequence[JobCall], now: float) -> Passed:
        """Judge a heartbeat by its calls, the newest first, without those of kind `log`.

        Raises:
            FoundError: The job failed, is late, or takes too long; or its token is not a secret.
        """
        if len(self._token(check)) < _SHORTEST:
            said = f"{check.token} is not set, or shorter than {_SHORTEST} characters"
            raise FoundError("error", said, reached=False)
        calls = [call._replace(at=call.at + self.leapt_s(call.at)) for call in calls]
        good = _newest(calls, "ok")
        ended = _newest(calls, "ok", "fail")
        if ended and ended.kind == "fail":  # also while it is tried again
            raise FoundError("fail", f"the job reported a failure {lasted(now - ended.at)} ago: {one_line(ended.text)}")
        since = good.at if good else self.began + self.leapt_s(self.began)
        if now - since > check.within:
            when = f"its last success was {lasted(now - since)} ago" if good else f"no call for {lasted(now - since)}"
            raise FoundError("fail", f"the job is late: {when}, and `within` is {lasted(check.within)}")
        if calls and calls[0].kind == "start" and check.takes and now - calls[0].at > check.takes:
            began = f"the job began {lasted(now - calls[0].at)} ago and has not ended"
            raise FoundError("fail", f"{began}; `takes` is {lasted(check.takes)}")
        if good is None:
            raise FoundError("skip", "the job has not called in yet")
        start = _newest([call for call in calls if call.at <= good.at], "start")
        took = good.at - start.at if start else Missing("the job did not say when it began")
        judge(check.expect, {"age_s": now - good.at, "took_s": took, "text": good.text, "run": {"id": ""}})
        return Passed(said=f"the job succeeded {lasted(now - good.at)} ago")


def _newest(calls: Sequence[JobCall], *kinds: Call) -> JobCall | None:
    return next((call for call in calls if call.kind in kinds), None)

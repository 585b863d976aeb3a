"""The watcher: one event loop that runs every check at its interval, and follows deploys."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from testbay.manifest.checkbase import LIVE
from testbay.manifest.probes import HeartbeatCheck
from testbay.manifest.rollout import Rollout, RolloutLookup
from testbay.manifest.watching import Watching
from testbay.production.checks import attempts, gate, limit
from testbay.production.checks.client import client, open_context, run_id
from testbay.production.checks.context import CheckContext, FoundError, Passed
from testbay.production.checks.kinds import http
from testbay.production.checks.limit import UnendedError
from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.remote import deployed
from testbay.production.watch import calendar
from testbay.production.watch.recorder import RoundRecorder
from testbay.production.watch.rollouts import RolloutProgress, observed
from testbay.production.watch.schedule import Schedule
from testbay.production.watch.targets import WatchedCheck, WatchedTarget
from testbay.production.watch.tracker import RoundResult

_AT_ONCE = 500  # concurrent connections; further checks wait, and count as late
_SPREAD_S = 1.0
_GATE_S = 20.0
_LAST_WORDS_S = 15.0  # for running checks when the watcher ends


@dataclass(kw_only=True)
class Watcher:
    """Runs checks until it is stopped. `wishes` are the `[watch]` tables by service."""

    targets: Sequence[WatchedTarget]
    wishes: dict[str, Watching]
    recorder: RoundRecorder
    say: Callable[[str], None]
    passages: dict[tuple[str, str], RolloutProgress] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ask_beats: Callable[[HeartbeatCheck], Coroutine[Any, Any, Passed]] | None = None
    skipped: set[Series] = field(default_factory=set)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _left: dict[Series, UnendedError] = field(default_factory=dict)  # they are not asked again before they end

    @property
    def unended(self) -> int:
        """The number of checks that did not end, and are not asked again before they do."""
        return sum(not left.task.done() for left in self._left.values())

    async def run(self) -> None:
        """Watch until `stopping` is set; then wait a moment for answers under way."""
        jobs = [(watched, job) for watched in self.targets for job in watched.jobs]
        loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._schedule = Schedule([job.every_s for _, job in jobs], loop.time() + 0.1)
        self._places = {
            watched.key: [at for at, (one, _) in enumerate(jobs) if one is watched] for watched in self.targets
        }
        async with contextlib.AsyncExitStack() as open_:
            for watched in self.targets:
                await self._open(watched, open_)
            followers = [
                asyncio.create_task(self._follow(watched))
                for watched in self.targets
                if watched.target and watched.target.live
            ]
            while not self.stopping.is_set():
                for due in self._schedule.take(loop.time()):
                    self.recorder.tally.skipped += due.skipped
                    if self._schedule.begin(due.key):
                        self._start(due.key, due.due_s, *jobs[due.key])
                    else:
                        self.recorder.tally.skipped += 1
                await self._wait(min(_SPREAD_S, max(0.0, self._schedule.next_s - loop.time())))
            for task in followers:
                task.cancel()
            await self._end(followers)

    def _start(self, key: int, due_s: float, watched: WatchedTarget, job: WatchedCheck) -> None:
        task = asyncio.create_task(self._round(key, due_s, watched, job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _open(self, watched: WatchedTarget, stack: contextlib.AsyncExitStack) -> None:
        import aiohttp

        context, watched.trouble = open_context(watched.options)
        await stack.enter_async_context(context.client)
        shared = client(context.client.connector, direct=context.direct, owner=False, jar=aiohttp.DummyCookieJar())
        # A connection that the server closed while it was idle does not count: the request is sent again on a new one.
        shared._retry_connection = True  # noqa: SLF001
        await stack.enter_async_context(shared)
        watched.context, watched.secrets = replace(context, client=shared), frozenset(context.secrets)
        watched.own_client = context.client

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)

    async def _end(self, followers: Sequence[asyncio.Task[None]]) -> None:
        pending = [*self._running, *followers]
        if pending:
            await asyncio.wait(pending, timeout=_LAST_WORDS_S)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_LAST_WORDS_S)

    async def _round(self, key: int, due_s: float, watched: WatchedTarget, job: WatchedCheck) -> None:
        try:
            async with self._room:
                self.recorder.tally.late(asyncio.get_running_loop().time() - due_s)
                at = self.recorder.clock()
                for result in await self._ask(watched, job):
                    self._add_result(watched, result, at)
        finally:
            self._schedule.end(key)

    def _add_result(self, watched: WatchedTarget, result: Result, at: float) -> None:
        series = Series(watched.service, watched.target_name, result.check, result.instance)
        (self.skipped.add if result.verdict == "skip" else self.skipped.discard)(series)
        self.recorder.add(RoundResult(series=series, result=result, at=at, held=self.is_held(series, at)))

    def is_held(self, series: Series, at: float) -> bool:
        """Return whether a bad round is excused now, by planned work or a rollout."""
        wish = self.wishes[series.service]
        moment = datetime.fromtimestamp(at, UTC)
        planned = bool(wish.maintenance) and calendar.is_planned(
            wish.maintenance, wish.zone, moment, check=series.check, target=series.target
        )
        passage = self.passages.get((series.service, series.target))
        return planned or (passage is not None and passage.is_rolling)

    async def _ask(self, watched: WatchedTarget, job: WatchedCheck) -> list[Result]:
        began = time.monotonic()
        cleanups: list[Result] = []
        context = self._asking(watched, job)
        found: Passed | FoundError
        if watched.trouble:
            found = FoundError("error", watched.trouble, reached=False)
        elif job.check.writes and not context.writes:
            found = FoundError("skip", attempts.MAY_NOT_WRITE, reached=False)
        else:
            found = await self._attempt(context, job, cleanups)
        result = attempts.result_of(context, job.check, found, began, instance=job.instance)
        return [attempts.masked(context, one) for one in (result, *cleanups)] if cleanups else [result]

    async def _attempt(self, context: CheckContext, job: WatchedCheck, cleanups: list[Result]) -> Passed | FoundError:
        if (left := self._left.pop(job.series, None)) and not left.task.done():
            found: Passed | FoundError = left
        elif job.check.kind == "heartbeat" and self.ask_beats:
            found = await attempts.asked(context, job.check, self.ask_beats(job.check))
        elif job.is_plain:
            found = await attempts.asked(context, job.check, http.ask(context, job.check, job.instance))
        else:
            found = await attempts.attempt(context, job.check, job.instance, cleanups)
        if isinstance(found, UnendedError):
            self._left[job.series] = found
        return found

    def _asking(self, watched: WatchedTarget, job: WatchedCheck) -> CheckContext:
        assert watched.context is not None
        until = time.monotonic() + job.check.timeout + 5
        if job.is_plain:
            fresh = replace(watched.context, cookies=set())
        else:
            fresh = replace(watched.context, client=watched.own_client, secrets=set(watched.secrets))
        return replace(fresh, deadline=until, expected_sha=watched.expected, run_id=run_id())

    async def _follow(self, watched: WatchedTarget) -> None:
        """Ask which build answers, as long as the watcher runs."""
        assert watched.target is not None
        assert watched.target.live is not None
        lookup = deployed.lookup(watched.target, "scheduled", "", watched.options.environ)
        watched.has_lookup = lookup is not None
        looked: tuple[float, Rollout] = (-math.inf, Rollout(expected=""))
        while True:
            began = time.monotonic()
            if lookup and began - looked[0] >= self.wishes[watched.service].look:
                looked = (began, await _looked_up(lookup))
            with contextlib.suppress(FoundError):
                await self._gate(watched, looked[1])
            await asyncio.sleep(max(1.0, watched.target.live.every - (time.monotonic() - began)))

    async def _gate(self, watched: WatchedTarget, rollout: Rollout) -> None:
        assert watched.context is not None
        assert watched.target is not None
        assert watched.target.live is not None
        began, at = time.monotonic(), self.recorder.clock()
        context = replace(watched.context, client=watched.own_client, deadline=began + _GATE_S, run_id=run_id())
        found: Passed | FoundError
        try:
            answer = await limit.limited(gate.once(context, watched.target.live, rollout), _GATE_S + limit.GRACE_S)
            found = Passed(said=f"{answer.asked}: {context.commit or 'the expected commit'} answers")
        except FoundError as error:
            found = _without_expectation(context.commit, rollout, has_lookup=watched.has_lookup) or error
        except Exception as error:  # noqa: BLE001 - else a deploy that is on its way would excuse everything for ever
            found = FoundError("error", f"testbay itself failed: {type(error).__name__}: {error}")
        watched.commit = context.commit or watched.commit
        watched.expected = rollout.expected
        result = attempts.result_of(context, LIVE, found, began)
        self._passed(watched, context.commit, result, rollout, at)

    def _passed(self, watched: WatchedTarget, served: str, result: Result, rollout: Rollout, at: float) -> None:
        assert watched.target is not None
        assert watched.target.live is not None
        before = self.passages.get(watched.key, RolloutProgress())
        after = observed(
            before, served, result.verdict, rollout, now=time.monotonic(), give_up_s=watched.target.live.give_up
        )
        self.passages[watched.key] = after
        if after.is_rolling != before.is_rolling:
            where = f"{watched.service} on {watched.target_name}"
            self.say(
                f"{where}: a deploy {'is in progress' if after.is_rolling else 'ended'}; {served or 'no build'} answers"
            )
        if after.arrived:
            self._schedule.bring_forward(self._places[watched.key], asyncio.get_running_loop().time())
        if not after.is_rolling:
            self._add_result(watched, result, at)


def _without_expectation(served: str, rollout: Rollout, *, has_lookup: bool) -> Passed | FoundError | None:
    """Judge the gate when no commit is expected: any build passes, unless the platform should have known one."""
    if rollout.expected:
        return None
    if has_lookup:
        return FoundError("error", f"which commit should answer is not known: {rollout.said}", rollout.evidence)
    return Passed(said=f"{served} answers") if served else None


async def _looked_up(lookup: RolloutLookup) -> Rollout:
    try:
        return await lookup()
    except Exception as error:  # noqa: BLE001 - whatever the platform answers, the checks go on
        return Rollout(expected="", said=f"{type(error).__name__}: {error}")

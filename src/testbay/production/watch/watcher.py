"""The watcher: one event loop that runs every check at its interval, and follows deploys."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from testbay.manifest.checkbase import LIVE
from testbay.manifest.probes import HeartbeatCheck
from testbay.manifest.rollout import Look, Rollout
from testbay.manifest.watching import Watching
from testbay.production.checks import attempts, gate
from testbay.production.checks.client import client, open_context, run_id
from testbay.production.checks.context import CheckContext, FoundError, Passed
from testbay.production.checks.kinds import http
from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.remote import deployed
from testbay.production.watch import calendar
from testbay.production.watch.desk import excused
from testbay.production.watch.places import Spot, Watched
from testbay.production.watch.recorder import RoundKeeper
from testbay.production.watch.rollouts import Passage, observed
from testbay.production.watch.schedule import Schedule

_AT_ONCE = 500  # open connections at a time; what is due beyond waits, and is counted as late
_SPREAD_S = 1.0
_LAST_WORDS_S = 15.0  # for what is being asked when the watcher ends


@dataclass(kw_only=True)
class Watcher:
    """Runs checks until it is stopped. `wishes` are the `[watch]` tables by service."""

    spots: Sequence[Spot]
    wishes: dict[str, Watching]
    recorder: RoundKeeper
    say: Callable[[str], None]
    passages: dict[tuple[str, str], Passage] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ask_beats: Callable[[HeartbeatCheck], Awaitable[Passed]] | None = None
    skipped: set[Series] = field(default_factory=set)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Watch until `stopping` is set; then wait a moment for answers under way."""
        jobs = [(spot, job) for spot in self.spots for job in spot.jobs]
        loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._schedule = Schedule([job.every_s for _, job in jobs], loop.time() + 0.1)
        self._places = {spot.key: [at for at, (one, _) in enumerate(jobs) if one is spot] for spot in self.spots}
        async with contextlib.AsyncExitStack() as open_:
            for spot in self.spots:
                await self._open(spot, open_)
            followers = [
                asyncio.create_task(self._follow(spot)) for spot in self.spots if spot.target and spot.target.live
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

    def _start(self, key: int, due_s: float, spot: Spot, job: Watched) -> None:
        task = asyncio.create_task(self._round(key, due_s, spot, job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _open(self, spot: Spot, stack: contextlib.AsyncExitStack) -> None:
        import aiohttp

        context, spot.trouble = open_context(spot.options)
        await stack.enter_async_context(context.client)
        shared = client(context.client.connector, direct=context.direct, owner=False, jar=aiohttp.DummyCookieJar())
        # A connection that the server closed while it was idle does not count: the request is sent again on a new one.
        shared._retry_connection = True  # noqa: SLF001
        await stack.enter_async_context(shared)
        spot.context, spot.secrets = replace(context, client=shared), frozenset(context.secrets)
        spot.own_client = context.client

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

    async def _round(self, key: int, due_s: float, spot: Spot, job: Watched) -> None:
        try:
            async with self._room:
                self.recorder.tally.late(asyncio.get_running_loop().time() - due_s)
                at = self.recorder.clock()
                for result in await self._ask(spot, job):
                    self._hear(spot, result, at)
        finally:
            self._schedule.end(key)

    def _hear(self, spot: Spot, result: Result, at: float) -> None:
        series = Series(spot.service, spot.target_name, result.check, result.instance)
        (self.skipped.add if result.verdict == "skip" else self.skipped.discard)(series)
        self.recorder.hear(series, result, at, held=self.is_held(series, at))

    def is_held(self, series: Series, at: float) -> bool:
        """Return whether a bad round is excused now, by planned work or a rollout."""
        wish = self.wishes[series.service]
        moment = datetime.fromtimestamp(at, UTC)
        planned = bool(wish.maintenance) and calendar.is_planned(
            wish.maintenance, wish.zone, moment, check=series.check, target=series.target
        )
        rolling = {key: passage.is_rolling for key, passage in self.passages.items()}
        return excused(rolling, series, planned=planned)

    async def _ask(self, spot: Spot, job: Watched) -> list[Result]:
        began = time.monotonic()
        cleanups: list[Result] = []
        context = self._asking(spot, job)
        found: Passed | FoundError
        if spot.trouble:
            found = FoundError("error", spot.trouble, reached=False)
        elif job.check.writes and not context.writes:
            found = FoundError(
                "skip", "the check writes, and the target does not allow it (writes = true)", reached=False
            )
        else:
            found = await self._attempt(context, job, cleanups)
        result = attempts.result_of(context, job.check, found, began, instance=job.instance)
        return [attempts.masked(context, one) for one in (result, *cleanups)] if cleanups else [result]

    async def _attempt(self, context: CheckContext, job: Watched, cleanups: list[Result]) -> Passed | FoundError:
        if job.check.kind == "heartbeat" and self.ask_beats:
            try:
                return await self.ask_beats(job.check)
            except FoundError as error:
                return error
        if not job.is_plain:
            return await attempts.attempt(context, job.check, job.instance, cleanups)
        try:
            return await http.ask(context, job.check, job.instance)
        except FoundError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one strange answer must not end the watcher
            return FoundError("error", f"testbay itself failed: {type(error).__name__}: {error}")

    def _asking(self, spot: Spot, job: Watched) -> CheckContext:
        assert spot.context is not None
        until = time.monotonic() + job.check.timeout + 5
        if job.is_plain:
            return replace(spot.context, deadline=until, expected_sha=spot.expected, run_id=run_id())
        return replace(
            spot.context,
            client=spot.own_client,
            deadline=until,
            expected_sha=spot.expected,
            run_id=run_id(),
            secrets=set(spot.secrets),
        )

    async def _follow(self, spot: Spot) -> None:
        """Ask which build answers, as long as the watcher runs."""
        assert spot.target is not None
        assert spot.target.live is not None
        look = deployed.look(spot.target, "scheduled", "", spot.options.environ)
        spot.looks = look is not None
        looked: tuple[float, Rollout] = (-math.inf, Rollout(expected=""))
        while True:
            began = time.monotonic()
            if look and began - looked[0] >= self.wishes[spot.service].look:
                looked = (began, await _looked(look))
            with contextlib.suppress(FoundError):
                await self._gate(spot, looked[1])
            await asyncio.sleep(max(1.0, spot.target.live.every - (time.monotonic() - began)))

    async def _gate(self, spot: Spot, rollout: Rollout) -> None:
        assert spot.context is not None
        assert spot.target is not None
        assert spot.target.live is not None
        began, at = time.monotonic(), self.recorder.clock()
        context = replace(spot.context, client=spot.own_client, deadline=began + 20, run_id=run_id())
        found: Passed | FoundError
        try:
            answer = await gate.once(context, spot.target.live, rollout)
            found = Passed(said=f"{answer.asked}: {context.commit or 'the expected commit'} answers")
        except FoundError as error:
            found = _without_expectation(context.commit, rollout, looks=spot.looks) or error
        except Exception as error:  # noqa: BLE001 - else a deploy that is on its way would excuse everything for ever
            found = FoundError("error", f"testbay itself failed: {type(error).__name__}: {error}")
        spot.commit = context.commit or spot.commit
        spot.expected = rollout.expected
        result = attempts.result_of(context, LIVE, found, began)
        self._passed(spot, context.commit, result, rollout, at)

    def _passed(self, spot: Spot, served: str, result: Result, rollout: Rollout, at: float) -> None:
        assert spot.target is not None
        assert spot.target.live is not None
        before = self.passages.get(spot.key, Passage())
        after = observed(
            before, served, result.verdict, rollout, now=time.monotonic(), give_up_s=spot.target.live.give_up
        )
        self.passages[spot.key] = after
        if after.is_rolling != before.is_rolling:
            where = f"{spot.service} on {spot.target_name}"
            self.say(
                f"{where}: a deploy {'is in progress' if after.is_rolling else 'ended'}; {served or 'no build'} answers"
            )
        if after.arrived:
            self._schedule.hurry(self._places[spot.key], asyncio.get_running_loop().time())
        if not after.is_rolling:
            self._hear(spot, result, at)


def _without_expectation(served: str, rollout: Rollout, *, looks: bool) -> Passed | FoundError | None:
    """Judge the gate when no commit is expected: any build passes, unless the platform should have known one."""
    if rollout.expected:
        return None
    if looks:
        return FoundError("error", f"which commit should answer is not known: {rollout.said}", rollout.evidence)
    return Passed(said=f"{served} answers") if served else None


async def _looked(look: Look) -> Rollout:
    try:
        return await look()
    except Exception as error:  # noqa: BLE001 - whatever the platform answers, the checks go on
        return Rollout(expected="", said=f"{type(error).__name__}: {error}")


def place_names(spots: Sequence[Spot]) -> dict[str, Any]:
    """List the facts of the checks that pages need: the interval of each, in the order of the manifest."""
    return {
        "checks": [[*job.series, job.every_s, job.check.kind] for spot in spots for job in spot.jobs],
    }

"""A check that does not end, a channel that hangs, and a watcher that judges nothing any more."""

import asyncio
import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from testbay.manifest.probes import HeartbeatCheck
from testbay.manifest.watching import Watching
from testbay.production.checks import limit, loop
from testbay.production.checks.client import ContextOptions
from testbay.production.checks.context import Passed
from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.watch import cycle, exposition
from testbay.production.watch.cycle import Cycle
from testbay.production.watch.notifications import Notification
from testbay.production.watch.notifier import Notifier
from testbay.production.watch.recorder import RoundRecorder, Tally
from testbay.production.watch.server import LivePage
from testbay.production.watch.store import WatchStore
from testbay.production.watch.targets import WatchedCheck, WatchedTarget
from testbay.production.watch.tracker import OutageRules, OutageTracker, RoundResult
from testbay.production.watch.watcher import Watcher

BACKUP = HeartbeatCheck.model_validate({"kind": "heartbeat", "id": "backup", "token": "${BEAT}", "within": "1h"})


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    """Watches one job."""
    series = Series("shop", "", "backup", "")
    job = WatchedCheck(series=series, check=BACKUP, instance="", every_s=60, is_plain=False)
    options = ContextOptions(target=None, root=tmp_path)
    watched = WatchedTarget(service="shop", target_name="", target=None, options=options, jobs=[job])
    recorder = RoundRecorder(tracker=OutageTracker(rules={}), store=WatchStore(tmp_path), tally=Tally(), say=print)
    return Watcher(targets=[watched], wishes={"shop": Watching()}, recorder=recorder, say=print)


def test_what_did_not_end_is_asked_again_only_after_its_end(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then each round is an error, and the metrics count it: one task is left, not one for each round."""
    monkeypatch.setattr(limit, "_LAST_S", 0.01)
    monkeypatch.setattr(limit, "most_s", lambda _: 0.01)
    asked: list[str] = []

    async def rounds() -> list[str]:
        released = asyncio.Event()

        async def ask(check: HeartbeatCheck) -> Passed:
            asked.append(check.id)
            while not released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await released.wait()
            return Passed(said="well")

        watcher.ask_beats = ask
        watched = watcher.targets[0]
        async with contextlib.AsyncExitStack() as open_:
            await watcher._open(watched, open_)
            found: list[str] = [one.verdict for _ in range(2) for one in await watcher._ask(watched, watched.jobs[0])]
            found.append(_value(watcher, "testbay_watch_unended"))
            released.set()
            await asyncio.sleep(0.01)
            found += [one.verdict for one in await watcher._ask(watched, watched.jobs[0])]
        return [*found, _value(watcher, "testbay_watch_unended")]

    told = loop.run(rounds())
    watcher.recorder.store.close()

    assert told == ["error", "error", "1.0", "pass", "0.0"]
    assert asked == ["backup", "backup"]


def test_a_watcher_whose_cycle_hangs_is_not_well(watcher: Watcher) -> None:
    """It answers, asks its checks, and tells of no outage: its health and its metrics say so."""
    recorder = watcher.recorder
    recorder.tally.judged_s = time.monotonic() - 100
    stuck = Cycle(recorder=recorder, notifier=None, senders={}, keeper=None, keep_s=1, facts={})  # type: ignore[arg-type]
    page = LivePage(watcher=watcher, cycle=stuck, jobs=None)  # type: ignore[arg-type]
    answer = asyncio.run(page._health(make_mocked_request("GET", "/health")))
    recorder.store.close()

    assert (answer.status, answer.text) == (503, "nothing was judged for 100 s: does the disk of the history hang?\n")
    assert float(_value(watcher, "testbay_watch_judged_timestamp_seconds", now=1000.0)) == pytest.approx(900, abs=20)


def _value(watcher: Watcher, name: str, now: float = 1.0) -> str:
    """The value of a metric without labels."""
    lines = exposition.exposition(watcher, now).decode().splitlines()
    return next(line.partition(" ")[2] for line in lines if line.startswith(f"{name} "))


def test_a_channel_that_hangs_is_tried_once_and_told_of(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message counts as not delivered, further ones leave no second thread behind, and other channels go on."""
    monkeypatch.setattr(cycle, "_LONGEST_CALL_S", 0.05)
    recorder, calls = watcher.recorder, []
    recorder.tracker.rules = {"shop": OutageRules(after=1, channels=("shop.deaf", "shop.well"))}
    silent, held = socket.socketpair()
    bad = Result(check="backup", kind="heartbeat", verdict="fail", said="no")

    def hang(notification: Notification) -> None:
        calls.append(notification.title)
        silent.recv(1)

    telling = Cycle(
        recorder=recorder,
        notifier=Notifier(tracker=recorder.tracker),
        senders={"shop.deaf": hang, "shop.well": lambda notification: calls.append(notification.title)},
        keeper=ThreadPoolExecutor(1),
        keep_s=1,
        facts={},
    )

    async def rounds() -> None:
        recorder.add(RoundResult(series=watcher.targets[0].jobs[0].series, result=bad, at=recorder.clock()))
        for later_s in (0, 60, 3600):
            monkeypatch.setattr(recorder, "clock", lambda later_s=later_s: time.time() + later_s)
            await telling.beat()
            if telling._sending:
                await asyncio.wait(telling._sending)

    with silent, held:
        loop.run(rounds())
        held.sendall(b".")
    recorder.store.close()
    telling.keeper.shutdown()
    complaint = telling.notifier.complaint()

    assert calls == [calls[0]] * 2
    assert telling.notifier.untold == 1
    assert complaint is not None
    assert complaint.what == "1 message could not be sent: shop.deaf"

"""The present state of everything that is watched."""

import asyncio
import contextlib
import io
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from testbay.errors import EngineUnavailableError
from testbay.manifest.checks import JourneyCheck
from testbay.manifest.rollout import Rollout
from testbay.manifest.service import Manifest
from testbay.manifest.targets import Target
from testbay.manifest.watching import Watching
from testbay.output import Voice
from testbay.production.checks import gate
from testbay.production.checks.client import ContextOptions
from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.watch import facts
from testbay.production.watch.command import WatchOptions, execute
from testbay.production.watch.cycle import Cycle
from testbay.production.watch.recorder import RoundRecorder, Tally
from testbay.production.watch.server import LivePage
from testbay.production.watch.store import WatchStore
from testbay.production.watch.targets import WatchedCheck, WatchedTarget
from testbay.production.watch.tracker import OutageRules, OutageTracker, RoundResult
from testbay.production.watch.watcher import Watcher
from testbay.settings import Settings

ORDER = Series("shop", "prod", "order")
STEP = {"delete": "/things/1", "expect": ["status == 204"]}
JOURNEY = JourneyCheck.model_validate(
    {"kind": "journey", "id": "order", "writes": True, "step": [STEP], "cleanup": [STEP]}
)


def test_a_cleanup_that_leaves_something_is_not_well(tmp_path: Path) -> None:
    """Its outage is told, so the page does not say that all is well; before it was asked it does not count."""
    job = WatchedCheck(series=ORDER, check=JOURNEY, instance="", every_s=60, is_plain=False)
    watched = WatchedTarget(
        service="shop", target_name="prod", target=None, options=ContextOptions(target=None, root=tmp_path), jobs=[job]
    )
    tracker, kept = OutageTracker(rules={"shop": OutageRules(after=1)}), WatchStore(tmp_path)
    recorder = RoundRecorder(tracker=tracker, store=kept, tally=Tally(), say=print)
    watcher = Watcher(targets=[watched], wishes={}, recorder=recorder, say=print)
    said = [[(one.series.check, one.state) for one in facts.check_states(watcher, 1.0)]]
    for name, verdict in (("order", "pass"), ("order/cleanup", "fail")):
        result = Result(check=name, kind="journey", verdict=verdict, said="no")  # type: ignore[arg-type]
        tracker.take([RoundResult(series=ORDER._replace(check=name), result=result, at=1.0)])
    said.append([(one.series.check, one.state) for one in facts.check_states(watcher, 1.0)])
    kept.close()

    assert said == [[("order", "unknown")], [("order", "pass"), ("order/cleanup", "fail")]]


def test_what_is_not_known_yet_is_no_trouble_in_the_report(tmp_path: Path) -> None:
    """A watcher that has just begun opens no issue; one that no longer asks does."""
    job = WatchedCheck(series=ORDER, check=JOURNEY, instance="", every_s=60, is_plain=False)
    watched = WatchedTarget(
        service="shop", target_name="prod", target=None, options=ContextOptions(target=None, root=tmp_path), jobs=[job]
    )
    tracker, kept = OutageTracker(rules={"shop": OutageRules()}), WatchStore(tmp_path)
    recorder = RoundRecorder(tracker=tracker, store=kept, tally=Tally(), say=print)
    watcher = Watcher(targets=[watched], wishes={}, recorder=recorder, say=print)
    bad = RoundResult(series=ORDER, result=Result(check="order", kind="journey", verdict="fail", said="no"), at=1e9)
    said = []
    for now, heard in (
        (1e9, []),
        (1e9, [bad]),
        (2e9, [replace(bad, at=1e9, result=replace(bad.result, verdict="pass"))]),
    ):
        tracker.take(heard)
        report = facts.report(watcher, "shop", "prod", now)
        said += [(one.verdict, one.said) for one in report.results] if report else []
    kept.close()

    assert said == [
        ("skip", "it has not been asked yet"),
        ("skip", "not often enough for an outage yet: no"),
        ("error", "it was not asked for three rounds"),
    ]


def test_a_gate_that_goes_wrong_excuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised is an error that is heard: the follower goes on, and a deploy comes to its end."""

    async def broken(*_: object) -> None:
        raise LookupError("of ours")

    monkeypatch.setattr(gate, "once", broken)
    recorder = RoundRecorder(tracker=OutageTracker(rules={}), store=WatchStore(tmp_path), tally=Tally(), say=print)
    target = Target.model_validate(
        {"base_url": "http://127.0.0.1:9", "live": {"url": "/", "expect": "text == expected_sha"}}
    )
    watched = WatchedTarget(
        service="shop", target_name="prod", target=target, options=ContextOptions(target=target, root=tmp_path)
    )
    watcher = Watcher(targets=[watched], wishes={"shop": Watching()}, recorder=recorder, say=print)
    asyncio.run(_one_look(watcher, watched))
    recorder.store.close()

    assert [(one.result.check, one.result.verdict) for one in recorder._results] == [("live", "error")]


async def _one_look(watcher: Watcher, watched: WatchedTarget) -> None:
    async with contextlib.AsyncExitStack() as open_:
        await watcher._open(watched, open_)
        await watcher._gate(watched, Rollout(expected="0" * 40))


def test_a_watcher_that_judges_nothing_any_more_ends(
    service: Callable[[str], Manifest], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on asking, send no message, and look healthy."""
    beats = iter([LookupError("of ours")])

    async def broken(_: Cycle) -> bool:
        for error in beats:
            raise error
        return True

    monkeypatch.setattr(Cycle, "beat", broken)
    shop = service('[[tool.testbay.check]]\nid = "b"\nkind = "heartbeat"\ntoken = "${BEAT}"\nwithin = "1h"')
    options = WatchOptions(manifests=[shop], settings=settings, folder=tmp_path / "watch", listen=None, for_s=30)

    with pytest.raises(LookupError):
        execute(options, Voice(io.StringIO()))


@pytest.mark.parametrize(("host", "do"), [("::1", "name another port"), ("2001:db8::1", "name an address of this ")])
def test_a_page_that_cannot_be_served_says_where(host: str, do: str) -> None:
    """Of IPv6 as an address of the web has it, and what to do by what is wrong with it."""
    page = LivePage(watcher=None, cycle=None, jobs=None)  # type: ignore[arg-type]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineUnavailableError) as refused:
            asyncio.run(page.start(host, port))

    assert refused.value.what == f"--listen: [{host}]:{port} cannot be used"
    assert refused.value.todo.startswith(do)

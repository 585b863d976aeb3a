"""`testbay watch`: builds the watcher and its parts, runs them, and ends them."""

import asyncio
import re
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from testbay import process
from testbay.errors import HistoryError, ManifestError
from testbay.manifest import placeholders
from testbay.manifest.checkbase import LIVE
from testbay.manifest.probes import HeartbeatCheck
from testbay.manifest.service import Manifest
from testbay.manifest.watching import Watching
from testbay.output import Voice
from testbay.production import extra
from testbay.production.checks import loop, runner
from testbay.production.checks.context import Passed
from testbay.production.history.slowness import Series
from testbay.production.remote.exchange import is_private
from testbay.production.watch import calendar
from testbay.production.watch.beats import Jobs
from testbay.production.watch.channels import Send, senders
from testbay.production.watch.cycle import Cycle
from testbay.production.watch.notifier import Notifier
from testbay.production.watch.recorder import RoundRecorder, Tally
from testbay.production.watch.store import WatchStore
from testbay.production.watch.targets import WatchedTarget, watched_targets
from testbay.production.watch.tracker import OutageRules, OutageTracker
from testbay.production.watch.watcher import Watcher
from testbay.settings import Settings
from testbay.text import plural

FOLDER = ".testbay/watch"
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]*):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """The arguments of the command line. Without `for_s` the watcher goes on until a signal."""

    manifests: Sequence[Manifest]
    settings: Settings
    folder: Path
    listen: str | None
    target: str | None = None
    for_s: float | None = None


def execute(options: WatchOptions, voice: Voice) -> int:
    """Watch until a signal comes; return the exit code.

    Raises:
        ManifestError: Nothing to watch, an unknown target, or not an address to listen at.
        HistoryError: Another watcher keeps this history, or it cannot be used.
        NotDeliveredError: What was found could not be told.
        EngineUnavailableError: The packages that it needs are not installed.
    """
    extra.demand("testbay watch", extra.CHECKS)
    where = _address(options.listen)
    environ = options.settings.environ
    found = watched_targets(options.manifests, options.target, environ)
    wishes = {manifest.service: manifest.watch or Watching() for manifest in options.manifests}
    send = {key: send for service, wish in wishes.items() for key, send in senders(service, wish, environ).items()}
    alive = _alive(wishes, environ)
    store = WatchStore(options.folder)
    try:
        if store.broken:
            voice.say(f"history: {store.broken}")
        loop.run(_watch(_Made(options, found, wishes, store, send, alive), where, voice))
    finally:
        store.close()
    return 0


class _Made(NamedTuple):
    options: WatchOptions
    targets: Sequence[WatchedTarget]
    wishes: dict[str, Watching]
    store: WatchStore
    senders: dict[str, Send]
    alive: str


async def _watch(made: _Made, where: tuple[str, int] | None, voice: Voice) -> None:
    from testbay.production.watch.server import LivePage  # of a package that `execute` has demanded

    keeper = ThreadPoolExecutor(1, thread_name_prefix="history")
    watcher, cycle = _engine(made, keeper, voice)
    _obey_signals(watcher, voice)
    jobs = _jobs(made, cycle.recorder)
    watcher.ask_beats = _listening(jobs, cycle)
    page = LivePage(watcher=watcher, cycle=cycle, jobs=jobs) if where else None
    try:
        if page and where:
            voice.say(f"live page: {await page.start(*where)}")
        count = sum(len(watched.jobs) for watched in made.targets)
        voice.say(f"watching {plural(count, 'check')} on {plural(len(made.targets), 'target')}; {made.store.folder}")
        beating = asyncio.create_task(cycle.run())
        beating.add_done_callback(lambda _: watcher.stopping.set())  # a watcher that stopped judging would look healthy
        if made.options.for_s:
            asyncio.get_running_loop().call_later(made.options.for_s, watcher.stopping.set)
        await watcher.run()
        beating.cancel()
        await asyncio.wait([beating])
        if not beating.cancelled():
            beating.result()  # which raises what it ended with
        written = await cycle.finish()
    finally:
        if page:
            await page.stop()
        keeper.shutdown()
    voice.say(_ended(cycle.recorder.tally))
    if not written:
        raise HistoryError(
            f"history: {made.store.folder} cannot be written",
            why=cycle.recorder.tally.store_trouble,
            todo="make room, or the folder writable; the last rounds are lost",
        )
    if complaint := cycle.notifier.complaint():
        raise complaint


def _engine(made: _Made, keeper: ThreadPoolExecutor, voice: Voice) -> tuple[Watcher, Cycle]:
    """Make the watcher and its cycle, with the state that the last watcher left."""
    by_key = {watched.key: watched for watched in made.targets}
    tracker = OutageTracker(
        rules={service: _etiquette(service, wish) for service, wish in made.wishes.items()},
        commit_of=lambda service, target: by_key[service, target].commit if (service, target) in by_key else "",
    )
    made.store.load(tracker)
    recorder = RoundRecorder(tracker=tracker, store=made.store, tally=Tally(), say=voice.say)
    tracker.forget(_known(made.targets), recorder.clock())
    watcher = Watcher(targets=made.targets, wishes=made.wishes, recorder=recorder, say=voice.say)
    jobs = [job for watched in made.targets for job in watched.jobs]
    cycle = Cycle(
        recorder=recorder,
        notifier=Notifier(tracker=tracker, is_quiet=_quiet(made.wishes)),
        senders=made.senders,
        keeper=keeper,
        keep_s=max(wish.keep for wish in made.wishes.values()),
        # What pages need of the checks, in the order of the manifest.
        facts={
            "watch": {"began": recorder.clock(), "checks": [[*job.series, job.every_s, job.check.kind] for job in jobs]}
        },
        alive=made.alive,
    )
    return watcher, cycle


def _jobs(made: _Made, recorder: RoundRecorder) -> Jobs:
    """List the jobs that may call in."""
    found: dict[str, HeartbeatCheck] = {}
    for job in (job for watched in made.targets for job in watched.jobs if job.check.kind == "heartbeat"):
        if found.setdefault(job.check.id, job.check) is not job.check:
            raise ManifestError(
                f"two services have a heartbeat {job.check.id!r}", todo="rename one: its address is its id"
            )
    environ = made.options.settings.environ
    return Jobs(checks=found, environ=environ, began=recorder.clock(), leapt_s=recorder.leapt_s)


def _listening(jobs: Jobs, cycle: Cycle) -> Callable[[HeartbeatCheck], Coroutine[Any, Any, Passed]]:
    async def ask(check: HeartbeatCheck) -> Passed:
        store = cycle.recorder.store
        now = cycle.recorder.clock()
        calls = await asyncio.get_running_loop().run_in_executor(cycle.keeper, store.beats, check.id, now)
        return jobs.judge(check, calls, now)

    return ask


def _etiquette(service: str, wish: Watching) -> OutageRules:
    return OutageRules(
        after=wish.after,
        recovered_after=wish.recovered_after,
        again_s=wish.again,
        channels=tuple(f"{service}.{name}" for name in wish.tell),
    )


def _known(found: Sequence[WatchedTarget]) -> set[Series]:
    """The series of all results that the watched checks can have."""
    known = set()
    for watched in found:
        names = [(name, job.instance) for job in watched.jobs for name in runner.names(job.check)]
        if watched.target and watched.target.live:
            names.append((LIVE, ""))
        known |= {Series(watched.service, watched.target_name, *name) for name in names}
    return known


def _quiet(wishes: Mapping[str, Watching]) -> Callable[[str, float], bool]:
    def is_quiet(channel: str, now: float) -> bool:
        service, _, name = channel.partition(".")
        wish = wishes.get(service)
        spans = wish.tell[name].quiet if wish and name in wish.tell else []
        return bool(spans and wish and calendar.quiet_until(spans, wish.zone, datetime.fromtimestamp(now, UTC)))

    return is_quiet


def _alive(wishes: Mapping[str, Watching], environ: Mapping[str, str]) -> str:
    """The address that is called while the watcher works: the first one that a manifest names."""
    for text in filter(None, (wish.alive for wish in wishes.values())):
        url, absent = placeholders.with_environment(text, environ)
        if absent or not is_private(url):
            why = f"{absent[0]} is not set" if absent else "it is not an https address"
            raise ManifestError(f"watch.alive: {why}", todo="set it to the address of your heartbeat monitor")
        return url
    return ""


def _obey_signals(watcher: Watcher, voice: Voice) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if not watcher.stopping.is_set():
            voice.say(f"{signal.Signals(number).name}: stopping as soon as the running checks have ended")
        watcher.stopping.set()

    for number in process.ending_signals():
        loop.add_signal_handler(number, stop, number)


def _ended(tally: Tally) -> str:
    late = f"{1000 * tally.late_s / tally.asked:.1f} ms late on average" if tally.asked else "nothing was due"
    return f"{plural(tally.asked, 'round')}, {tally.skipped} skipped, {late}"


def _address(listen: str | None) -> tuple[str, int] | None:
    if listen is None:
        return None
    found = _LISTEN.fullmatch(listen)
    if not found or int(found["port"]) > 65535:
        raise ManifestError(f"--listen: {listen!r} is not an address", todo="write HOST:PORT, e.g. 127.0.0.1:8090")
    return found["host"].strip("[]") or "0.0.0.0", int(found["port"])  # noqa: S104 - asked for by an empty host

"""A run of checks: first the gate, then all checks concurrently, each with its attempts, and the report."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from testbay import process
from testbay.errors import InterruptedRunError
from testbay.manifest.checkbase import LIVE, Phase
from testbay.manifest.checks import Check, HttpCheck, JourneyCheck, WebSocketCheck
from testbay.manifest.rollout import RolloutLookup
from testbay.production.checks import gate, loop
from testbay.production.checks.attempts import HARMLESS, MAY_NOT_WRITE, attempt, masked, result_of
from testbay.production.checks.client import ContextOptions, open_context
from testbay.production.checks.context import CheckContext, FoundError, Passed
from testbay.production.checks.limit import UnendedError
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history import verdicts
from testbay.production.history.verdicts import Past
from testbay.text import one_line

CONCURRENCY = 16
_FIRST_PAUSE_S = 0.5
ASKS_TARGET = ("http", "websocket", "journey", LIVE)


@dataclass(frozen=True, kw_only=True)
class Plan(ContextOptions):
    """The plan of a run: checks of one service, in one phase, against at most one target.

    `target_name` is empty for a service on a lease. Without `expected_commit` the gate cannot judge, unless `lookup`
    asks the deployment platform. `past` is the history for comparing response times. `secrets` are names of variables
    (`*` allowed) whose values are masked. `known` goes into the report.
    """

    service: str
    phase: Phase
    checks: Sequence[Check]
    target_name: str = ""
    past: Past | None = None
    known: Sequence[str] = ()
    lookup: RolloutLookup | None = None
    progress: Callable[[str], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None


def run(plan: Plan) -> Report:
    """Run the checks and return the report.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; what had been made was cleaned up first.
    """
    return loop.run(_run(plan))


async def _run(plan: Plan) -> Report:
    running, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    received: list[int] = []

    def interrupt(number: int) -> None:
        if not received:  # a second one would keep the cleanups from their work
            me.cancel()
        received.append(number)

    for number in process.ending_signals():
        running.add_signal_handler(number, interrupt, number)
    try:
        return await report(plan)
    except asyncio.CancelledError:
        name = signal.Signals(received[0]).name if received else "a signal"
        raise InterruptedRunError(f"interrupted by {name}", todo="run the checks again") from None


async def report(plan: Plan) -> Report:
    """Run the plan inside a running loop."""
    started = datetime.now(UTC)
    context, trouble = open_context(plan)
    async with context.client:
        results = _unasked(plan, trouble) if trouble else await _all(plan, context)
    if context.secrets:  # early results may contain secrets captured later
        results = [masked(context, result) for result in results]
    found = Report(
        service=plan.service,
        phase=plan.phase,
        target=plan.target_name,
        started=started.isoformat(timespec="milliseconds"),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        commit=context.masked(context.commit),
        expected_commit=one_line(context.expected_sha),
        run_url=_run_url(plan.environ),
        evidence=plan.target.evidence if plan.target else "full",
        known=tuple(plan.known),
        results=tuple(results),
    )
    return verdicts.judged(found, plan.checks, plan.past)


def _unasked(plan: Plan, why: str) -> list[Result]:
    live = [Result(check=LIVE, kind=LIVE, verdict="error", said=why, attempts=0)] if _has_gate(plan) else []
    return live + [_unrun(check, each, "error", why) for check in plan.checks for each in instances(check)]


def _unrun(check: Check, instance: str, verdict: Verdict, why: str) -> Result:
    return Result(check=check.id, instance=instance, kind=check.kind, verdict=verdict, said=why, attempts=0)


def _has_gate(plan: Plan) -> bool:
    return plan.target is not None and plan.target.live is not None and plan.phase in ("post-deploy", "scheduled")


def instances(check: Check) -> list[str]:
    """The values of a check's `each`, or one empty value."""
    each = check.each if isinstance(check, HttpCheck | WebSocketCheck) else []
    return each or [""]


async def _all(plan: Plan, context: CheckContext) -> list[Result]:
    gate_results = [await _gate(plan, context)] if _has_gate(plan) else []
    pairs = [(check, each) for check in plan.checks for each in instances(check)]
    done: list[str] = []
    room = asyncio.Semaphore(CONCURRENCY)

    async def one(check: Check, each: str) -> list[Result]:
        async with room:
            found = await _ask(context, check, each)
        done.append(check.id)
        plan.progress(f"{len(done)} of {len(pairs)} checks, {check.id}: {found[0].verdict}")
        return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(check, each)) for check, each in pairs]
    results = [result for task in tasks for result in task.result()]
    for gate_result in gate_results:
        results = [_of_that_build(result, gate_result.verdict) for result in results]
    return gate_results + results


def _of_that_build(result: Result, gate: Verdict) -> Result:
    """Turn a pass into `stale` or `error` if the gate did not see the expected build."""
    if result.verdict != "pass" or result.kind not in ASKS_TARGET or gate in HARMLESS:
        return result
    if gate == "error":
        return replace(result, verdict="error", said=f"passed, but on an unknown build: {result.said}")
    return replace(result, verdict="stale", said=f"passed, but not on the expected build: {result.said}")


async def _gate(plan: Plan, context: CheckContext) -> Result:
    assert plan.target is not None
    assert plan.target.live is not None
    began = time.monotonic()
    try:
        must_know = plan.phase == "post-deploy" or plan.lookup is not None
        passed, attempts = await gate.wait(
            context, plan.target.live, plan.progress, must_know=must_know, lookup=plan.lookup, tell=plan.tell
        )
    except FoundError as error:
        return result_of(context, LIVE, error, began)
    return result_of(context, LIVE, passed, began, attempts=attempts)


async def _ask(context: CheckContext, check: Check, instance: str) -> list[Result]:
    """The results of one check: its own, and that of a journey's cleanup."""
    if check.writes and not context.writes:
        return [_unrun(check, instance, "skip", MAY_NOT_WRITE)]
    began = time.monotonic()
    cleanups: list[Result] = []
    heard: list[str] = []
    pause_s = _FIRST_PAUSE_S
    found = await attempt(context, check, instance, cleanups)
    for number in range(1, check.attempts):
        if context.left_s < pause_s or isinstance(found, Passed | UnendedError):
            break
        if found.verdict not in ("fail", "error"):
            break
        heard.append(f"attempt {number}: {found.said}")
        await asyncio.sleep(pause_s)
        pause_s *= 2
        found = await attempt(context, check, instance, cleanups)
    result = result_of(context, check, found, began, instance=instance, attempts=len(heard) + 1)
    earlier = [context.masked(line) for line in heard]
    return [replace(result, evidence=(*earlier, *result.evidence)), *cleanups]


def _run_url(environ: Mapping[str, str]) -> str:
    """The address of the workflow run on GitHub; empty elsewhere."""
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run_id = environ.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{run_id}" if server and repository and run_id else ""


def names(check: Check) -> list[str]:
    """List the names of a check's results: its id, and those of its parts."""
    found = [check.id]
    found += [f"{check.id}/{verdicts.KIND}"] if isinstance(check, HttpCheck) and check.latency else []
    found += [f"{check.id}/cleanup"] if isinstance(check, JourneyCheck) and check.cleanup else []
    return found


def chosen(checks: Iterable[Check], phase: Phase, ids: Sequence[str]) -> list[Check]:
    """The checks of a phase, in the manifest's order; with `ids` only those of them."""
    return [check for check in checks if phase in check.asked_in and (not ids or check.id in ids)]

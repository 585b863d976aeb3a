"""A run of checks: the gate first, then everything at once up to a cap, each retried as it says, all of it reported."""

import asyncio
import fnmatch
import re
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from testbay.errors import InterruptedRunError
from testbay.manifest import placeholders
from testbay.manifest.checkbase import LIVE, Phase
from testbay.manifest.checks import Check, HttpCheck, JourneyCheck, Target, WebSocketCheck
from testbay.manifest.rollout import Look
from testbay.production.checks import gate
from testbay.production.checks.asking import Asking, FoundError, Passed
from testbay.production.checks.exchange import tls_trouble
from testbay.production.checks.kinds import container, env, http, websocket
from testbay.production.checks.kinds.journey import Journey
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history import verdicts
from testbay.production.history.verdicts import Past
from testbay.text import one_line

if TYPE_CHECKING:
    import aiohttp

CONCURRENCY = 16
_MAX_HEADER_BYTES = 64 << 10
_FIRST_PAUSE_S = 0.5
_HARMLESS = ("pass", "skip")
_ADDRESS = re.compile(r"https?://[^\s/?#]+\S*$")
ASKS_TARGET = ("http", "websocket", "journey", LIVE)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run: checks of one service, in one phase, against at most one target.

    `target_name` is empty for a service on a lease. `expected_commit` may be empty: then the gate cannot tell, unless
    `look` asks the platform that deploys. `past` is what response times are compared with. `secrets` are names of
    variables, `*` allowed, whose values nothing shows. `known` goes into the report.
    """

    service: str
    root: Path
    phase: Phase
    checks: Sequence[Check]
    target: Target | None = None
    target_name: str = ""
    expected_commit: str = ""
    within_s: float = 900.0
    past: Past | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = ()
    known: Sequence[str] = ()
    look: Look | None = None
    progress: Callable[[str], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None


def run(plan: Plan) -> Report:
    """Ask everything and report.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; what had been made was cleaned up first.
    """
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    received: list[int] = []

    def interrupt(number: int) -> None:
        if not received:  # a second one would keep the cleanups from their work
            me.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await report(plan)
    except asyncio.CancelledError:
        name = signal.Signals(received[0]).name if received else "a signal"
        raise InterruptedRunError(f"interrupted by {name}", todo="run the checks again") from None


async def report(plan: Plan) -> Report:
    """The same, inside of a running loop."""
    started = datetime.now(UTC)
    asking, trouble = _asking(plan)
    async with asking.client:
        results = _unasked(plan, trouble) if trouble else await _all(plan, asking)
    if asking.secrets:  # what was found first may hold what was captured later
        results = [_masked(asking, result) for result in results]
    found = Report(
        service=plan.service,
        phase=plan.phase,
        target=plan.target_name,
        started=started.isoformat(timespec="milliseconds"),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        commit=asking.masked(asking.commit),
        expected_commit=one_line(asking.expected_sha),
        run_url=_run_url(plan.environ),
        known=tuple(plan.known),
        results=tuple(results),
    )
    return verdicts.judged(found, plan.checks, plan.past)


def _asking(plan: Plan) -> tuple[Asking, str]:
    """With what to ask, and why that cannot be done, if so."""
    import aiohttp

    target = plan.target or Target(base_url="http://127.0.0.1:9")
    base_url, absent = placeholders.with_environment(target.base_url, plan.environ)
    headers: dict[str, str] = {}
    kept = _password(base_url)
    kept |= {plan.environ[name] for pattern in plan.secrets for name in fnmatch.filter(plan.environ, pattern)}
    for name, text in target.headers.items():
        headers[name], missing = placeholders.with_environment(text, plan.environ)
        absent += missing
        kept |= {plan.environ.get(variable, "").strip() for variable in placeholders.variables(text)}
    trouble = f"{', '.join(absent)} is not set, and the target needs it" if absent else ""
    if not trouble and not _ADDRESS.match(base_url):  # it may hold a password, so it is not shown
        trouble = f"the target's base_url, {target.base_url}, is not an address: it begins with http:// or https://"
    direct = urlsplit(base_url).hostname in ("127.0.0.1", "::1", "localhost")
    try:
        tls = _trusting(plan.environ)
    except OSError as error:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts no one
        why = tls_trouble(error) if isinstance(error, ssl.SSLError) else error.strerror
        trouble = trouble or f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {why}"
    # A connection for each: one that the server has just closed is not its fault.
    connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=tls)
    asking = Asking(
        base_url=base_url.rstrip("/"),
        headers=headers,
        writes=target.writes,
        root=plan.root,
        environ=plan.environ,
        run_id=f"testbay-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        expected_sha=plan.expected_commit,
        deadline=time.monotonic() + plan.within_s,
        client=_client(connector, direct=direct),
        direct=direct,
        tls=tls,
        secrets=kept,
    )
    return asking, trouble


def _client(connector: "aiohttp.BaseConnector | None", *, direct: bool, owner: bool = True) -> "aiohttp.ClientSession":
    """With cookies of its own."""
    import aiohttp

    client = aiohttp.ClientSession(
        connector=connector,
        connector_owner=owner,
        cookie_jar=aiohttp.CookieJar(unsafe=True),  # also of a host that is an address
        timeout=aiohttp.ClientTimeout(),  # each check has a deadline over all of it
        trust_env=not direct,  # no proxy leads to this machine
        auto_decompress=False,  # it would be without a limit
        headers={"accept-encoding": "gzip", "user-agent": "testbay"},
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )
    client._retry_connection = False  # noqa: SLF001 - how often a check is asked is ours to say, and is reported
    return client


def _trusting(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Of the certificates that come with us, or of those that the environment names."""
    import certifi

    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)


def _password(url: str) -> set[str]:
    user = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return {form for part in (user, user.partition(":")[2]) if part for form in (part, unquote(part))}


def _unasked(plan: Plan, why: str) -> list[Result]:
    live = [Result(check=LIVE, kind=LIVE, verdict="error", said=why, attempts=0)] if _has_gate(plan) else []
    return live + [
        Result(check=check.id, instance=each, kind=check.kind, verdict="error", said=why, attempts=0)
        for check in plan.checks
        for each in _instances(check)
    ]


def _has_gate(plan: Plan) -> bool:
    return plan.target is not None and plan.target.live is not None and plan.phase in ("post-deploy", "scheduled")


def _instances(check: Check) -> list[str]:
    each = check.each if isinstance(check, HttpCheck | WebSocketCheck) else []
    return each or [""]


async def _all(plan: Plan, asking: Asking) -> list[Result]:
    gate_results = [await _gate(plan, asking)] if _has_gate(plan) else []
    pairs = [(check, each) for check in plan.checks for each in _instances(check)]
    done: list[str] = []
    room = asyncio.Semaphore(CONCURRENCY)

    async def one(check: Check, each: str) -> list[Result]:
        async with room:
            found = await _ask(asking, check, each)
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
    """What passed, passed on a build that may be another one than the expected."""
    if result.verdict != "pass" or result.kind not in ASKS_TARGET or gate in _HARMLESS:
        return result
    if gate == "error":
        return replace(result, verdict="error", said=f"passed, but on an unknown build: {result.said}")
    return replace(result, verdict="stale", said=f"passed, but not on the expected build: {result.said}")


async def _gate(plan: Plan, asking: Asking) -> Result:
    assert plan.target is not None
    assert plan.target.live is not None
    began = time.monotonic()
    try:
        must_know = plan.phase == "post-deploy" or plan.look is not None
        passed, attempts = await gate.wait(
            asking, plan.target.live, plan.progress, must_know=must_know, look=plan.look, tell=plan.tell
        )
    except FoundError as error:
        return _result(asking, LIVE, error, began)
    return _result(asking, LIVE, passed, began, attempts=attempts)


async def _ask(asking: Asking, check: Check, instance: str) -> list[Result]:
    """The results of one check: its own, and that of a journey's cleanup."""
    if check.writes and not asking.writes and check.kind in ASKS_TARGET:
        said = "it writes, and the target does not say writes = true"
        return [Result(check=check.id, instance=instance, kind=check.kind, verdict="skip", said=said, attempts=0)]
    began = time.monotonic()
    cleanups: list[Result] = []
    heard: list[str] = []
    pause_s = _FIRST_PAUSE_S
    found = await _attempt(asking, check, instance, cleanups)
    for attempt in range(1, check.attempts):
        over = asking.deadline - time.monotonic() < pause_s
        if over or isinstance(found, Passed) or found.verdict not in ("fail", "error"):
            break
        heard.append(f"attempt {attempt}: {found.said}")
        await asyncio.sleep(pause_s)
        pause_s *= 2
        found = await _attempt(asking, check, instance, cleanups)
    result = _result(asking, check, found, began, instance=instance, attempts=len(heard) + 1)
    earlier = [asking.masked(line) for line in heard]
    return [replace(result, evidence=(*earlier, *result.evidence)), *cleanups]


def _result(
    asking: Asking,
    check: Check | str,
    found: Passed | FoundError,
    began: float,
    *,
    instance: str = "",
    attempts: int = 1,
) -> Result:
    verdict: Verdict = "pass" if isinstance(found, Passed) else found.verdict
    name, kind = (check, LIVE) if isinstance(check, str) else (check.id, check.kind)
    return Result(
        check=name,
        instance=instance,
        kind=kind,
        verdict=verdict,
        said=asking.masked(found.said),
        evidence=tuple(asking.masked(line) for line in found.evidence),
        duration_s=round(time.monotonic() - began, 4),
        attempts=attempts,
        latencies_s=tuple(round(seconds, 5) for seconds in found.latencies_s) if isinstance(found, Passed) else (),
    )


async def _attempt(asking: Asking, check: Check, instance: str, cleanups: list[Result]) -> Passed | FoundError:
    try:
        # Or another check's cookie would log it in, or not, as it happens.
        async with _client(asking.client.connector, direct=asking.direct, owner=False) as client:
            return await _asked(replace(asking, client=client), check, instance, cleanups)
    except FoundError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one strange answer must not take the verdicts of all others with it
        return FoundError("error", f"testbay could not ask: {type(error).__name__}: {error}")


async def _asked(asking: Asking, check: Check, instance: str, cleanups: list[Result]) -> Passed:
    match check.kind:
        case "http":
            return await http.ask(asking, check, instance)
        case "websocket":
            return await websocket.ask(asking, check, instance)
        case "env":
            return env.ask(asking, check)
        case "container":
            return await asyncio.to_thread(container.ask, asking, check)
        case "journey":
            return await _travel(asking, check, cleanups)


async def _travel(asking: Asking, check: JourneyCheck, cleanups: list[Result]) -> Passed:
    """The journey; its cleanup also when it is interrupted or the run's time is over, in time of its own."""
    journey = Journey(asking, check)
    try:
        return await journey.go()
    finally:
        if check.cleanup:
            began = time.monotonic()
            cleaned: Passed | FoundError
            try:
                cleaned = await _to_its_end(journey.clean())
            except FoundError as error:
                cleaned = error
            if not cleanups or cleanups[0].verdict in _HARMLESS:  # of several attempts the one that left something
                cleanups[:] = [replace(_result(asking, check, cleaned, began), check=f"{check.id}/cleanup")]


async def _to_its_end(cleanup: Coroutine[Any, Any, Passed]) -> Passed:
    """What it comes to; an interrupt that comes while it is under way is obeyed when it is done."""
    task = asyncio.ensure_future(cleanup)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _masked(asking: Asking, result: Result) -> Result:
    said, *evidence = (asking.masked(text) for text in (result.said, *result.evidence))
    return replace(result, said=said, evidence=tuple(evidence), instance=asking.masked(result.instance))


def _run_url(environ: Mapping[str, str]) -> str:
    """Of the workflow run that we are in."""
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run_id = environ.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{run_id}" if server and repository and run_id else ""


def names(check: Check) -> list[str]:
    """What its results are called: its id, and with what."""
    found = [check.id]
    found += [f"{check.id}/{verdicts.KIND}"] if isinstance(check, HttpCheck) and check.latency else []
    found += [f"{check.id}/cleanup"] if isinstance(check, JourneyCheck) and check.cleanup else []
    return found


def chosen(checks: Iterable[Check], phase: Phase, ids: Sequence[str]) -> list[Check]:
    """The checks of a phase, in the manifest's order; with `ids` only those of them."""
    return [check for check in checks if phase in check.asked_in and (not ids or check.id in ids)]

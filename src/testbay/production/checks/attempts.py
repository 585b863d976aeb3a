"""One attempt at a check of any kind, and its result with secrets masked."""

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Any

from testbay.manifest.checkbase import LIVE
from testbay.manifest.checks import Check, JourneyCheck
from testbay.manifest.probes import Probe
from testbay.production.checks import limit, loop
from testbay.production.checks.client import client
from testbay.production.checks.context import CheckContext, FoundError, Passed
from testbay.production.checks.kinds import container, env, http, websocket
from testbay.production.checks.kinds.journey import Journey
from testbay.production.checks.report import Result, Verdict

HARMLESS = ("pass", "skip")
MAY_NOT_WRITE = "the check writes, and the target does not allow it (writes = true)"


def result_of(
    context: CheckContext,
    check: Check | str,
    found: Passed | FoundError,
    began: float,
    *,
    instance: str = "",
    attempts: int = 1,
) -> Result:
    """Turn a finding into the result that is reported."""
    verdict: Verdict = "pass" if isinstance(found, Passed) else found.verdict
    name, kind = (check, LIVE) if isinstance(check, str) else (check.id, check.kind)
    return Result(
        check=name,
        instance=instance,
        kind=kind,
        verdict=verdict,
        said=context.masked(found.said),
        evidence=tuple(context.masked(line) for line in found.evidence),
        duration_s=round(time.monotonic() - began, 4),
        attempts=attempts,
        latencies_s=tuple(round(seconds, 5) for seconds in found.latencies_s) if isinstance(found, Passed) else (),
    )


async def attempt(context: CheckContext, check: Check, instance: str, cleanups: list[Result]) -> Passed | FoundError:
    """Run a check once; a journey adds the result of its cleanup to `cleanups`."""
    # Or another check's cookie would log it in, or not, as it happens.
    own = client(context.client.connector, direct=context.direct, owner=False)
    context = replace(context, client=own, cookies=set())
    async with own:
        return await asked(context, check, _ask(context, check, instance, cleanups))


async def asked(context: CheckContext, check: Check, asking: Coroutine[Any, Any, Passed]) -> Passed | FoundError:
    """Await the finding of a check, and no longer than a check of its kind may take."""
    try:
        return await limit.limited(outcome(context, asking), limit.most_s(check))
    except limit.UnendedError as error:
        return error


async def outcome(context: CheckContext, asking: Awaitable[Passed]) -> Passed | FoundError:
    """Await a finding; one strange answer must not take the verdicts of all others with it, nor end the watcher."""
    try:
        return await asking
    except FoundError as error:
        return context.without_cookies(error)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return FoundError("error", f"testbay itself failed: {type(error).__name__}: {error}")


async def _ask(context: CheckContext, check: Check, instance: str, cleanups: list[Result]) -> Passed:
    match check.kind:
        case "http":
            return await http.ask(context, check, instance)
        case "websocket":
            return await websocket.ask(context, check, instance)
        case "env":
            return await loop.apart(env.ask, context, check)
        case "container":
            return await loop.apart(container.ask, context, check)
        case "journey":
            return await _travel(context, check, cleanups)
        case _:
            return await _probed(context, check)


async def _probed(context: CheckContext, check: Probe) -> Passed:
    """Run a probe; its libraries are imported only here, when they are needed."""
    from testbay.production.checks.kinds import servers, sockets

    match check.kind:
        case "tcp":
            return await sockets.tcp(context, check)
        case "tls":
            return await sockets.tls(context, check)
        case "dns":
            return await sockets.name(context, check)
        case "postgres":
            return await servers.postgres(context, check)
        case "redis":
            return await servers.redis(context, check)
        case "nats":
            return await servers.nats(context, check)
        case "heartbeat":
            raise FoundError("skip", "only testbay watch receives the calls of jobs", reached=False)


async def _travel(context: CheckContext, check: JourneyCheck, cleanups: list[Result]) -> Passed:
    """Run a journey; its cleanup has its own time limit, and also runs after an interrupt."""
    journey = Journey(context, check)
    try:
        return await journey.go()
    finally:
        if check.cleanup:
            began = time.monotonic()
            cleaned = await outcome(context, _to_its_end(journey.clean()))
            if not cleanups or cleanups[0].verdict in HARMLESS:  # of several attempts the one that left something
                cleanups[:] = [replace(result_of(context, check, cleaned, began), check=f"{check.id}/cleanup")]


async def _to_its_end(cleanup: Coroutine[Any, Any, Passed]) -> Passed:
    """Await the cleanup, and deliver a cancellation that came meanwhile only afterwards."""
    task = asyncio.ensure_future(cleanup)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def masked(context: CheckContext, result: Result) -> Result:
    """Mask secrets in a result that became known after it was made."""
    said, *evidence = (context.masked(text) for text in (result.said, *result.evidence))
    return replace(result, said=said, evidence=tuple(evidence), instance=context.masked(result.instance))

"""One attempt at a check of any kind, and its result with secrets masked."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from testbay.manifest.checkbase import LIVE
from testbay.manifest.checks import Check, JourneyCheck
from testbay.manifest.probes import Probe
from testbay.production.checks.asking import Asking, FoundError, Passed
from testbay.production.checks.client import client
from testbay.production.checks.kinds import container, env, http, websocket
from testbay.production.checks.kinds.journey import Journey
from testbay.production.checks.report import Result, Verdict

HARMLESS = ("pass", "skip")


def result_of(
    asking: Asking,
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
        said=asking.masked(found.said),
        evidence=tuple(asking.masked(line) for line in found.evidence),
        duration_s=round(time.monotonic() - began, 4),
        attempts=attempts,
        latencies_s=tuple(round(seconds, 5) for seconds in found.latencies_s) if isinstance(found, Passed) else (),
    )


async def attempt(asking: Asking, check: Check, instance: str, cleanups: list[Result]) -> Passed | FoundError:
    """Run a check once; a journey adds the result of its cleanup to `cleanups`."""
    try:
        # Or another check's cookie would log it in, or not, as it happens.
        async with client(asking.client.connector, direct=asking.direct, owner=False) as own:
            return await _asked(replace(asking, client=own), check, instance, cleanups)
    except FoundError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one strange answer must not take the verdicts of all others with it
        return FoundError("error", f"testbay itself failed: {type(error).__name__}: {error}")


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
        case _:
            return await _probed(asking, check)


async def _probed(asking: Asking, check: Probe) -> Passed:
    """Run a probe; its libraries are imported only here, when they are needed."""
    from testbay.production.checks.kinds import servers, sockets

    match check.kind:
        case "tcp":
            return await sockets.tcp(asking, check)
        case "tls":
            return await sockets.tls(asking, check)
        case "dns":
            return await sockets.name(asking, check)
        case "postgres":
            return await servers.postgres(asking, check)
        case "redis":
            return await servers.redis(asking, check)
        case "nats":
            return await servers.nats(asking, check)
        case "heartbeat":
            raise FoundError("skip", "only testbay watch receives the calls of jobs", reached=False)


async def _travel(asking: Asking, check: JourneyCheck, cleanups: list[Result]) -> Passed:
    """Run a journey; its cleanup has its own time limit, and also runs after an interrupt."""
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
            if not cleanups or cleanups[0].verdict in HARMLESS:  # of several attempts the one that left something
                cleanups[:] = [replace(result_of(asking, check, cleaned, began), check=f"{check.id}/cleanup")]


async def _to_its_end(cleanup: Coroutine[Any, Any, Passed]) -> Passed:
    """Await the cleanup, and deliver a cancellation that came meanwhile only afterwards."""
    task = asyncio.ensure_future(cleanup)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def masked(asking: Asking, result: Result) -> Result:
    """Mask secrets in a result that became known after it was made."""
    said, *evidence = (asking.masked(text) for text in (result.said, *result.evidence))
    return replace(result, said=said, evidence=tuple(evidence), instance=asking.masked(result.instance))

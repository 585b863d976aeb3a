"""Readiness: querying each dependency of a started stack until it answers, or explaining why it does not."""

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from testbay.errors import EngineUnavailableError, NotReadyError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Answer, Endpoint, RefusedError
from testbay.harness.stack.request import REPLAY, Request
from testbay.logs import tail

# Slowly from one to the other: a warm start is over after ten questions, and waits half a pause too long on average.
_FIRST_POLL_S, _LAST_POLL_S, _POLL_GROWTH = 0.005, 0.02, 1.05
_LIMITED = ("NOPERM", "Permissions Violation")  # of Redis and of NATS: the login is right
_PROTECTED = "in protected mode"  # of Redis, which has no password then
_REFUSALS_LAST_S = 1.0  # an image may take the login it starts with back within a moment

Progress = Callable[[str], None]


class Awaited(Protocol):
    """A stack whose servers run; `ready_s` collects how long each took to answer."""

    request: Request
    endpoints: dict[str, Endpoint]
    ready_s: dict[str, float]

    def check(self, wait_s: float = 0.0) -> None:
        """Wait up to `wait_s` seconds for bad news; raise it."""

    def log_of(self, name: str) -> Path:
        """The log of a server."""


def await_ready(stack: Awaited, progress: Progress, asked_at: float = 0.0) -> None:
    """Query each dependency until all have answered or the deadline has passed; record the times in `ready_s`."""
    timeout_s = stack.request.settings.ready_timeout_s
    began = time.monotonic()
    waiting = dict.fromkeys(stack.endpoints, "no answer yet")
    refusing: dict[str, float] = {}
    pause = _FIRST_POLL_S
    while waiting:
        for name in list(waiting):
            try:
                _ask(stack, name)
            except (OSError, ValueError) as error:
                waiting[name] = " ".join(str(error).split()) or type(error).__name__
                if not isinstance(error, RefusedError):
                    refusing.pop(name, None)
                elif time.monotonic() - refusing.setdefault(name, time.monotonic()) > _REFUSALS_LAST_S:
                    raise _refused(stack, name, waiting[name]) from None
            else:
                stack.ready_s.setdefault(name, round(time.monotonic() - asked_at, 4))
                del waiting[name]
        elapsed = time.monotonic() - began
        if waiting and elapsed > timeout_s:
            raise _silent(stack, waiting, timeout_s)
        if waiting:
            progress(
                f"{elapsed:.0f} s, waiting for "
                + "; ".join(f"{stack.request.called(n)}: {said}" for n, said in waiting.items())
            )
            stack.check(pause)
            pause = min(pause * _POLL_GROWTH, _LAST_POLL_S)


def _ask(stack: Awaited, name: str) -> None:
    """Query a dependency; complete its endpoint with what it answers."""
    known = stack.endpoints[name]
    try:
        answer = _probe(stack, name)
    except OSError as error:
        if error.errno == errno.ENETUNREACH:
            raise _cut_off(known) from None
        raise
    stack.endpoints[name] = replace(known, version=answer.version, note=answer.note or known.note)


def _probe(stack: Awaited, name: str) -> Answer:
    endpoint = stack.endpoints[name]
    if name != REPLAY:
        return ROOMS[name].probe(endpoint, timeout_s=2.0)
    import urllib.request  # takes longer than to ask

    assert stack.request.manifest.replay is not None
    ready = f"http://{endpoint.host}:{endpoint.port}/{stack.request.manifest.replay.ready.lstrip('/')}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(ready, timeout=2.0) as answer:
        return Answer(f"HTTP {answer.status}")


def _refused(stack: Awaited, name: str, answer: str) -> NotReadyError:
    endpoint = stack.endpoints[name]
    who = f"user {endpoint.user!r}" if endpoint.user else "a client without a user name"
    where = f", database {endpoint.db!r}" if name == "postgres" else ""
    service = stack.request.services[name].key
    why, todo = "is not the one its server knows", "correct the file, or the image"
    if any(word in answer for word in _LIMITED):
        why, todo = "may not do there what testbay does", "give the tests a user who may do everything there"
    if _PROTECTED in answer:
        answer = answer.partition(". ")[0]
        why = "cannot be checked: the server got no password, so it answers its own container alone (protected mode)"
        todo = "give it a password (requirepass), or have its configuration say `protected-mode no`"
    return NotReadyError(
        f"{stack.request.called(name)} refuses {who}{where}: {answer}",
        why=f"the login of service {service!r} in {stack.request.compose.path} {why}; waiting changes nothing",
        todo=f"`testbay compose` shows each value and where it comes from; {todo}",
        evidence=_last_words(stack, name),
    )


def _cut_off(endpoint: Endpoint) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"{endpoint.host} cannot be reached: Network is unreachable",
        why="this machine, or the sandbox that testbay runs in, has a loopback interface that is down",
        todo="ip link set lo up, as root; or give the sandbox a network",
    )


def _silent(stack: Awaited, waiting: dict[str, str], timeout_s: float) -> NotReadyError:
    name, said = next(iter(waiting.items()))
    first, *others = map(stack.request.called, waiting)
    return NotReadyError(
        f"{' and '.join((first, *others))} not ready after {timeout_s:g} s; the last answer of {first} was: {said}",
        why="it is still starting, or it listens elsewhere",
        todo="read its log below; TESTBAY_READY_TIMEOUT=120 waits longer",
        evidence=_last_words(stack, name),
    )


def _last_words(stack: Awaited, name: str) -> str:
    log = stack.log_of(name)
    return f"{log}\n{tail(log)}"

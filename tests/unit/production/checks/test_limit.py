"""The outer limit of a check: what does not end is told of, and neither other checks nor the process wait for it."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable

import psycopg
import pytest
from tests.samples.reports import only

from testbay.manifest.checks import ContainerCheck, HttpCheck, JourneyCheck
from testbay.production.checks import attempts, limit, loop
from testbay.production.checks.context import FoundError, deadline
from testbay.production.checks.kinds import servers
from testbay.production.checks.limit import UnendedError
from testbay.production.checks.report import Report

STEP = {"get": "/", "expect": ["status == 200"]}
NO_TLS = struct.pack("!I", 80877103)
LOGGED_IN = b"R\0\0\0\x08\0\0\0\0" + b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01" + b"Z\0\0\0\x05I"


async def deaf() -> str:
    """Go on when it is cancelled, as a library does that waits for a peer before it closes."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def test_what_does_not_end_is_told_of_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the place that is waited in, and the loop ends without waiting for what is left."""
    monkeypatch.setattr(limit, "_LAST_S", 0.01)

    async def ask() -> tuple[UnendedError, int]:
        with pytest.raises(UnendedError) as found:
            await limit.limited(deaf(), 0.01)
        return found.value, loop.left_behind(asyncio.get_running_loop())

    error, left = loop.run(ask())

    assert (error.verdict, left) == ("error", 1)
    assert error.said == (
        "the check itself did not end within 0.01 s, a fault of testbay or of a library that it asks with"
    )
    assert error.evidence[0].startswith("it waits in asyncio.tasks.sleep, line ")


def test_a_call_that_hangs_keeps_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in a thread that a process does not wait for; the check that made it has ended."""
    monkeypatch.setattr(limit, "_LAST_S", 0.01)
    silent, held = socket.socketpair()

    async def ask() -> int:
        with pytest.raises(UnendedError):
            await limit.limited(loop.apart(silent.recv, 1), 0.01)
        return loop.left_behind(asyncio.get_running_loop())

    with silent, held:
        left = loop.run(ask())
        held.sendall(b".")

    assert left == 0


def test_an_interrupt_waits_for_what_cleans_up() -> None:
    """And only then goes on: what a check made is removed."""
    done: list[str] = []

    async def cleaning() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)
            done.append("cleaned")

    async def interrupted() -> None:
        task = asyncio.ensure_future(limit.limited(cleaning(), 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        done.append("interrupted" if task.cancelled() else "went on")

    loop.run(interrupted())

    assert done == ["cleaned", "interrupted"]


def test_the_limit_is_beyond_all_others_of_a_check() -> None:
    """Each probe of latency has the whole time, each step of a journey's cleanup, and each call of Docker."""
    common = {"id": "x", "timeout": "2s"}
    simple = HttpCheck.model_validate({**common, "kind": "http", **STEP})
    probes = HttpCheck.model_validate({**common, "kind": "http", **STEP, "latency": {"probes": 20}})
    journey = JourneyCheck.model_validate({**common, "kind": "journey", "step": [STEP], "cleanup": [STEP, STEP]})
    containers = ContainerCheck.model_validate({**common, "kind": "container", "compose": "c.yml", "services": ["a"]})

    assert [limit.most_s(check) for check in (simple, probes, journey, containers)] == [12, 50, 16, 14]


def test_a_machine_that_stood_still_leaves_a_check_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it goes on all limits are over at once, of which the check's own one comes first."""
    monkeypatch.setattr(limit, "GRACE_S", 0.3)

    async def ask() -> None:
        asyncio.get_running_loop().call_later(0.01, time.sleep, 0.4)
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.sleep, 0.01)
            async with asyncio.timeout(0.02):
                await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        loop.run(limit.limited(ask(), 0.32))


def test_a_machine_that_is_too_busy_to_close_in_time_does_not_hide_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had its processor until the limit; what follows the limit says nothing of the host."""
    starved_s = [0.0]
    monkeypatch.setattr(loop, "starved_s", lambda: starved_s[-1])

    async def ask() -> None:
        async with deadline("GET /", 0.01), contextlib.AsyncExitStack() as closing:
            closing.callback(starved_s.append, 60.0)
            await asyncio.sleep(60)

    with pytest.raises(FoundError) as found:
        loop.run(ask())

    assert (found.value.verdict, found.value.said) == ("fail", "GET / took longer than 0.01 s")


def test_a_check_that_did_not_end_is_not_asked_again(
    ask: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second attempt would leave a second thing behind."""
    monkeypatch.setattr(limit, "_LAST_S", 0.01)
    monkeypatch.setattr(limit, "most_s", lambda _: 0.01)
    monkeypatch.setattr(attempts, "_ask", lambda *_: deaf())
    found = only(ask('[[check]]\nid = "x"\nkind = "tcp"\nconnect = "127.0.0.1:9"\nattempts = 3\n'))

    assert (found.verdict, found.attempts) == ("error", 1)


def silent_postgres(client: socket.socket) -> None:
    """Take the login, and answer nothing more."""
    if client.recv(8)[4:] == NO_TLS:
        client.sendall(b"N")
    client.recv(1000)
    client.sendall(LOGGED_IN)
    while client.recv(1000):
        pass


def test_postgres_that_falls_silent_after_the_login_is_left_in_time(
    ask: Callable[..., Report], listen: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    """The client would ask it to cancel, and wait for seconds, or for ever: the check ends in its own time."""
    check = '[[check]]\nid = "x"\nkind = "postgres"\nattempts = 1\ntimeout = "500ms"\nurl = "${A}"'
    found = only(ask(check, environ={"A": f"postgresql://u:word@127.0.0.1:{listen(silent_postgres)}/shop"}))

    said = "PostgreSQL took longer than 0.5 s: it took the login, and the query did not end; does it wait for a lock?"
    assert found.said == said
    assert caplog.records == []  # of psycopg, which did not try to cancel


def test_a_query_that_is_given_up_takes_no_connection_of_another_check(listen: Callable[..., int]) -> None:
    """Its socket would be closed while it is still waited for, and the next one that is opened has the same number."""
    watched: list[socket.socket] = []

    async def given_up() -> str:
        running = asyncio.get_running_loop()
        connection = await psycopg.AsyncConnection.connect(f"postgresql://u@127.0.0.1:{listen(silent_postgres)}/shop")
        async with connection:
            asking = asyncio.ensure_future(servers._queried(connection, "begin", "select 1"))
            for _ in range(20):  # turns of the loop, until the query waits for the server
                await asyncio.sleep(0)
            asking.cancel()
            while not asking.done():
                with contextlib.ExitStack() as others:
                    opened = [others.enter_context(socket.socket()) for _ in range(8)]
                    watched.extend(other for other in opened if running.remove_reader(other.fileno()))
                await asyncio.sleep(0)
        return "cancelled" if asking.cancelled() else "ended"

    assert (loop.run(given_up()), watched) == ("cancelled", [])

"""The age of connections that are kept from one round to the next."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.manifest.checks import HttpCheck
from testbay.manifest.targets import Target
from testbay.production.checks import client
from testbay.production.checks.kinds import http

Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.mark.parametrize(("oldest_s", "connections"), [(60.0, 1), (-1.0, 3)])
def test_a_connection_grows_no_older_than_a_minute(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, oldest_s: float, connections: int
) -> None:
    """A watcher that keeps it for ever sees neither that the name leads elsewhere nor a new certificate."""
    monkeypatch.setattr(client, "_OLDEST_S", oldest_s)
    came: list[socket.socket] = []

    def converse(one: socket.socket) -> None:
        came.append(one)
        while one.recv(65536):
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    target = Target(base_url=f"http://127.0.0.1:{listen(converse)}")
    asyncio.run(_thrice(client.ContextOptions(target=target, root=Path(), keep_alive_s=30.0)))

    assert len(came) == connections


async def _thrice(plan: client.ContextOptions) -> None:
    context, _ = client.open_context(plan)
    table = {"kind": "http", "id": "health", "get": "/", "expect": ["status == 200"]}
    async with context.client:
        for _ in range(3):
            await http.ask(context, HttpCheck.model_validate(table), "")

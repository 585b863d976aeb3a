"""`testbay down`, with a guard that reports what it could not end."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from testbay.errors import LeftBehindError
from testbay.harness.stack import commands, registry
from testbay.output import Voice
from testbay.settings import Settings

Listen = Callable[[Callable[[socket.socket], None]], int]


def test_a_stack_that_left_something_has_not_ended(tmp_path: Path, listen: Listen) -> None:
    """Its guard said so as it went."""

    def guard(caller: socket.socket) -> None:
        caller.recv(64)
        caller.sendall(b'{"event": "joined"}\n')
        caller.recv(64)
        caller.sendall(b'{"event": "stopped", "reason": "asked to", "left": ["container a"]}\n')

    home = tmp_path / "stacks/shop-1"
    facts = {"id": "shop-1", "project": str(tmp_path), "service": "shop", "idle_s": 60, "token": "t"}
    with closing(registry.claim(home)):
        registry.write(home, facts | {"door": listen(guard)})
        with pytest.raises(LeftBehindError) as refused:
            commands.down(None, tmp_path, Settings(cache_dir=tmp_path), Voice(environ={}))

    assert str(refused.value) == (
        "stack shop-1 did not end: container a is left\n"
        "  why:      what it started is not ours to end, or hangs in the kernel\n"
        "  do:       testbay ps; testbay gc"
    )

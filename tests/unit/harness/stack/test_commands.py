"""`testbay down` and `testbay migrate`, with a guard or a stack that only says what it is told."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


def test_a_migrated_stack_is_left_when_its_record_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next command, which looks for these migrations, would start another."""
    said: list[object] = []
    kept = SimpleNamespace(
        id="shop-1",
        home=tmp_path,
        note=said.append,
        await_noted=lambda name, fact: said.append(f"await {name} {fact}"),
        leave=lambda: said.append("leave"),
    )
    monkeypatch.setattr("testbay.harness.stack.commands.decide", lambda *_: SimpleNamespace(key="k"))
    monkeypatch.setattr("testbay.harness.stack.commands.stacks.join", lambda *_, **__: kept)
    monkeypatch.setattr("testbay.harness.stack.commands.prepare.prepare", lambda *_, **__: None)
    monkeypatch.setattr("testbay.harness.stack.commands.prepare.pristine", lambda stack: stack)
    manifest: Any = None
    commands.migrate(manifest, tmp_path, Settings(cache_dir=tmp_path), Voice(environ={}))

    assert said == [{"key": "k"}, "await key k", "leave"]

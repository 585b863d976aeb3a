"""Our small redis-cli: what it sends to a server, and what it prints of the answers."""

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay import process
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.dragonfly.client import main

Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def server(listen: Listen) -> Callable[[dict[bytes, bytes]], str]:
    """Start a server that answers each command by its first word; the rest gets an OK."""

    def start(answers: dict[bytes, bytes]) -> str:
        def serve(client: socket.socket) -> None:
            with client, client.makefile("rb") as lines:
                for line in lines:
                    count = int(line[1:])
                    words = [(lines.readline(), lines.readline().strip())[1] for _ in range(count)]
                    client.sendall(answers.get(words[0], b"+OK\r\n"))

        return str(listen(serve))

    return start


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (b"+PONG\r\n", "PONG\n"),
        (b":7\r\n", "7\n"),
        (b"$-1\r\n", "\n"),
        (b"$4\r\n\xc3\xa9 x\r\n", "é x\n"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "a\n1\n"),
        (b"$6\r\na:1\r\nb\r\n", "a:1\nb\n"),
    ],
)
def test_an_answer_is_printed_as_redis_cli_prints_it(
    server: Callable[[dict[bytes, bytes]], str], answer: bytes, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Raw, one value a line."""
    code = main(["-p", server({b"ASK": answer}), "ASK", "it"])

    assert (code, capsys.readouterr().out) == (0, printed)


def test_an_error_of_the_server_does_not_end_the_prompt(
    server: Callable[[dict[bytes, bytes]], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next line is asked, and the exit code says that something went wrong."""
    port = server({b"BAD": b"-ERR unknown command\r\n", b"GET": b"$1\r\n1\r\n"})
    monkeypatch.setattr("sys.stdin", io.StringIO("BAD\n\nGET 'a b'\nquit\nGET never\n"))

    assert (main(["-p", port]), capsys.readouterr().out) == (1, "unknown command\n1\n")


def test_a_server_that_does_not_answer_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """In the client's own words, on one line."""
    code = main(["-u", "redis://127.0.0.1:1/0", "PING"])

    assert (code, capsys.readouterr().out) == (1, "ERR Error 111 connecting to 127.0.0.1:1. Connection refused.\n")


@pytest.mark.parametrize("name", dragonfly.CLIENTS)
def test_a_script_reaches_the_stack_by_the_machines_own_client(tmp_path: Path, name: str) -> None:
    """Which has no variable for host and port: without ours in front, it would ask whoever is at port 6379."""
    theirs = tmp_path / "redis-cli"
    theirs.write_text('#!/bin/sh\necho "$@"\n')
    theirs.chmod(0o755)
    path = os.pathsep.join([str(dragonfly.OWN_CLIENTS), str(tmp_path), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "DRAGONFLY_HOST": "h", "DRAGONFLY_PORT": "1"}

    done = process.run(["sh", "-c", f"{name} GET a"], env=env, timeout_s=30)

    assert done.out == "-h h -p 1 GET a\n"

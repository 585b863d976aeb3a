"""The caller's end of the connection to a guard, for commands and events; the stack runs while it is open."""

import json
import os
import select
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.stack import cachefolder
from testbay.settings import Settings

# The guard's environment: what reaching a Docker engine takes, and nothing that could be a secret.
_PASSED_ON = ("HOME", "PATH", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "XDG_RUNTIME_DIR")


_SEND_LIMIT_S = 10.0
_ENDS_WITHIN_S = 15.0
_JOINS_WITHIN_S = 2.0


class GuardGoneError(EngineUnavailableError):
    """The guard was killed; its other half collects the stack."""


class Lifeline:
    """A connection to a guard. A forked child keeps no copy of it: the stack ends with the process that started it."""

    def __init__(self, channel: socket.socket, guard: process.Child | None, log: Path) -> None:
        self._channel = channel
        self._channel.settimeout(_SEND_LIMIT_S)  # a guard that was stopped (SIGSTOP) reads no more
        self._deaf = False
        self._guard = guard
        self._log = log
        self._buffer = b""
        _OPEN.add(self)

    def say(self, command: Mapping[str, Any]) -> None:
        """Send a command. If the guard is gone, the next call of `events` raises that."""
        try:
            if not self._deaf:
                self._channel.sendall(json.dumps(command).encode() + b"\n")
        except OSError:
            self._deaf = True

    def events(self, wait_s: float, also: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Return the guard's events as soon as there are any; none after `wait_s`, or once one of `also` is readable.

        Raises:
            GuardGoneError: The connection ended.
        """
        try:
            waiting = select.poll()  # `select.select` refuses a descriptor above 1023
            for asked in (self._channel.fileno(), *also):
                waiting.register(asked, select.POLLIN)
            if self._channel.fileno() not in dict(waiting.poll(wait_s * 1000)):
                return []
            data = self._channel.recv(65536)
        except (OSError, ValueError):  # a forked child has let go of it
            data = b""
        if not data:
            raise GuardGoneError(
                "the stack's guard is gone",
                why="something killed it; its dependencies ended with it",
                todo="run again; if nothing on this machine kills processes, please report it",
                evidence=str(self._log),
            )
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    @property
    def is_open(self) -> bool:
        """Whether our end is open: not after `close`, and never in a forked child."""
        return self._channel.fileno() >= 0

    def let_go(self) -> None:
        """Close our end without telling the guard."""
        self._channel.close()

    def close(self, *, guard_ends: bool) -> None:
        """Close our end; then wait for a guard of our own, unless it should outlive us."""
        self._channel.close()
        if self._guard is not None and guard_ends:
            try:
                self._guard.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:  # its work is done
                self._guard.kill()
                self._guard.wait()
        elif self._guard is not None:
            self._guard.returncode = 0  # it is not our child to wait for any more


@contextmanager
def ending(child: process.Child) -> Iterator[list[int]]:
    """Yield a descriptor that can be read once the child has ended (Linux; an empty list elsewhere)."""
    if not process.LINUX:
        yield []
        return
    descriptor = os.pidfd_open(child.pid)
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


_OPEN: "weakref.WeakSet[Lifeline]" = weakref.WeakSet()


def _let_all_go() -> None:
    for line in list(_OPEN):
        line.let_go()


os.register_at_fork(after_in_child=_let_all_go)


def launch(home: Path, settings: Settings, docker_host: str = "") -> Lifeline:
    """Start a guard in a session of its own, as Ctrl-C is for the caller; it then waits for its plan.

    With `docker_host` it always uses that engine: `docker context use` may select another one meanwhile.

    Raises:
        EngineUnavailableError: testbay's own folder cannot be written.
    """
    log = settings.cache_dir / "guard.log"
    # Without site-packages, which the guard does not need, Python starts in half the time.
    # Its last word, the folder, is for readers of `ps`.
    argv = [sys.executable, "-S", "-m", "testbay.harness.stack.guard", str(home)]
    env = {name: settings.environ[name] for name in _PASSED_ON if name in settings.environ}
    env |= {"PYTHONPATH": str(Path(__file__).parents[3])} | ({"DOCKER_HOST": docker_host} if docker_host else {})
    cachefolder.make(settings.cache_dir)
    try:
        output = log.open("ab")
    except OSError as error:
        raise cachefolder.unusable(settings.cache_dir, error) from None
    ours, theirs = socket.socketpair()
    with output, theirs:
        try:
            guard = process.spawn(
                argv, env=env, cwd=os.sep, stdin=theirs.fileno(), output=output, new_session=True, death_signal=None
            )
        except OSError as error:
            ours.close()
            raise EngineUnavailableError(
                f"the stack's guard cannot be started: {error.strerror}",
                why="the system gives this user no further process, or has no memory for one",
                todo="end some programs, or raise the limit (`ulimit -u` shows it)",
            ) from None
    return Lifeline(ours, guard, log)


def connect(record: dict[str, Any], settings: Settings, within_s: float = _JOINS_WITHIN_S) -> Lifeline | None:
    """Connect to the guard of a stack by the stack's record; None if it has just ended, or is silent for `within_s`."""
    with ExitStack() as undo:
        try:
            channel = undo.enter_context(socket.create_connection(("127.0.0.1", record["door"]), within_s))
            channel.sendall(record["token"].encode() + b"\n")
            answer = channel.recv(64)
        except (OSError, KeyError):
            return None
        if b"joined" not in answer:
            return None
        undo.pop_all()
    return Lifeline(channel, None, settings.cache_dir / "guard.log")

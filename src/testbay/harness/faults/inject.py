"""The `faults` fixture: faults on the connections from clients, including the service, to the servers.

A test process reaches every dependency of a lease through a proxy, in one process for all of them (`proxy.py`). The
servers, and the leases of other tests on them, notice nothing.
"""

import json
import math
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from testbay import process
from testbay.errors import BayError, EngineUnavailableError, ManifestError
from testbay.harness.dependencies.endpoint import not_needed
from testbay.logs import tail

_ANSWER_LIMIT_S = 10.0


class ProxyGoneError(EngineUnavailableError):
    """The proxy was killed, and every connection through it broke."""


class Proxies:
    """Starts and commands the proxy process, which ends with `close` or with this process.

    Args:
        log: The file for errors of the proxy itself.
        own: Called with the proxy's session, which then ends with us in any case.
    """

    def __init__(self, log: Path, own: Callable[[int], None]) -> None:
        ours, theirs = socket.socketpair()
        # -S as for the guard: half the time to start. -P, or the project's modules would come before Python's.
        argv = [sys.executable, "-P", "-S", "-m", "testbay.harness.faults.proxy"]
        env = {"PYTHONPATH": str(Path(__file__).parents[3])}
        with log.open("ab") as output, theirs:
            self._child = process.spawn(argv, env=env, stdin=theirs.fileno(), output=output, new_session=True)
        self._log = log
        own(self._child.pid)
        ours.settimeout(_ANSWER_LIMIT_S)
        self._answers = ours.makefile("rb")
        self._channel = ours
        self._turn = threading.Lock()  # a test may break things from a thread of its own
        self._asked = 0

    @property
    def is_alive(self) -> bool:
        """Whether the proxy runs. If it is killed, its end of the channel closes before its exit status is known."""
        if self._child.poll() is not None:
            return False
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        try:
            return not waiting.poll(0) or self._channel.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            return False

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command to the proxy and wait until it has taken effect.

        Raises:
            ProxyGoneError: It does not run any more.
            EngineUnavailableError: It cannot be done.
        """
        with self._turn:
            answer = self._exchange(command)
        if error := answer.get("error"):
            raise EngineUnavailableError(
                f"the proxy could not {command['do']}: {error}",
                why="another program took a port while the proxy did not listen there, or no port is left",
                todo="end that program, or run the test again",
            )
        return answer

    def _exchange(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command and return its answer; skip a late answer to a command that a test's time-out interrupted."""
        self._asked += 1
        try:
            self._channel.sendall(json.dumps({**command, "number": self._asked}).encode() + b"\n")
            while line := self._answers.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer["number"] == self._asked:
                    return answer
        except (OSError, ValueError):  # of a file that is closed
            pass
        raise self.gone()

    def gone(self) -> ProxyGoneError:
        """The error for a proxy that does not run any more."""
        return ProxyGoneError(
            "the proxy between the tests and their dependencies is gone",
            why="something killed it; every connection through it broke, and nothing listens there any more",
            todo="run the test again; if nothing on this machine kills processes, please report it",
            evidence=tail(self._log),
        )

    def close(self) -> None:
        """End the proxy, and every connection through it."""
        self._answers.close()
        self._channel.close()
        process.end([process.identify(self._child.pid)])
        self._child.wait()


class Fault:
    """A fault that lasts until it is healed or the test ends; as a context manager, until the block ends."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def heal(self) -> None:
        """End this fault; others of the same dependency stay."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


class Link:
    """The connections to one dependency. Faults of different kinds add up; the same kind again replaces the first."""

    def __init__(self, name: str, port: int, proxies: Proxies) -> None:
        self.name = name
        self.port = port
        self._proxies = proxies
        self._on: dict[str, str] = {}

    @property
    def on(self) -> list[str]:
        """The current faults, in words."""
        return list(self._on.values())

    def cut(self) -> Fault:
        """Break every open connection (RST) and refuse new ones."""
        return self._set("cut")

    def refuse(self) -> Fault:
        """Refuse new connections; open ones stay."""
        return self._set("refuse")

    def latency(self, *, ms: float, jitter_ms: float = 0) -> Fault:
        """Delay the server's answers by `ms`, plus or minus up to `jitter_ms`, and keep their order.

        Connecting is not delayed.

        Raises:
            ManifestError: A number below zero, or more jitter than latency.
        """
        self._check("latency", ms=ms, jitter_ms=jitter_ms)
        if jitter_ms > ms:
            raise self._bad("latency", f"jitter_ms={jitter_ms!r}", f"at most as much as ms, which is {ms!r}")
        return self._set("latency", ms=ms, jitter_ms=jitter_ms)

    def bandwidth(self, *, kb_per_s: float) -> Fault:
        """Limit each direction of each connection to 1000 times so many bytes a second.

        Raises:
            ManifestError: It is not more than zero.
        """
        self._check("bandwidth", kb_per_s=kb_per_s)
        if not kb_per_s:
            raise self._bad("bandwidth", "kb_per_s=0", "more than 0; `freeze` lets nothing pass")
        return self._set("bandwidth", kb_per_s=kb_per_s)

    def freeze(self) -> Fault:
        """Hold all traffic in both directions; connections stay, and what was held arrives after healing."""
        return self._set("freeze")

    def drop_after(self, *, bytes: int) -> Fault:  # noqa: A002 - the unit is the name, as everywhere
        """Break each connection (RST) after so many further bytes from the server; new connections likewise.

        Raises:
            ManifestError: It is below zero.
        """
        self._check("drop_after", bytes=bytes)
        return self._set("drop_after", bytes=bytes)

    def restart(self, *, down_ms: float = 500) -> Fault:
        """Simulate a restart of the server for its clients: connections break, and are refused for a while.

        Returns at once. The server itself is not restarted: it keeps its memory, and other tests keep their leases.

        Raises:
            ManifestError: A number below zero.
        """
        self._check("restart", down_ms=down_ms)
        return self._set("restart", down_ms=down_ms)

    def heal(self) -> None:
        """End every fault of this dependency."""
        if self._on:
            self._heal("")

    def _check(self, fault: str, **values: float) -> None:
        for name, value in values.items():
            if not 0 <= value < math.inf:
                raise self._bad(fault, f"{name}={value!r}", "a number, 0 or more")

    def _bad(self, fault: str, given: str, wanted: str) -> BayError:
        return ManifestError(f"faults.{self.name}.{fault}: {given} is impossible", todo=f"give it {wanted}")

    def _set(self, fault: str, **values: float) -> Fault:
        self._on[fault] = " ".join([self.name, fault, *(f"{name}={value:g}" for name, value in values.items())])
        self._proxies.ask(do="set", port=self.port, fault=fault, values=values)
        return Fault(lambda: self._heal(fault))

    def _heal(self, fault: str) -> None:
        self._proxies.ask(do="heal", port=self.port, fault=fault)
        self._on = {name: words for name, words in self._on.items() if fault not in ("", name)}


class Faults:
    """The `faults` fixture: the connections to the dependencies of one lease. All faults are healed when the test ends.

    Args:
        proxies: The proxy process.
        targets: The port of each dependency on this machine.
        seed: The random seed of `jitter_ms`: the same seed gives the same delays.
    """

    def __init__(self, proxies: Proxies, targets: Mapping[str, int], seed: int) -> None:
        self.seed = seed
        self._proxies = proxies
        self._links: dict[str, Link] = {}
        for name, target in targets.items():
            opened = proxies.ask(do="open", name=name, target=target, seed=seed)
            self._links[name] = Link(name, opened["port"], proxies)

    @property
    def postgres(self) -> Link:
        """The connections to the database."""
        return self.of("postgres")

    @property
    def dragonfly(self) -> Link:
        """The connections to the keyspace."""
        return self.of("dragonfly")

    @property
    def redis(self) -> Link:
        """The connections to the keyspace, under the name its clients use."""
        return self.dragonfly

    @property
    def valkey(self) -> Link:
        """The connections to the keyspace, under the name Valkey's clients use."""
        return self.dragonfly

    @property
    def nats(self) -> Link:
        """The connections to the account."""
        return self.of("nats")

    def of(self, name: str) -> Link:
        """The connections to any dependency, by its name.

        Raises:
            EngineUnavailableError: The manifest does not need that one.
        """
        if name not in self._links:
            raise not_needed(name, self._links)
        return self._links[name]

    @property
    def on(self) -> list[str]:
        """All current faults, in words."""
        return [words for link in self._links.values() for words in link.on]

    def heal(self) -> None:
        """End every fault.

        Raises:
            ProxyGoneError: The proxy was killed.
        """
        self._proxies.ask(do="answer")  # a proxy killed a moment ago may still look alive
        for link in self._links.values():
            link.heal()

    def close(self) -> None:
        """Break every connection, and accept no more."""
        for link in self._links.values():
            self._proxies.ask(do="close", port=link.port)

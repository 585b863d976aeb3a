"""The proxy: a process between a test process and its dependencies that causes faults on command.

Started as `python -m testbay.harness.faults.proxy` with a socket as standard input. A command is a JSON object on a
line, and is answered by one as soon as it holds. The end of that socket is ours.
"""

import json
import random
import resource
import selectors
import socket
import time
from contextlib import suppress
from typing import Any

from testbay import ports, process
from testbay.errors import BayError
from testbay.harness.faults.relay import NEVER, Connection, Treatment

_FIRST_PORT, _PORTS = 19000, 1000
_SHUT = ("cut", "refuse", "restart")  # while one of these is on, the port is closed
_BROKEN = ("cut", "restart")  # and these break what is open
_MANY_FILES = 10240  # macOS: OPEN_MAX
_AGAIN_S = 0.05
_LOOK_S = 3600.0  # the kernel cannot be asked to wait for more than some days


def main() -> None:
    """Execute commands until the holder's end of the socket closes."""
    process.rename("testbay-proxy")
    _allow_many_files()
    Proxy(socket.socket(fileno=0)).run()


def _allow_many_files() -> None:
    """Raise the limit of open files as far as possible: macOS reports no limit, and refuses to set none."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (most, _MANY_FILES):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return


class Door:
    """The proxy's port for one dependency of one lease, and its current faults."""

    def __init__(self, selector: selectors.BaseSelector, asked: dict[str, Any], port: int, lock: socket.socket) -> None:
        self.port = port
        self._opens_at = NEVER  # after a restart
        self._selector = selector
        self._target = ("127.0.0.1", int(asked["target"]))
        self._seed = f"{asked['seed']} {asked['name']}"
        self._lock = lock
        self._listener: socket.socket | None = None
        self._faults: dict[str, dict[str, float]] = {}
        self._shape = Treatment()
        self._connections: set[Connection] = set()
        self._count = 0
        self.listen()

    def listen(self) -> None:
        """Listen for clients, unless it does already.

        Raises:
            OSError: Another program took the port while it was closed.
        """
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self._listener.settimeout(0)
            self._selector.register(self._listener, selectors.EVENT_READ, self)

    def admit(self) -> bool:
        """Accept the next client and connect it to the server; return whether there was one."""
        if self._listener is None:
            return False
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone already, or never came
            return False
        self._count += 1
        # By its number, so that chance repeats itself where connections are opened in the same order.
        chance = random.Random(f"{self._seed} {self._count}")  # noqa: S311 - no cryptography
        try:
            made = Connection(client, self._target, self._selector, chance)
        except OSError:  # no descriptor is left for the way to the server
            client.close()
            return True
        self._connections = {connection for connection in self._connections if connection.is_open} | {made}
        made.reshape(self._shape, time.monotonic())
        return True

    def set(self, fault: str, values: dict[str, float]) -> None:
        """Set a fault; it replaces an earlier one of the same kind."""
        self._faults[fault] = values
        if fault in _SHUT:
            self._shut()
        if fault in _BROKEN:
            self._break()
        if fault == "restart":
            self._opens_at = time.monotonic() + values["down_ms"] / 1000
        self._reshape(is_new=fault == "drop_after")

    def heal(self, fault: str = "") -> None:
        """End this fault, or all of them.

        Raises:
            OSError: Another program took the port meanwhile.
        """
        for name in [fault] if fault else list(self._faults):
            self._faults.pop(name, None)
        if "restart" not in self._faults:
            self._opens_at = NEVER
        self._reshape()
        if not any(name in self._faults for name in _SHUT):
            self.listen()

    def due(self) -> float:
        """The time (monotonic) at which `on_time` has something to do."""
        waiting = () if self._shape.is_plain else self._connections
        return min([self._opens_at, *(connection.due() for connection in waiting)])

    def on_time(self, now: float) -> None:
        """Carry out the actions that are due."""
        if self._opens_at <= now:
            try:
                self.heal("restart")
            except OSError:  # another program took the port; until it is free again
                self._opens_at = now + _AGAIN_S
        for connection in self._connections:
            if connection.due() <= now:
                connection.wake(now)

    def _reshape(self, *, is_new: bool = False) -> None:
        """Apply changed faults to the connections: applying unchanged ones would release held bytes."""
        before = self._shape
        latency = self._faults.get("latency", {})
        drop = self._faults.get("drop_after")
        self._shape = Treatment(
            is_frozen="freeze" in self._faults,
            latency_s=latency.get("ms", 0) / 1000,
            jitter_s=latency.get("jitter_ms", 0) / 1000,
            bytes_per_s=self._faults.get("bandwidth", {}).get("kb_per_s", 0) * 1000,
            drop_after_bytes=None if drop is None else int(drop["bytes"]),
        )
        for connection in self._connections if is_new or self._shape != before else ():
            connection.reshape(self._shape, time.monotonic())

    def _shut(self) -> None:
        """Close the listener; first admit a waiting client, which already believes it is connected."""
        while self.admit():
            pass
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _break(self) -> None:
        for connection in self._connections:
            connection.reset()
        self._connections.clear()

    def close(self) -> None:
        """Close the port and every connection."""
        self._shut()
        self._break()
        self._lock.close()


class Proxy:
    """All doors of one test process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._doors: dict[int, Door] = {}
        self._said = b""
        self._next_port = 0
        self._is_over = False

    def run(self) -> None:
        """Serve connections and commands until the holder's end closes."""
        while not self._is_over:
            due = min([door.due() for door in self._doors.values()], default=NEVER)
            patience_s = None if due == NEVER else min(max(0.0, due - time.monotonic()), _LOOK_S)
            for key, events in self._selector.select(patience_s):
                if isinstance(key.data, Connection):
                    key.data.serve(key.fileobj, events, time.monotonic())
                elif isinstance(key.data, Door):
                    key.data.admit()
                else:
                    self._execute_commands()
            if due < NEVER:
                for door in self._doors.values():
                    door.on_time(time.monotonic())

    def _execute_commands(self) -> None:
        """Execute all complete commands; keep the rest for later."""
        try:
            data = self._channel.recv(65536)
        except OSError:
            data = b""
        self._is_over = not data
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            self._answer({"number": command["number"], **self._obey(command)})

    def _answer(self, facts: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(facts).encode() + b"\n")
        except OSError:
            self._is_over = True

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        door = self._doors.get(command.get("port", 0))  # no door if a thread outlived its test
        try:
            match command["do"]:
                case "open":
                    return {"port": self._open(command)}
                case "set" if door:
                    door.set(command["fault"], command["values"])
                case "heal" if door:
                    door.heal(command["fault"])
                case "close" if door:
                    del self._doors[door.port]
                    door.close()
        except (OSError, BayError) as error:
            return {"error": str(error)}
        return {}

    def _open(self, asked: dict[str, Any]) -> int:
        """Open a door on a port not used lately: a client that an earlier test forgot knows only its old one."""
        port, lock = ports.hold(_FIRST_PORT + self._next_port, fixed=False, name=asked["name"])
        self._next_port = (port + 1 - _FIRST_PORT) % _PORTS
        self._doors[port] = Door(self._selector, asked, port, lock)
        return port


if __name__ == "__main__":
    main()

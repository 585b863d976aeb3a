"""The guard's worker: owns a running stack, serves its callers, and tears the stack down."""

import json
import os
import selectors
import signal
import socket
import time
from pathlib import Path
from typing import IO, Any

from testbay import process
from testbay.errors import BayError, EngineUnavailableError
from testbay.harness.engines import Engine
from testbay.harness.plans import ProcessPlan, StackPlan
from testbay.harness.stack import registry

_TICK_S = 0.2
_LINE_LIMIT = 1_000_000
_MOST_UNAUTHENTICATED = 16


def failure(error: BayError) -> dict[str, Any]:
    """Make the event that carries an error to a caller."""
    fields = {"what": error.what, "why": error.why, "todo": error.todo, "evidence": error.evidence}
    return {"event": "failed", "class": type(error).__name__, **fields}


def send(channel: socket.socket, event: dict[str, Any]) -> None:
    """Send an event to a caller. If the caller is gone, the end of its lifeline shows that, too."""
    try:
        channel.sendall(json.dumps(event).encode() + b"\n")
    except OSError:
        return


class Caller:
    """One lifeline: its unread bytes, the processes whose end closes it, and everything started for it."""

    def __init__(self, watched: list[process.ProcessId]) -> None:
        self.unread = b""
        self.watched = watched
        self.sessions: list[process.ProcessId] = []
        self.marks: list[str] = []
        self.servers: set[str] = set()


class Worker:
    """The owner of the running stack: one thread, one loop."""

    def __init__(self, plan: StackPlan, channel: socket.socket, lock: IO[bytes]) -> None:
        self._plan = plan
        self._home = Path(plan["home"])
        self._data = Path(plan["data_dir"])
        self._lock = lock  # held for life, never read
        self._engine = _engine(plan["engine"])
        self._callers = {channel: Caller([process.ProcessId(*who) for who in plan["watch"]])}
        self._unauthenticated: list[socket.socket] = []
        self._token = os.urandom(16).hex()
        self._reason = ""
        self._idle_since = time.monotonic()
        self._wake = -1
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._record: dict[str, Any] = {
            **{
                name: plan[name]
                for name in ("id", "home", "data_dir", "key", "engine", "reason", "service", "project", "owner")
            },
            "created": time.time(),
            "guard": process.identify(os.getpid()),
            "undertaker": process.identify(os.getppid()),
            "door": self._listener.getsockname()[1],
            "token": self._token,
            "sessions": [],
            "marks": [],
            "idle_s": 0.0,
            "state": "starting",
        }

    def run(self, more: bytes) -> None:
        """Start the engine, serve until there is a reason to stop, then tear down.

        `more` are the bytes that the first caller sent after the plan.
        """
        self._listen()
        try:
            self._report({})
            self._data.mkdir(mode=0o700)
            (self._data / "stack").symlink_to(self._home)  # shows to which stack the folder on the RAM disk belongs
            self._engine.start(self._plan, self._report)
            self._broadcast({"event": "started", "ports": self._record["ports"], "warm": self._record.get("warm", {})})
        except BayError as error:
            self._broadcast(failure(error))
            self._reason = "failed"
        except OSError as error:
            self._broadcast(failure(self._hindered("the stack", error)))
            self._reason = "failed"
        for first in list(self._callers):
            self._handle(first, more)
        while not self._reason:
            self._serve_or_fail()
        self._finish()

    def _listen(self) -> None:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._wake = wake_read
        self._selector.register(wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        for channel in self._callers:
            self._selector.register(channel, selectors.EVENT_READ)

    def _on_sigterm(self, *_: object) -> None:
        self._reason = self._reason or "terminated"

    def _report(self, facts: dict[str, Any]) -> None:
        """Record facts on disk before anything else happens, so that a dead guard's stack can be collected."""
        for name, fact in facts.items():
            if isinstance(fact, dict):
                self._record.setdefault(name, {}).update(fact)
            else:
                self._record[name] = fact
        registry.write(self._home, self._record)

    def _broadcast(self, event: dict[str, Any]) -> None:
        for channel in list(self._callers):
            send(channel, event)

    def _serve_or_fail(self) -> None:
        """End the stack if its record cannot be written: the record would miss what starts from now on."""
        try:
            self._serve()
        except OSError as error:
            todo = 'free some disk space, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"'
            why = "it keeps a record of what it has to end, on this disk"
            self._broadcast(
                failure(EngineUnavailableError(f"the stack's guard cannot go on: {error}", why=why, todo=todo))
            )
            self._reason = "failed"

    def _serve(self) -> None:
        for key, _ in self._selector.select(_TICK_S):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj in self._unauthenticated:
                self._authenticate(key.fileobj)
            elif key.fileobj in self._callers:
                self._receive(key.fileobj)
            elif key.fileobj == self._wake:  # else a client that was rejected a moment ago
                os.read(key.fd, 512)
        for name, code in self._engine.exited():
            self._broadcast({"event": "exited", "name": name, "code": code})
        self._reason = self._reason or self._reason_to_stop()

    def _reason_to_stop(self) -> str:
        for channel, caller in list(self._callers.items()):
            if any(not who.alive() for who in caller.watched):
                send(channel, {"event": "dismissed", "reason": "the make or script that called testbay ended"})
                self._disconnect(channel)
        if self._callers:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since >= self._plan["idle_s"]:
            return "idle" if self._plan["idle_s"] else "its last caller ended"
        return ""

    def _disconnect(self, channel: socket.socket) -> None:
        """End what a departed caller had started, whether or not the stack stays for others."""
        self._selector.unregister(channel)
        caller = self._callers.pop(channel)
        channel.close()
        for name in caller.servers:
            self._engine.unserve(name)
        if caller.sessions or caller.marks:
            registry.end_sessions(caller.sessions)
            registry.end_marked(caller.marks)
            self._report_started()

    def _report_started(self) -> None:
        """Record the processes that callers started: if this process is killed, the undertaker ends them."""
        callers = self._callers.values()
        sessions = [session for caller in callers for session in caller.sessions]
        self._report({"sessions": sessions, "marks": [mark for caller in callers for mark in caller.marks]})

    def _accept(self) -> None:
        """Accept a connection, without waiting for its token; of too many such connections drop the oldest."""
        channel, _ = self._listener.accept()
        channel.settimeout(0)
        self._unauthenticated.append(channel)
        self._selector.register(channel, selectors.EVENT_READ)
        if len(self._unauthenticated) > _MOST_UNAUTHENTICATED:
            self._reject(self._unauthenticated[0])

    def _reject(self, client: socket.socket) -> None:
        self._unauthenticated.remove(client)
        self._selector.unregister(client)
        client.close()

    def _authenticate(self, client: socket.socket) -> None:
        """Make a client a caller if it sends the token, which only the owner of the record can read."""
        import hmac  # loads OpenSSL: only when a process joins

        try:
            said = client.recv(64)
        except OSError:
            said = b""
        if not hmac.compare_digest(said.strip(), self._token.encode()):
            self._reject(client)
            return
        self._unauthenticated.remove(client)
        client.settimeout(None)
        self._callers[client] = Caller([])
        send(client, {"event": "joined"})

    def _receive(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(65536)
        except OSError:
            data = b""
        if not data or len(self._callers[channel].unread) > _LINE_LIMIT:
            self._disconnect(channel)
        else:
            self._handle(channel, data)

    def _handle(self, channel: socket.socket, data: bytes) -> None:
        """Execute all complete commands; keep the rest for later."""
        caller = self._callers[channel]
        *lines, caller.unread = (caller.unread + data).split(b"\n")
        for line in lines:
            self._execute(channel, caller, json.loads(line))

    def _execute(self, channel: socket.socket, caller: Caller, command: dict[str, Any]) -> None:
        match command.get("do"):
            case "stop":
                self._reason = "asked to"
            case "own":
                caller.sessions.append(process.identify(int(command["sid"])))
                self._report_started()
            case "mark":
                caller.marks.append(str(command["mark"]))
                self._report_started()
            case "watch":
                caller.watched = [process.ProcessId(*who) for who in command["who"]]
            case "keep":
                # From now on no single caller's end is a reason to stop, only idleness is.
                caller.watched = []
                self._plan["idle_s"] = float(command["idle_s"])
                self._report({"idle_s": self._plan["idle_s"]})
            case "snapshot":
                kept = self._engine.snapshot(command["name"], command["template"])
                self._broadcast({"event": "snapshot", "kept": kept})
            case "record":
                self._report(command["facts"])
            case "serve":
                send(channel, self._serve_further(caller, command["plan"]))
            case "unserve":
                caller.servers.discard(command["name"])
                self._engine.unserve(command["name"])

    def _serve_further(self, caller: Caller, plan: ProcessPlan) -> dict[str, Any]:
        """Start a server for one caller, which ends with it; a failure is reported to that caller alone."""
        caller.servers.add(plan["name"])
        try:
            return {"event": "serving", "name": plan["name"], "port": self._engine.serve(plan)}
        except BayError as error:
            return failure(error)
        except OSError as error:
            return failure(self._hindered(plan["name"], error))

    def _hindered(self, what: str, error: OSError) -> BayError:
        return EngineUnavailableError(
            f"the guard could not start {what}: {error}",
            why="this system refused it a file, a folder or a process",
            todo=f"see whether there is room: df -h {self._home.parent} {self._data.parent}; ulimit -a",
        )

    def _finish(self) -> None:
        """Tear down: sessions first, as they use the servers, then the servers, then the files. Tell every caller."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = registry.end_sessions(self._record["sessions"]) if self._reason != "asked to" else []
        left += registry.end_marked(self._record["marks"])
        left += self._engine.stop()
        left += registry.remove(self._data)
        left += [] if left else registry.remove(self._home)  # with its record `testbay gc` can try again
        self._broadcast({"event": "stopped", "reason": self._reason, "left": left})


def _engine(name: str) -> Engine:
    """Make the engine, importing only that one: the guard's start-up time is a published number."""
    if name == "compose":
        from testbay.harness.engines.compose import Compose

        return Compose()
    from testbay.harness.engines.embedded import Embedded

    return Embedded()

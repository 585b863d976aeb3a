"""From manifest and compose file to a plan: which dependencies, from which services, run by which programs."""

import hashlib
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from testbay import migrate, process
from testbay.composefile import ComposeFile, ComposeService, load_compose
from testbay.dependencies import ROOMS, room_of
from testbay.errors import EngineUnavailableError, ManifestError
from testbay.manifest import COMPOSE_FILE, Manifest
from testbay.settings import Settings
from testbay.spec import Endpoint, ProcessPlan, Server, StackPlan, process_plan

REPLAY = "replay"
_REPLAY_PORT = 18500


@dataclass(frozen=True, kw_only=True)
class Request:
    """A stack asked for: which dependencies, from which compose services, run by which programs."""

    manifest: Manifest
    project: Path
    settings: Settings
    compose: ComposeFile
    services: dict[str, ComposeService]
    servers: dict[str, Server]
    engine: str
    reason: str
    replay: bool
    notices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What must be equal for a stack to be reused: configuration, versions, and the code that reads them."""
        manifest = self.manifest.model_dump(mode="json", exclude={"file"})
        services = [asdict(service) for service in self.services.values()]
        versions = {name: [str(server.program), server.version] for name, server in self.servers.items()}
        parts = [self.engine, manifest, services, versions, self.replay, self._migrations()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def template(self) -> str:
        """The cache entry for the database as it is after its migrations; empty when it is not to be kept.

        A `migrate` command is not part of it: nobody can tell which files it reads, so it runs each time.
        """
        if self.engine != "embedded" or self.settings.cold or "postgres" not in self.services:
            return ""
        home = Path("home")
        made = ROOMS["postgres"].plan(self.services["postgres"], self.servers["postgres"], home)
        server = [str(self.servers["postgres"].program), self.servers["postgres"].version]
        parts = [server, made["prepare"], made["files"], self._migrations(), metadata.version("testbay")]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return str(self.settings.cache_dir / "templates" / digest)

    def _migrations(self) -> list[list[str]]:
        if self.manifest.migrations is None:
            return []
        files = sorted((self.manifest.root / self.manifest.migrations).rglob("*.sql"))
        return [[file.name, migrate.digest(file)] for file in files]


def request(manifest: Manifest, project: Path, settings: Settings) -> Request:
    """Decide what a stack for this service consists of, before anything starts.

    Args:
        manifest: The service.
        project: The folder that paths outside the service are relative to.
        settings: Engine, folders, time limits.

    Raises:
        ManifestError: The compose file lacks something the manifest needs.
        EngineUnavailableError: The engine asked for cannot run it here.
    """
    path = manifest.root / manifest.compose if manifest.compose else project / COMPOSE_FILE
    compose = load_compose(path, settings.environ)
    services, notices = _match(manifest, compose)
    if settings.engine == "compose":
        raise EngineUnavailableError("the compose engine is not built yet", todo="use --engine embedded")
    servers = {name: ROOMS[name].find(service, settings.environ) for name, service in services.items()}
    replay = manifest.replay is not None and not settings.environ.get(manifest.replay.secret)
    return Request(
        manifest=manifest,
        project=project,
        settings=settings,
        compose=compose,
        services=services,
        servers=servers,
        engine="embedded",
        reason="asked for" if settings.engine == "embedded" else "the only engine so far",
        replay=replay,
        notices=tuple(notices),
    )


def _match(manifest: Manifest, compose: ComposeFile) -> tuple[dict[str, ComposeService], list[str]]:
    """Which compose service is which dependency, by image; what is left over is said."""
    matched: dict[str, ComposeService] = {}
    notices = []
    for service in compose.services:
        room = room_of(service)
        if room is None:
            notices.append(f"{service.key} ({service.image}): embedded has no room for it, so it does not run")
        elif room.NAME in matched:
            raise ManifestError(
                f"{compose.path}: two services are {room.TITLE}: {matched[room.NAME].key} and {service.key}",
                todo='keep one of them in the file the manifest names (compose = "…")',
            )
        elif room.NAME in manifest.needs:
            matched[room.NAME] = service
    for name in manifest.needs:
        if name not in matched:
            raise ManifestError(
                f"{compose.path}: no service has an image for {name}, which {manifest.file} needs",
                why=f"known images begin with: {', '.join(ROOMS[name].IMAGES)}",
                todo="add the service, or take it out of needs",
            )
    return matched, notices


def plan(asked: Request, stack_id: str, home: Path, logs_dir: Path) -> StackPlan:
    processes = []
    for name, service in asked.services.items():
        server = ROOMS[name].plan(service, asked.servers[name], home / name)
        published = next((p.host for p in service.ports if p.container == ROOMS[name].CONTAINER_PORT and p.host), 0)
        fixed = asked.manifest.ports.get(name)
        server["port"] = fixed or published or ROOMS[name].DEFAULT_PORT
        server["fixed_port"] = fixed is not None
        server["template"] = asked.template if name == "postgres" else ""
        processes.append(server)
    if asked.replay and asked.manifest.replay is not None:
        processes.append(_replay_plan(asked.manifest, asked.settings, home / REPLAY))
    for server in processes:
        server["log"] = str(logs_dir / f"{server['name']}.log")
    return {
        "id": stack_id,
        "home": str(home),
        "key": asked.key,
        "engine": asked.engine,
        "reason": asked.reason,
        "service": asked.manifest.service,
        "project": str(asked.project),
        "owner": f"{asked.manifest.root} (pid {os.getpid()})",
        "watch": [tuple(who) for who in (process.identify(os.getpid()), *process.callers())],  # type: ignore[misc]
        "idle_s": 0.0,
        "processes": processes,
    }


def _replay_plan(manifest: Manifest, settings: Settings, home: Path) -> ProcessPlan:
    assert manifest.replay is not None
    argv = shlex.split(manifest.replay.start)
    path = os.pathsep.join([str(Path(sys.executable).parent), settings.environ.get("PATH", os.defpath)])
    if argv[0] in ("python", "python3"):
        argv[0] = sys.executable
    stand_in = process_plan(REPLAY, home, argv, port=_REPLAY_PORT, stop_signal=signal.SIGTERM, env={"PATH": path})
    return {**stand_in, "cwd": str(manifest.root)}


def endpoint(asked: Request, stack_id: str, name: str, port: int) -> Endpoint:
    """Where a dependency of a stack answers, and how our own server there is told from a stranger's."""
    if name == REPLAY:
        return Endpoint(name=REPLAY, title="LLM replay", host="127.0.0.1", port=port)
    plain = ROOMS[name].endpoint(asked.services[name], port)
    return replace(plain, identity=stack_id, note=asked.servers[name].note)

"""The request for a stack: its dependencies, services and programs, decided from manifest and compose file."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from testbay.errors import EngineUnavailableError, ManifestError
from testbay.harness import commandline
from testbay.harness.dependencies import ROOMS, called, container, foreign_images
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import image, mounts, programs
from testbay.harness.engines import docker
from testbay.harness.interpreter import Interpreter
from testbay.harness.interpreter import choose as choose_python
from testbay.harness.plans import ProcessPlan
from testbay.harness.stack import cachefolder, containers, exports, passwords
from testbay.harness.stack.choice import Choice, choose
from testbay.harness.stack.migrations import sql
from testbay.manifest.compose import reader
from testbay.manifest.compose.reading import ComposeFile, ComposeService
from testbay.manifest.compose.selection import Selection, select
from testbay.manifest.needs import BUILT_IN
from testbay.manifest.project import compose_files
from testbay.manifest.service import Manifest
from testbay.settings import Settings
from testbay.text import one_line

REPLAY = "replay"
_ROUNDS = 4096  # as PostgreSQL itself has


@dataclass(frozen=True, kw_only=True)
class Request:
    """A requested stack: its dependencies, their compose services, and the programs that run them."""

    manifest: Manifest
    project: Path
    settings: Settings
    compose: ComposeFile
    services: dict[str, ComposeService]
    helpers: tuple[ComposeService, ...]
    servers: dict[str, Server]
    engine: str
    reason: str
    replay: bool
    docker_host: str = ""
    notices: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The request in words: the servers to start, the engine, and the reason for the engine."""
        names = ", ".join(map(self.called, self.manifest.needs)) or "no dependency"
        return f"{names} ({self.engine}: {self.reason})"

    def called(self, name: str) -> str:
        """The server's name for people, such as `redis` if the compose file has Redis for the room of Dragonfly."""
        return called(self.services[name], ROOMS[name]) if name in ROOMS and name in self.services else name

    @property
    def key(self) -> str:
        """The digest of everything that must be equal to reuse a stack: configuration, versions, our own code."""
        manifest = self.manifest.model_dump(mode="json", exclude={"file"})
        services = [asdict(replace(one, stack_password="")) for one in (*self.services.values(), *self.helpers)]
        versions = {n: [str(one.program), one.version, one.hash_rounds] for n, one in self.servers.items()}
        parts = [
            self.engine,
            manifest,
            services,
            versions,
            self.replay,
            self._migrations(),
            self._set_up(),
            [*self._settings()],
            metadata.version("testbay"),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    @property
    def template(self) -> str:
        """The cache entry for the migrated database; empty if it is not to be kept.

        A `migrate` command is not part of its hash: no one knows which files it reads, so it runs each time.
        """
        if self._plan is None:
            return ""
        started = [self._plan["argv"], self.services["postgres"].environment]
        return self._entry("", *started, self._set_up(), self._migrations())

    @property
    def initial(self) -> str:
        """The cache entry for what initdb made, which a start with other migrations copies; empty as for those."""
        return self._entry("initial-")

    @cached_property
    def _plan(self) -> ProcessPlan | None:
        """The plan of the database, if its data is kept."""
        if self.engine != "embedded" or self.settings.cold or "postgres" not in self.services:
            return None
        return ROOMS["postgres"].plan(self.services["postgres"], self.servers["postgres"], Path("home"))

    def _entry(self, kind: str, *more: object) -> str:
        """A cache entry for data made from the plan and `more`."""
        if self._plan is None:
            return ""
        server = [str(self.servers["postgres"].program), self.servers["postgres"].version]
        parts = [server, *(self._plan[key] for key in ("prepare", "files", "env")), *more, metadata.version("testbay")]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return str(self.settings.cache_dir / "templates" / f"{kind}{digest}")

    def with_password(self, password: str) -> "Request":
        """The request as one stack starts it: with a password where the compose file sets none."""
        services = passwords.given(self.manifest, self.services, self.helpers, self.engine, password)
        return replace(self, services=services)

    @cached_property
    def interpreter(self) -> Interpreter:
        """The Python that runs the project's tests and commands."""
        return choose_python(self.manifest, self.settings.environ)

    @property
    def path(self) -> str:
        """The PATH of commands: the project's Python, our redis-cli, the caller's PATH, psql for a machine without.

        The machine's redis-cli has no variable for the server: it would ask another one, at the usual port.
        """
        psql = [str(Path(programs.psql()).parent)] if "postgres" in self.services else []
        redis = [str(dragonfly.OWN_CLIENTS)] if "dragonfly" in self.services else []
        given = os.pathsep.join([*redis, self.settings.environ.get("PATH") or os.defpath])
        return os.pathsep.join([commandline.search_path(self.interpreter.folder, given), *psql])

    @property
    def caller_environment(self) -> dict[str, str]:
        """The variables of a command before it has the stack's: the caller's without libpq's, which lead elsewhere."""
        everything = self.settings.environ
        given = {name: value for name, value in everything.items() if not name.startswith("PG")}
        return {**given, "PATH": self.path}

    def _settings(self) -> Iterator[object]:
        """The settings of each server, with those in mounted files, of which the compose file has only the names."""
        for name, service in self.services.items():
            plain = replace(service, stack_password="")
            mounted = (volume.source for volume in service.volumes)
            files = [Path(one) for one in mounted if os.path.isfile(one)]  # noqa: PTH113 - False to another user's
            dates = [file.stat().st_mtime_ns for file in files]  # what testbay does not read, a container does
            yield [ROOMS[name].described(plain).argv, ROOMS[name].configured(plain), dates]

    def _set_up(self) -> list[list[str]]:
        """The scripts that the database's image runs once, each with the digest of its text."""
        service = self.services.get("postgres")
        if service is None:
            return []
        scripts = image.config_of(service).scripts
        beside = container.host_path(service, image.INIT_FOLDER)
        others = [script for script in scripts if isinstance(script.source, str) or script.source.parent != beside]
        known = [[script.name, hashlib.sha256(script.read()).hexdigest()] for script in others]
        read = [Path(path) for path in self.named if beside is None or not Path(path).is_relative_to(beside)]
        known += [[str(path), sql.digest(path)] for path in read if path.is_file()]
        return [*known, *(one for folder in (beside, *read) if folder and folder.is_dir() for one in _digests(folder))]

    @cached_property
    def named(self) -> list[str]:
        """The mounted files and folders that the scripts of the database's image read."""
        service = self.services.get("postgres")
        found = mounts.named(service, image.config_of(service).scripts).paths if service else ()
        return [str(path) for path in found]

    def _migrations(self) -> list[list[str]]:
        if self.manifest.migrations is None:
            return []
        return [["reading", str(sql.READING)], *_digests(self.manifest.root / self.manifest.migrations)]


def _digests(folder: Path) -> list[list[str]]:
    files = [file for file in sorted(folder.rglob("*")) if _may_be_read(file, folder)]
    return [[str(file.relative_to(folder)), sql.digest(file)] for file in files]


def _may_be_read(file: Path, folder: Path) -> bool:
    """Return whether a migration may read this file, such as COPY with `seed.csv`, or is it."""
    made_by_tools = any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(folder).parts)
    return not made_by_tools and file.is_file() and os.access(file, os.R_OK)


def decide(
    manifest: Manifest, project: Path, settings: Settings, progress: Callable[[str], None] = lambda _: None
) -> Request:
    """Decide what the stack of a service consists of, before anything starts.

    Paths outside the service are relative to `project`; `progress` is told how far missing images are.

    Raises:
        ManifestError: The compose file lacks something the manifest needs.
        EngineUnavailableError: The engine asked for cannot run it here.
    """
    cachefolder.check(settings.cache_dir)  # readings, programs and templates come from there
    compose, selection = selected(manifest, project, settings)
    services, helpers = selection.servers, selection.helpers
    # The ports do not matter here: a wrong name in the manifest's `env` is refused before the start.
    exports.exports({name: ROOMS[name].endpoint(service, 0) for name, service in services.items()}, manifest.mapped, {})
    started = [*services.values(), *helpers]
    choice = choose(settings, started, progress) if started else Choice("embedded", "it needs nothing", None)
    servers = _servers(services, choice, settings)
    if choice.engine == "embedded" and "postgres" in servers and _insists_on_rounds(manifest, settings):
        servers["postgres"] = replace(servers["postgres"], hash_rounds=_ROUNDS)
    return Request(
        manifest=manifest,
        project=project,
        settings=settings,
        compose=compose,
        services=services,
        helpers=helpers,
        servers=servers,
        engine=choice.engine,
        reason=choice.reason,
        replay=manifest.replay is not None and not settings.environ.get(manifest.replay.secret),
        # The address alone does not reach an engine on TCP that wants certificates: there the context stays in charge.
        docker_host=choice.daemon.address if choice.daemon and choice.daemon.address.startswith("unix:") else "",
        notices=(
            *_left_out(selection, choice.engine),
            *(_not_built(services, choice.daemon) if choice.daemon else ()),
            *_notes(services, servers, choice.engine),
            *passwords.notes(manifest, services, helpers, choice.engine),
        ),
    )


def _left_out(selection: Selection, engine: str) -> Iterator[str]:
    """Yield notes on services and mounts of the compose file that the stack does without."""
    if selection.left_out:
        yield f"left out: {', '.join(selection.left_out)}"
    if engine == "embedded":
        for one in selection.helpers:
            yield f"{one.key} ({one.image}): embedded has no room for it, so it does not run"
    else:
        yield from containers.left_out(selection.servers, selection.helpers)


def _insists_on_rounds(manifest: Manifest, settings: Settings) -> bool:
    """Return whether the tests' environment has scramp, which pg8000 uses: it refuses fewer hash rounds."""
    with suppress(ManifestError):  # of a `python` that is not there: told when it is to run something
        python = choose_python(manifest, settings.environ)
        if python.said:
            return any(python.program.parent.parent.glob("lib/python3*/site-packages/scramp*"))
    return find_spec("scramp") is not None


def _not_built(services: dict[str, ComposeService], daemon: docker.Daemon) -> Iterator[str]:
    """Yield a note for each image of the project's own that is here already: as Compose, testbay takes it as it is."""
    own = {service.image: service.key for service in services.values() if service.build and service.image}
    for name in own.keys() - docker.missing_images(daemon, [*own]):
        yield f"service {own[name]!r}: its image {name} is here and not built again; `docker compose build` does that"


def _notes(services: dict[str, ComposeService], servers: dict[str, Server], engine: str) -> Iterator[str]:
    """Yield notes for the user: how the services are read, and what this machine's servers lack."""
    for name, service in services.items():
        yield from ROOMS[name].described(service).notes
        if engine == "embedded":
            yield from ROOMS[name].notes(service, servers[name])
            if service.build:
                lines = (
                    one_line(f", without {'; '.join(service.built.left_out)}", 200) if service.built.left_out else ""
                )
                yield f"service {service.key!r}: embedded reads its Dockerfile and does not build it{lines}"


def _servers(services: dict[str, ComposeService], choice: Choice, settings: Settings) -> dict[str, Server]:
    """The programs that will run: this machine's, or those in the images."""
    if choice.daemon is not None:
        return {
            name: Server(
                program=Path("docker"),
                version="" if service.build else docker.image_id(choice.daemon, service.image),
                source=containers.image_of(service),
            )
            for name, service in services.items()
        }
    try:
        return {name: ROOMS[name].find(service, settings.environ) for name, service in services.items()}
    except EngineUnavailableError as error:
        if settings.engine == "embedded":
            raise
        why = f"{error.why}; and compose was not possible ({choice.reason})"
        raise EngineUnavailableError(error.what, why=why, todo=error.todo) from None


def selected(manifest: Manifest, project: Path, settings: Settings) -> tuple[ComposeFile, Selection]:
    """Read the service's compose files and select the services that the manifest needs.

    Raises:
        ManifestError: The compose file lacks something the manifest needs.
    """
    files = compose_files(manifest, project, settings.environ)
    if not (manifest.needs or manifest.also or manifest.compose):
        return ComposeFile(path=files[0], services=()), Selection(servers={})
    compose = reader.read(files, settings.environ, settings.cache_dir)
    foreign = foreign_images() if set(manifest.needs) - set(BUILT_IN) else {}
    return compose, select(compose, manifest.needs, named=manifest.services, also=manifest.also, foreign=foreign)

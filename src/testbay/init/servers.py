"""The servers that a project needs, by the images of its compose files and the clients among its packages."""

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from testbay.errors import ManifestError
from testbay.init import insisted, packages, variables
from testbay.init.addresses import PORTS, FixedAddress
from testbay.init.project import Project
from testbay.manifest.compose import reader, selection
from testbay.manifest.compose.finding import COMPOSE_NAMES, TEST_FILE
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.compose.recognition import room_of
from testbay.manifest.project import find_project

# Compose does not find these names by itself, so the manifest has to name such a file.
_OTHERS = (
    *("docker-compose.test.yaml", "compose.test.yml", "compose.test.yaml", "docker-compose-test.yml"),
    *("docker-compose.ci.yml", "compose.ci.yml", "docker-compose.dev.yml", "compose.dev.yml", "docker-compose-dev.yml"),
    *("docker-compose.local.yml", "local.yml", "docker/docker-compose.yml", "docker/compose.yml"),
    *("deploy/docker-compose.yml", "infra/docker-compose.yml", ".devcontainer/docker-compose.yml"),
)
# Searched only if the usual places hold no compose file.
_FOLDERS = (
    "",
    "docker",
    "deploy",
    "deployment",
    "infra",
    "infra/docker",
    "infrastructure",
    "dev",
    "ops",
    ".devcontainer",
)
_ELSEWHERE = re.compile(
    r"(docker-)?compose([.-](test|ci|dev|development|local|services|deps|infra|db|databases?))?\.ya?ml"
)
_OTHER_SERVERS = re.compile(
    r"(^|/)(mysql|mariadb|mongo|rabbitmq|kafka|cp-kafka|redpanda|elasticsearch|opensearch|memcached|minio|qdrant"
    r"|clickhouse-server|cassandra|neo4j|localstack|mailhog|mailpit|vault|keycloak|etcd|influxdb|weaviate|mssql[\w/-]*)(:|@|$)"
)
_OTHER_CLIENTS = (
    *("mysqlclient", "pymysql", "aiomysql", "asyncmy", "mysql-connector-python", "mariadb", "pyodbc", "pymssql"),
    *("pymongo", "motor", "mongoengine", "beanie", "pika", "aio-pika", "kafka-python", "aiokafka", "confluent-kafka"),
    *("elasticsearch", "opensearch-py", "pymemcache", "pylibmc", "minio", "qdrant-client", "neo4j", "cassandra-driver"),
    *("clickhouse-connect", "clickhouse-driver", "influxdb-client", "oracledb"),
)
_SCRIPTS = "/docker-entrypoint-initdb.d"
_CLIENTS = {
    "postgres": "psycopg psycopg2 psycopg2-binary psycopg-binary psycopg-pool psycopg2cffi asyncpg aiopg pg8000",
    "dragonfly": "redis valkey rq arq celery aioredis dramatiq django-redis django-rq huey walrus saq"
    " redis-om flask-redis taskiq-redis fastapi-limiter aiocache",
    "nats": "nats-py nats-python",
}
_SORTING = 'POSTGRES_INITDB_ARGS: "--locale=C.UTF-8" # texts sort by code point, with and without Docker'
_EXTRAS = {"postgres": r"^(postgres|asyncpg|psycopg|aiopg)", "dragonfly": r"^(redis|valkey|hiredis)", "nats": r"^nats"}
_IMAGES = {
    "postgres": "postgres:18",
    "redis": "redis:8",
    "valkey": "valkey/valkey:9",
    "dragonfly": "docker.dragonflydb.io/dragonflydb/dragonfly",
    "nats": "nats:2.12",
}
_MODULES = {  # what sources import, where no file names packages
    "postgres": ("psycopg", "psycopg2", "asyncpg", "aiopg", "pg8000"),
    "dragonfly": ("redis", "valkey", "rq", "arq", "celery", "django_redis"),
    "nats": ("nats",),
}


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The needed servers, each with the place that shows the need, and their images.

    `compose` are the files that the manifest has to name; empty if the usual ones serve. `missing` tells that no file
    has every server; `refused` says why files cannot be used. `scripts` are folders of scripts that the server runs
    when it is created, `others` services that testbay cannot run itself. `database` is the database that the files
    create; empty if they have more than an image and a login, or more servers than PostgreSQL. `published` maps
    servers to the fixed port of this machine at which the files offer them, and the place that says so.
    """

    needs: dict[str, str]
    images: dict[str, str]
    compose: tuple[str, ...] = ()
    missing: bool = False
    refused: tuple[str, ...] = ()
    scripts: tuple[Path, ...] = ()
    others: tuple[str, ...] = ()
    database: str = ""
    published: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def name(self, need: str) -> str:
        """Return a dependency's name as the project's files have it: `redis` or `valkey` unless they say Dragonfly."""
        if need != "dragonfly":
            return need
        said = f"{self.images.get(need, '')} {self.needs.get(need, '')}".lower()
        return next((name for name in ("dragonfly", "valkey") if name in said), "redis")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One compose file, or several merged: service and image of each server, or the reason of a refusal."""

    names: tuple[str, ...]
    images: dict[str, tuple[str, str]]
    refused: str = ""
    scripts: tuple[Path, ...] = ()
    others: tuple[str, ...] = ()
    database: str = ""
    published: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The names of the files, for messages."""
        return " + ".join(self.names)


def servers(project: Project, environ: Mapping[str, str]) -> Servers:
    """Find the servers in the project's compose files, packages and sources."""
    usual = _usual(project.root, environ)
    seen = [_see(usual, environ, project.root)] if usual else []
    others = [project.root / name for name in _OTHERS if (project.root / name).is_file()]
    others = others or ([] if usual else _elsewhere(project.root))
    seen += [_see([file], environ, project.root) for file in others]
    seen += [_see(pair, environ, project.root) for one in seen if one.refused and (pair := _layers(one, project.root))]
    needs: dict[str, str] = {}
    images: dict[str, str] = {}
    for one in seen:
        for need, (key, image) in one.images.items():
            needs.setdefault(need, f"{one.name}: {key} ({image})")
            images.setdefault(need, image)
    clients = _clients(project)
    if (
        usual and clients and usual[0].parent != project.root
    ):  # of a repository of several programs: not all are for this
        needs = {need: where for need, where in needs.items() if need in clients}
    needs = clients | needs
    if usual and usual[0].name == TEST_FILE and not seen[0].refused:  # it stays as it is, and testbay takes no other
        needs = {need: where for need, where in needs.items() if need in seen[0].images}
    whole = [one for one in seen if needs.keys() <= one.images.keys() and not one.refused]
    named = whole[0].names if whole and not (usual and whole[0] is seen[0]) else ()
    return Servers(
        needs={need: needs[need] for need in _CLIENTS if need in needs},
        images=images,
        compose=named,
        missing=bool(needs) and not whole,
        refused=tuple(dict.fromkeys(s.refused for s in seen if s.refused and not set(s.names) <= set(named))),
        scripts=whole[0].scripts if whole else (),
        others=next((one.others for one in whole or seen if one.others), ()),
        database=whole[0].database if whole else "",
        published=whole[0].published if whole else {},
    )


def _elsewhere(root: Path) -> list[Path]:
    """Find the compose files of the first folder that has some, except those for production."""
    for folder in (root / name for name in _FOLDERS):
        files = sorted(folder.iterdir()) if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) else []
        if found := [file for file in files if _ELSEWHERE.fullmatch(file.name) and file.is_file()]:
            return found
    return []


def _clients(project: Project) -> dict[str, str]:
    """Find the servers whose clients are among the packages or, if no file names packages, the imports."""
    named = {need: project.has(*clients.split()) for need, clients in _CLIENTS.items()}
    found = {need: f"{project.packages[client]}: {client}" for need, client in named.items() if client}
    for need, names in _EXTRAS.items():
        said = [where for extra, where in packages.extras(project).items() if re.search(names, extra)]
        found |= {need: said[0]} if said and need not in found else {}
    name, file = project.name
    own = {need: f"{file}: {name} is a client" for need, clients in _CLIENTS.items() if name.lower() in clients.split()}
    found = variables.needed(project) | own | found
    if not found:  # SQLAlchemy's projects often name no driver, and its tests connect
        named_by = insisted.insisted(project, _CLIENTS, defaults=True)
        found = {need: f"{one.where} names {need}" for need, one in named_by.items() if "conftest.py:" in one.where}
    if project.packages:
        return found
    imported = ((name, source) for source in project.code for name in source.imports)
    for name, source in imported:
        for need in (need for need, names in _MODULES.items() if name in names):
            found.setdefault(need, f"{source.path}: import {name}")
    return found


def without_a_room(project: Project) -> list[str]:
    """List the clients of servers that testbay cannot run, which a program needs; a library may only support them."""
    return [] if project.is_library else [name for name in _OTHER_CLIENTS if project.has(name)]


def _layers(one: _Seen, root: Path) -> list[Path]:
    """Return the usual compose file with this one on top; empty without another file."""
    base = [root / name for name in COMPOSE_NAMES if (root / name).is_file() and name not in one.names]
    return [base[0], root / one.names[0]] if base and len(one.names) == 1 and one.names[0] not in COMPOSE_NAMES else []


def _usual(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """Find the compose files that `testbay run` uses: the folder's own, else those of the repository."""
    try:
        if files := reader.find(root, environ):
            return files
    except ManifestError:  # a .env that Compose refuses, which matters only to a compose file
        return [root / name for name in (TEST_FILE, *COMPOSE_NAMES) if (root / name).is_file()][:1]
    try:
        return reader.find(find_project(root), environ)
    except ManifestError:
        return []


def _see(files: list[Path], environ: Mapping[str, str], root: Path) -> _Seen:
    """Read compose files as `testbay run` would."""
    names = tuple(os.path.relpath(file, root) for file in files)
    try:
        reading = reader.read(files, environ)
        found = selection.found(reading)
    except ManifestError as error:
        return _Seen(names=names, images={}, refused=f"{error.what} ({error.why or error.todo})")
    images = {room: (s.key, s.based_on) for s in reversed(reading.services) if (room := room_of(s)) in found}
    try:
        selection.select(reading, found)
    except ManifestError as error:
        return _Seen(names=names, images=images, refused=f"{error.what} ({error.why or error.todo})")
    mounts = [v for s in reading.services if room_of(s) in found for v in (*s.built.copied, *s.volumes)]
    scripts = tuple(Path(volume.source) for volume in mounts if volume.target.startswith(_SCRIPTS))
    started = filter(reading.is_active, reading.services)
    others = tuple(f"{s.key} ({s.image})" for s in started if _OTHER_SERVERS.search(s.image.lower()))
    return _Seen(
        names=names,
        images=images,
        scripts=scripts,
        others=others,
        database=_database(reading.services, found),
        published={
            str(room_of(s)): (port.host, f"{names[0]}: {s.key} is at port {port.host}")
            for s in reversed(reading.services)
            for port in s.ports
            if room_of(s) in found and port.host and port.container == PORTS[str(room_of(s))]
        },
    )


def _database(services: Collection[ComposeService], found: Collection[str]) -> str:
    """Return the database of the only server, if the file gives no more than its image and its login."""
    servers = [one for one in services if room_of(one) in found]
    service = servers[0] if len(servers) == 1 and room_of(servers[0]) == "postgres" else None
    more = service is None or service.build or service.command or service.configs
    if service is None or more or any(_SCRIPTS in v.target for v in service.volumes):
        return ""
    return service.environment.get("POSTGRES_DB") or service.environment.get("POSTGRES_USER") or "postgres"


def for_tests(found: Servers, logins: Mapping[str, FixedAddress]) -> Servers:
    """Ask for a compose file of testbay's own if tests insist on a database that the project's file lacks."""
    asked = logins["postgres"].db if "postgres" in logins else ""
    if not asked or not found.database or asked == found.database or TEST_FILE in found.needs.get("postgres", ""):
        return found
    return replace(found, compose=(), missing=True)


def compose_text(found: Servers, logins: Mapping[str, FixedAddress]) -> str:
    """Compose a file with the servers, without volumes. `logins` are those that are fixed in the program."""
    lines = [
        "# The servers of the tests, with or without Docker: testbay's embedded engine reads this file, too.",
        "services:",
    ]
    for need in found.needs:
        name = found.name(need)
        lines += [f"  {name}:", f"    image: {found.images.get(need) or _IMAGES[name]}"]
        lines += ["    environment:", *_login(logins.get(need)), f"      {_SORTING}"] if need == "postgres" else []
        lines += ["    command: -js"] if need == "nats" else []
    return "\n".join(lines) + "\n"


def _login(said: FixedAddress | None) -> list[str]:
    values = {"USER": said.user, "PASSWORD": said.password, "DB": said.db} if said else {}
    values = {name: value for name, value in values.items() if value}
    if "PASSWORD" not in values:
        values |= {"HOST_AUTH_METHOD": "trust"} if values else {"PASSWORD": "testbay"}
    return [f"      POSTGRES_{name}: {json.dumps(value).replace('$', '$$')}" for name, value in values.items()]

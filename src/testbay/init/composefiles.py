"""The compose files of a project, and what each says of the servers."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from testbay.errors import ManifestError
from testbay.init import dotenv
from testbay.init.addresses import PORTS
from testbay.manifest.compose import reader, selection
from testbay.manifest.compose.finding import COMPOSE_NAMES, TEST_NAMES, read_file
from testbay.manifest.compose.reading import ComposeFile, ComposeService
from testbay.manifest.compose.recognition import is_replica, room_of, room_of_image
from testbay.manifest.project import find_project

# Compose does not find these names by itself, so the manifest has to name such a file.
_OTHERS = (
    *(
        "docker-compose-test.yml",
        "docker-compose.ci.yml",
        "compose.ci.yml",
        "docker-compose.dev.yml",
        "compose.dev.yml",
        "docker-compose-dev.yml",
    ),
    *("docker-compose.local.yml", "local.yml", "docker/docker-compose.yml", "docker/compose.yml"),
    *("deploy/docker-compose.yml", "infra/docker-compose.yml", ".devcontainer/docker-compose.yml"),
)
# Searched only if the usual places hold no compose file.
_FOLDERS = (
    "",
    "docker",
    "docker/compose",
    "docker/dev",
    ".docker",
    "compose",
    "deploy",
    "deployment",
    "infra",
    "infra/docker",
    "infrastructure",
    "dev",
    "ops",
    ".devcontainer",
    "tests",
    "test",
    "tests/integration",
)
_ELSEWHERE = re.compile(r"(docker-)?compose([.-](?!(prod|stag|deploy|release|swarm))[\w.-]+)?\.ya?ml")
_OTHER_SERVERS = re.compile(
    r"(^|/)(mysql|mariadb|mongo|rabbitmq|kafka|cp-kafka|redpanda|elasticsearch|opensearch|memcached|minio|qdrant"
    r"|clickhouse-server|cassandra|neo4j|localstack|mailhog|mailpit|vault|keycloak|etcd|influxdb|weaviate|mssql[\w/-]*)(:|@|$)"
)
_PROXIES = re.compile(r"bouncer|pool|proxy|pgcat|odyssey|envoy|twemproxy|sentinel|cockroach|crate|questdb|yugabyte")
_OF_TESTS = re.compile(r"(?:^|[-_.]|db|pg|sql|postgres|redis|nats)test")  # contest-db is of contests
_CREATES = re.compile(r"(?i)\b(?:create\s+database|createdb\b[^\n;]*?)\s+[\"\\]*(\w+)")
_USERS = re.compile(r"(?im)(?:\bcreate\s+(?:role|user)\s+[\"\\]*|^user\s+)(?!if\b|default\b)(\w+)")
_PASSWORDS = re.compile(r"(?i)\bpassword\s+'([^'$]+)'")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_SCRIPTS = "/docker-entrypoint-initdb.d"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One compose file, or several merged: service and image of each server, or the reason of a refusal.

    `is_usual`: `testbay run` takes it without being told. `scripts` are folders of scripts that the server runs when it
    is created, `mounted` all files that servers are given, `given` their variables, `others` services that testbay
    cannot run itself. `database` is the database that the files create; empty if scripts may make others, or there are
    several servers. `published` maps servers to the fixed port of this machine at which the files offer them, and the
    place that says so. `said` are the variables that the files give to the program itself, each with its value and the
    place. `offered` maps the ports of several servers of a kind to their services. `named` maps the servers of which
    the files have several to the one that is taken, and the place. `unknown` maps servers that no image names to the
    service at their port, and its image. `services` are the names of all services.
    """

    names: tuple[str, ...] = ()
    is_usual: bool = False
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    refused: str = ""
    scripts: tuple[Path, ...] = ()
    mounted: tuple[Path, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    others: tuple[str, ...] = ()
    database: str = ""
    published: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    said: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    offered: Mapping[int, str] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    named: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The names of the files, for messages."""
        return " + ".join(self.names)

    @property
    def makes(self) -> set[str]:
        """The databases that the scripts create, as far as their texts say."""
        return {name for text in _texts(self.scripts, self.given) for name in _CREATES.findall(text)}

    @property
    def users(self) -> set[str]:
        """The users that the scripts create, and those of a mounted list of Redis' users."""
        return users_in(self.mounted, self.given)

    @property
    def passwords(self) -> set[str]:
        """The passwords that the scripts give to users."""
        return {word for text in _texts(self.scripts, self.given) for word in _PASSWORDS.findall(text)}

    @property
    def is_at_root(self) -> bool:
        return Path(self.names[0]).parent == Path()

    @property
    def is_of_tests(self) -> bool:
        """Return whether the file has the name that testbay prefers."""
        return Path(self.names[0]).name in TEST_NAMES


def users_in(places: Sequence[Path], given: Mapping[str, str] | None = None) -> set[str]:
    """Return the users of PostgreSQL that SQL in these files or folders creates, and those of Redis that are listed."""
    return {name for text in _texts(places, given or {}) for name in _USERS.findall(text)}


def _texts(places: Sequence[Path], given: Mapping[str, str]) -> Iterator[str]:
    """Yield the texts of these files and of those in these folders, with the variables that the server is given."""
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.glob("*")))]
    for text in ((read_file(file) or b"").decode(errors="replace") for file in files if file.is_file()):
        yield _VARIABLE.sub(lambda match: given.get(match[1], match[0]), text)


def candidates(root: Path, environ: Mapping[str, str]) -> list[Candidate]:
    """Read a project's compose files: those that `testbay run` takes first, one that cannot stand alone as a layer."""
    usual = _usual(root, environ)
    others = [root / name for name in _OTHERS if (root / name).is_file()]
    others = others or ([] if usual else _elsewhere(root))
    found = [_read(usual, environ, root, is_usual=True)] if usual else []
    found += [_read([file], environ, root) for file in others]
    layers = [_layers(one, root) for one in found if one.refused or not one.images]
    return found + [_read(files, environ, root) for files in layers if files]


def _usual(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """Find the compose files that `testbay run` uses: the folder's own, else those of the repository."""
    try:
        if files := reader.find(root, environ):
            return files
    except ManifestError:  # a .env that Compose refuses, which matters only to a compose file
        return [root / name for name in (*TEST_NAMES, *COMPOSE_NAMES) if (root / name).is_file()][:1]
    try:
        return reader.find(find_project(root), environ)
    except ManifestError:
        return []


def _elsewhere(root: Path) -> list[Path]:
    """Find the compose files of the first folder that has some, except those for production."""
    for folder in (root / name for name in _FOLDERS):
        files = sorted(folder.iterdir()) if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) else []
        if found := [file for file in files if _ELSEWHERE.fullmatch(file.name) and file.is_file()]:
            return found
    return []


def _layers(one: Candidate, root: Path) -> list[Path]:
    """Return the usual compose file with this one on top; empty without another file."""
    base = [root / name for name in COMPOSE_NAMES if (root / name).is_file() and name not in one.names]
    return [base[0], root / one.names[0]] if base and len(one.names) == 1 and one.names[0] not in COMPOSE_NAMES else []


def _read(files: list[Path], environ: Mapping[str, str], root: Path, *, is_usual: bool = False) -> Candidate:
    """Read compose files as `testbay run` would."""
    made = Candidate(names=tuple(os.path.relpath(file, root) for file in files), is_usual=is_usual)
    try:
        reading = reader.read(files, environ)
        rooms = selection.found(reading)
    except ManifestError as error:
        return replace(made, refused=_refusal(error))
    servers = [service for service in reading.services if room_of(service) in rooms]
    made = replace(
        made,
        images={room_of(s): (s.key, s.based_on) for s in reversed(servers)},
        unknown={need: one for need, one in _unknown(reading) if need not in rooms},
        services=tuple(service.key for service in reading.services),
    )
    named = {room: one for room in rooms if (one := _likeliest(selection.candidates(reading, room), reading, root))}
    try:
        chosen = selection.select(reading, rooms, named={room: one.key for room, one in named.items()})
    except ManifestError as error:
        return replace(made, refused=_refusal(error), offered=_offered(servers))
    offered = _offered([service for service in servers if service not in chosen.servers.values()])
    servers = list(chosen.servers.values())
    if empty := next(filter(None, map(_without_password, reading.services)), ""):
        return replace(made, refused=f"{made.names[0]}: {empty}")
    started = filter(reading.is_active, reading.services)
    mounts = [volume for service in servers for volume in (*service.built.copied, *service.volumes)]
    return replace(
        made,
        scripts=tuple(Path(volume.source) for volume in mounts if volume.target.startswith(_SCRIPTS)),
        mounted=tuple(Path(volume.source) for volume in mounts if not volume.target.startswith("/var/lib/")),
        given={name: value for service in servers for name, value in service.environment.items()},
        others=tuple(f"{s.key} ({s.image})" for s in started if _OTHER_SERVERS.search(s.image.lower())),
        database=_database(servers),
        said=_said(reading, root, made.names[0], files[0].parent),
        published=_published(servers, made.names[0]),
        images={room: (service.key, service.based_on) for room, service in chosen.servers.items()},
        offered=offered,
        named={room: (one.key, f"{made.names[0]}: {_beside(one, room, reading)}") for room, one in named.items()},
    )


def _unknown(reading: ComposeFile) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the services at a server's port whose image does not tell that they are one: a team's own, Spilo."""
    for need, port in PORTS.items():
        for service in filter(reading.is_active, reading.services):
            at = {str(port.container) for port in service.ports} | {one.partition("/")[0] for one in service.expose}
            if str(port) in at and not room_of_image(service.based_on) and not _PROXIES.search(service.based_on):
                yield need, (service.key, service.based_on or "built")


def _likeliest(servers: Sequence[ComposeService], reading: ComposeFile, root: Path) -> ComposeService | None:
    """Choose among several servers of a kind; None if there are not several, or only nodes of a cluster.

    The tests' own counts most, then that of the program in this folder, then the one that most services wait for. That
    of a finished product alone, as `keycloak-db` of `keycloak`, counts least.
    """
    if len(servers) < 2 or any(map(is_replica, servers)):
        return None

    def rank(server: ComposeService) -> tuple[bool, bool, bool, bool, int]:
        users = [one for one in reading.services if any(other.service == server.key for other in one.depends_on)]
        is_own = any((one.definition.get("build") or {}).get("context") == str(root) for one in users)
        is_of_product = bool(users) and all(
            not one.build and re.split("[-_]", one.key)[0] in server.key for one in users
        )
        is_of_tests = _OF_TESTS.search(server.key.lower()) is not None
        return any(map(_runs_tests, users)), is_of_tests, is_own, not is_of_product, len(users)

    return max(servers, key=rank)


def _runs_tests(service: ComposeService) -> bool:
    line = " ".join((service.key, *(service.entrypoint or ()), *service.command))
    return re.search(r"(?i)\bpy\.?test\b|\bmanage\.py test\b|\bunittest\b|(^|[-_])tests?($|[-_ ])", line) is not None


def _beside(chosen: ComposeService, room: str, reading: ComposeFile) -> str:
    others = [one.key for one in selection.candidates(reading, room) if one is not chosen]
    return f"{chosen.key}, not {', '.join(others)}: a run has one of a kind; name the one that the tests are for"


def _said(reading: ComposeFile, root: Path, file: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Map the variables of the program itself, which is built, to their values and the place.

    Those from a developer's own shell or file are left out: what `init` writes is committed.
    """
    own = [service for service in reading.services if service.build]
    private = {origin for service in own for origin in set(service.origins.values()) if _is_private(origin, folder)}
    return {
        name: (_on_this_machine(value, service, root), f"{file}: {service.key}")
        for service in own
        for name, value in service.environment.items()
        if value and service.origins.get(name) not in private
    }


def _is_private(origin: str, folder: Path) -> bool:
    places = [part.removeprefix("env_file ").rpartition(" from ")[2] for part in origin.split(", ")]
    return any(place == "the shell" or dotenv.is_private(folder, place) for place in places if place != "environment")


def _published(servers: Sequence[ComposeService], file: str) -> dict[str, tuple[int, str]]:
    """Map servers to the port of this machine at which a file offers them, and the place; the first one counts."""
    return {
        room_of(service): (port.host, f"{file}: {service.key} is at port {port.host}")
        for service in reversed(servers)
        for port in service.ports
        if port.host and port.container == PORTS[room_of(service)]
    }


def _offered(servers: Sequence[ComposeService]) -> dict[int, str]:
    """Map the ports of this machine at which a file offers these servers to their services."""
    return {port.host: service.key for service in servers for port in service.ports if port.host}


def _on_this_machine(value: str, service: ComposeService, root: Path) -> str:
    """Return the file of a secret or config that a variable leads the container to, else the value itself."""
    held = {granted.target: granted.file for granted in (*service.secrets, *service.configs) if granted.file}
    return os.path.relpath(held[value], root) if value in held else value


def _without_password(service: ComposeService) -> str:
    """Say that PostgreSQL's image would not start, as the variable of its password is not set on this machine."""
    said = service.environment
    if room_of(service) != "postgres" or said.get("POSTGRES_PASSWORD") != "" or "POSTGRES_HOST_AUTH_METHOD" in said:
        return ""
    origin = service.origins.get("POSTGRES_PASSWORD", "").removeprefix("environment, ")
    return f"services.{service.key} has an empty POSTGRES_PASSWORD ({origin})"


def _refusal(error: ManifestError) -> str:
    return f"{error.what} ({error.why or error.todo})"


def _database(servers: Sequence[ComposeService]) -> str:
    """Return the database of the only PostgreSQL, if no script may make another one."""
    services = [service for service in servers if room_of(service) == "postgres"]
    if len(services) != 1 or services[0].configs or any(_SCRIPTS in v.target for v in services[0].volumes):
        return ""
    service = services[0]
    return service.environment.get("POSTGRES_DB") or service.environment.get("POSTGRES_USER") or "postgres"

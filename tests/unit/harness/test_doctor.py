import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.harness import doctor
from testbay.manifest.service import Manifest
from testbay.settings import Settings

Service = Callable[..., Manifest]
Program = Callable[..., Path]


def lines(said: str, *starts: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(starts)]


@pytest.mark.usefixtures("servers")
def test_a_healthy_machine_and_project(service: Service, settings: Settings, project: Path, recording: Any) -> None:
    """Every program with its version and place, and the project as a run would see it."""
    service('secrets = { KEY = "/prod/key", OTHER = "/o" }')
    heard = recording()
    asked = replace(settings, environ={**settings.environ, "OTHER": "x"})

    assert doctor.report(asked, project, heard.voice) == 0
    folder = Path(settings.environ["PATH"])
    programs = lines(heard.text, "✅ PostgreSQL", "✅ Dragonfly", "✅ NATS")
    assert [line.partition("; port")[0].rstrip(")") for line in programs] == [
        f"✅ PostgreSQL 18.1 (TESTBAY_POSTGRES_BIN: {folder / 'postgres'}",
        f"✅ Dragonfly 1.39.0 (system: {folder / 'dragonfly'}",
        f"✅ NATS 2.12.4 (system: {folder / 'nats-server'}",
    ]
    assert heard.text.partition("Project\n")[2].splitlines() == [
        "✅ compose file docker-compose.test.yml: db (postgres), cache (dragonfly), queue (nats)",
        "✅ service shop: needs postgres, dragonfly, nats",
        "✅ secret KEY: not set (recorded answers at home)",
        "✅ secret OTHER: set",
        "✅ This project can run here: testbay run",
    ]


def test_a_missing_program_is_an_exit_code(servers: None, settings: Settings, project: Path, recording: Any) -> None:
    """With what to install; a script can ask doctor before it tries."""
    heard = recording()
    asked = replace(settings, environ={**settings.environ, "TESTBAY_POSTGRES_BIN": "/nowhere"})

    assert doctor.report(asked, project, heard.voice) == 11
    assert lines(heard.text, "❌ PostgreSQL") == [
        (
            "❌ PostgreSQL: TESTBAY_POSTGRES_BIN: no working postgres, initdb and psql in /nowhere; "
            "name the folder that holds all three, or unset it"
        )
    ]


def test_a_stand_in_and_a_taken_port_are_said(
    servers: None, program: Program, settings: Settings, project: Path, recording: Any
) -> None:
    """Nothing a run would do differently is a surprise."""
    (Path(settings.environ["PATH"]) / "dragonfly").unlink()
    program("valkey-server", "Valkey server v=8.0.1")
    compose = project / "docker-compose.test.yml"
    heard = recording()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = compose.read_text(encoding="utf-8").replace("16380", str(port))
        compose.write_text(text.replace('["', '["8080:8080", "'), encoding="utf-8")  # of a page beside it
        doctor.report(settings, project, heard.voice)

    said = lines(heard.text, "✅ Dragonfly")[0]
    assert "8.0.1 (system: " in said
    assert "; valkey 8.0 stand-in); port " in said
    assert f"port {port} is held by " in said
    assert said.endswith("the next free one is used")


def test_a_cache_that_cannot_be_written_is_said(
    servers: None, settings: Settings, project: Path, recording: Any, tmp_path: Path
) -> None:
    """Below a file no folder can be made, not even by root."""
    (tmp_path / "file").touch()
    heard = recording()
    doctor.report(replace(settings, cache_dir=tmp_path / "file/cache"), project, heard.voice)

    why = "testbay cannot write there; make it writable, or name another in TESTBAY_CACHE_DIR"
    assert lines(heard.text, "❌ cache") == [f"❌ cache folder {tmp_path / 'file/cache'}: {why}"]


@pytest.mark.parametrize("keys", ["nedes = []", "tests = 'not/there'"])
@pytest.mark.usefixtures("servers")
def test_a_broken_manifest_is_one_line(
    service: Service, settings: Settings, project: Path, recording: Any, keys: str
) -> None:
    """The other findings are said all the same."""
    service()
    manifest = project / "services/shop/pyproject.toml"
    manifest.write_text(f"[tool.testbay]\nservice = 'shop'\n{keys}\n", encoding="utf-8")
    heard = recording()

    assert doctor.report(settings, project, heard.voice) == 10
    assert len(lines(heard.text, f"❌ {manifest}")) == 1
    said = "✅ compose file docker-compose.test.yml: db (postgres), cache (dragonfly), queue (nats)"
    assert len(lines(heard.text, said)) == 1


@pytest.mark.parametrize("gone", [[], ["docker-compose.test.yml"]])
def test_a_project_without_services_is_told_what_one_is(
    servers: None, settings: Settings, project: Path, recording: Any, gone: list[str]
) -> None:
    """Not an empty list, and nothing of a compose file, which `testbay init` writes."""
    (project / "services").mkdir(exist_ok=True)
    for name in gone:
        (project / name).unlink()
    heard = recording()
    doctor.report(settings, project, heard.voice)

    assert lines(heard.text, "❌") == [
        f"❌ no service here; `testbay init` writes a manifest, or a folder in {project / 'services'} has one"
    ]


def test_outside_of_a_project_the_machine_is_still_looked_at(servers: None, settings: Settings, recording: Any) -> None:
    """With the defaults of each dependency."""
    heard = recording()

    assert doctor.report(settings, Path("/proc/self"), heard.voice) == 0
    todo = "go to your project's folder, or `testbay init` here (`testbay explain getting-started`)"
    assert lines(heard.text, "❌") == [f"❌ /proc/self is in no project; {todo}"]
    assert len(lines(heard.text, "✅ PostgreSQL", "✅ Dragonfly", "✅ NATS")) == 3


@pytest.mark.usefixtures("servers")
def test_a_user_without_a_name_is_told_before_initdb_refuses(
    monkeypatch: pytest.MonkeyPatch, service: Service, settings: Settings, project: Path, recording: Any
) -> None:
    """As in a container that was started with --user: what to do, and that the project cannot run."""
    service()
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    heard = recording()

    assert doctor.report(settings, project, heard.voice) == 11
    [said] = lines(heard.text, "❌ PostgreSQL")
    assert said.startswith(
        "❌ PostgreSQL: user 54321 has no name, and initdb refuses such a user; give this user a line"
    )
    assert heard.text.splitlines()[-1] == "❌ This project cannot run here: no server for PostgreSQL"


@pytest.mark.usefixtures("servers")
def test_redis_is_called_redis(service: Service, settings: Settings, project: Path, recording: Any) -> None:
    """Where the compose file names it, in every line."""
    service()
    compose = project / "docker-compose.test.yml"
    text = compose.read_text(encoding="utf-8")
    compose.write_text(re.sub(r"image: \S*dragonfly\S*", "image: redis:8", text), encoding="utf-8")
    heard = recording()

    doctor.report(settings, project, heard.voice)

    assert "; dragonfly 1.39 stand-in)" in lines(heard.text, "✅ Redis")[0]
    assert lines(heard.text, "✅ compose", "✅ service") == [
        "✅ compose file docker-compose.test.yml: db (postgres), cache (redis), queue (nats)",
        "✅ service shop: needs postgres, redis, nats",
    ]


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("other", ["postgres", "mysql"])
def test_what_stops_a_run_stops_here(
    service: Service, settings: Settings, project: Path, recording: Any, other: str
) -> None:
    """The services of the compose file are chosen as a run chooses them."""
    whats = {
        "postgres": "2 services are PostgreSQL: db and other",
        "mysql": "no service is Redis (or Valkey, Dragonfly)",
    }
    service('needs = ["postgres", "redis"]')
    compose = project / "docker-compose.test.yml"
    compose.write_text(f"services: {{db: {{image: postgres}}, other: {{image: {other}}}}}", encoding="utf-8")
    heard = recording()

    assert doctor.report(settings, project, heard.voice) == 10
    assert lines(heard.text, "❌ ")[0].startswith(f"❌ {compose}: {whats[other]}")
    assert "This project can run" not in heard.text

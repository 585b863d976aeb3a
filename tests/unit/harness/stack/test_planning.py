import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import EngineUnavailableError, ManifestError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.stack import planning
from testbay.harness.stack.request import Request, decide
from testbay.manifest.service import Manifest
from testbay.settings import Settings

Service = Callable[..., Manifest]
Program = Callable[..., Path]
Ask = Callable[..., Request]

REPLAY = """
[tool.testbay.replay]
secret = "KEY"
start = "python replay.py --port {port}"
"""


@pytest.fixture
def ask(service: Service, servers: None, settings: Settings, project: Path) -> Ask:
    """Asks for a stack of the service `shop`; more variables of the caller as keywords."""

    def ask(keys: str = "", **environ: str) -> Request:
        asked = replace(settings, environ={**settings.environ, **environ})
        return decide(service(keys), project, asked)

    return ask


def test_dependencies_are_matched_by_image(ask: Ask) -> None:
    """Whatever their keys are called, and only those that are needed."""
    asked = ask('needs = ["nats", "postgres"]')

    assert {name: service.key for name, service in asked.services.items()} == {"postgres": "db", "nats": "queue"}
    assert {name: server.version for name, server in asked.servers.items()} == {"postgres": "18.1", "nats": "2.12.4"}
    assert (asked.engine, asked.replay) == ("embedded", False)
    assert [notice.partition(" (")[0] for notice in asked.notices] == ["left out: cache"]


def test_pg8000_beside_the_tests_gets_its_rounds(ask: Ask, tmp_path: Path) -> None:
    """It is looked for in the project's own environment, where testbay has another."""
    for name in ("bin/python", "lib/python3.13/site-packages/scramp/core.py"):
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / name).touch()
    asked = [ask('needs = ["postgres"]', **environ) for environ in ({}, {"VIRTUAL_ENV": str(tmp_path / "own")})]

    assert [one.servers["postgres"].hash_rounds for one in asked] == [1, 4096]
    assert asked[0].template != asked[1].template


def test_a_service_may_name_its_own_compose_file(ask: Ask, project: Path) -> None:
    """Relative to its folder."""
    (project / "services/shop").mkdir()
    (project / "services/shop/c.yml").write_text("services: {q: {image: nats}}", encoding="utf-8")

    asked = ask('needs = ["nats"]\ncompose = "c.yml"')

    assert (asked.compose.path, asked.services["nats"].key) == (project / "services/shop/c.yml", "q")


def test_a_service_without_a_room_is_said(ask: Ask, project: Path) -> None:
    """It does not run embedded, and that is no secret."""
    compose = project / "docker-compose.test.yml"
    compose.write_text(compose.read_text(encoding="utf-8") + "  s3: {image: minio/minio}\n", encoding="utf-8")

    assert ask('also = ["s3"]').notices == ("s3 (minio/minio): embedded has no room for it, so it does not run",)
    assert ask().notices == ("left out: s3 (minio/minio)",)


def test_a_missing_dependency_is_named(ask: Ask, project: Path) -> None:
    """With the images that would do."""
    compose = project / "docker-compose.test.yml"
    compose.write_text("services: {db: {image: postgres}}", encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        ask('needs = ["dragonfly"]')

    assert str(refused.value) == (
        f"{compose}: no service is Redis (or Valkey, Dragonfly), which is needed\n"
        "  why:      testbay knows a server by the whole name of its image; services: db (postgres)\n"
        "  do:       add the service, such as image: redis:8; or take dragonfly out of needs"
    )


def test_two_of_a_kind_are_refused(ask: Ask, project: Path) -> None:
    """Nobody could say which one is meant."""
    compose = project / "docker-compose.test.yml"
    compose.write_text("services: {a: {image: redis}, b: {image: valkey}}", encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        ask('needs = ["dragonfly"]')

    assert str(refused.value) == (
        f"{compose}: 2 services are Redis (or Valkey, Dragonfly): a and b\n"
        "  why:      testbay does not guess which one the tests are for\n"
        '  do:       say which in the manifest: [services] dragonfly = "a"'
    )


def test_an_engine_asked_for_by_name_never_falls_back(
    service: Service, servers: None, settings: Settings, project: Path
) -> None:
    """Without Docker, embedded must not stand in for compose."""
    with pytest.raises(EngineUnavailableError):
        decide(service(), project, replace(settings, engine="compose"))


def test_a_service_that_needs_nothing_asks_no_engine(service: Service, settings: Settings, project: Path) -> None:
    """Docker Compose refuses to start nothing of a compose file; the file is another program's, and not read."""
    request = decide(service("needs = []"), project, replace(settings, engine="compose"))

    assert (request.engine, request.reason, request.notices) == ("embedded", "it needs nothing", ())


def test_without_docker_auto_says_why_it_is_embedded(
    service: Service, servers: None, settings: Settings, project: Path
) -> None:
    """The reason is one loud line of every run."""
    request = decide(service(), project, replace(settings, engine="auto"))

    assert request.engine == "embedded"
    assert request.reason != "asked for"


def test_the_same_request_has_the_same_key(ask: Ask) -> None:
    """That is what makes a kept stack found again."""
    assert ask().key == ask().key


@pytest.mark.parametrize(
    ("keys", "environ"),
    [
        ('needs = ["postgres"]', {}),
        ("ports = { nats = 4222 }", {}),
        ('env = { A = "b" }', {}),
        ('[[tool.testbay.nats.streams]]\nname = "A"\nsubjects = ["a"]', {}),
        ("", {"DB_PASSWORD": "other"}),
        ("", {"POSTGRES_PORT": "5432"}),
        (REPLAY, {}),
    ],
)
def test_the_key_changes_with_what_is_asked_for(ask: Ask, keys: str, environ: dict[str, str]) -> None:
    """A kept stack with another configuration is another stack."""
    assert ask(keys, **environ).key != ask().key


def test_the_key_changes_with_the_replay(ask: Ask) -> None:
    """Live answers and recorded ones are not the same stack; the secret's value does not matter."""
    keys = {ask(REPLAY).key, ask(REPLAY, KEY="a").key, ask(REPLAY, KEY="b").key}

    assert len(keys) == 2


def test_the_key_changes_with_a_servers_version(ask: Ask, program: Program) -> None:
    """An upgrade of the system is a new stack."""
    before = ask().key
    program("nats-server", "nats-server: v2.12.5")

    assert ask().key != before


@pytest.mark.parametrize("change", ["text", "name", "new", "a name in capitals", "what they read"])
def test_the_key_changes_with_the_migrations(ask: Ask, project: Path, change: str) -> None:
    """Their names, their text, their number, and the files beside them, such as COPY reads."""
    folder = project / "services/shop/sql"
    folder.mkdir(parents=True)
    (folder / "1.sql").write_text("SELECT 1", encoding="utf-8")
    before = ask('migrations = "sql"').key
    match change:
        case "text":
            (folder / "1.sql").write_text("SELECT 2", encoding="utf-8")
        case "name":
            (folder / "1.sql").rename(folder / "2.sql")
        case "a name in capitals":
            (folder / "2.SQL").touch()
        case "what they read":
            (folder / "seed.csv").touch()
        case _:
            (folder / "2.sql").touch()

    assert ask('migrations = "sql"').key != before


def planned(request: Request) -> dict[str, Any]:
    made = planning.plan(request, "shop-1", Path("/stacks/shop-1"), Path("/logs"))
    return {server["name"]: (server["port"], server["fixed_port"], server["log"]) for server in made["processes"]}


def test_ports_are_the_compose_files_or_the_defaults(ask: Ask) -> None:
    """Each server logs into the folder asked for."""
    assert planned(ask()) == {
        "postgres": (15433, False, "/logs/postgres.log"),
        "dragonfly": (16380, False, "/logs/dragonfly.log"),
        "nats": (14222, False, "/logs/nats.log"),
    }


def test_a_variable_of_the_compose_file_moves_a_port(ask: Ask) -> None:
    """POSTGRES_PORT=… works on both engines."""
    assert planned(ask(POSTGRES_PORT="5555"))["postgres"] == (5555, False, "/logs/postgres.log")


def test_a_port_of_the_manifest_is_fixed(ask: Ask) -> None:
    """A suite with hard-coded ports gets exactly those."""
    assert planned(ask("ports = { dragonfly = 6379 }"))["dragonfly"] == (6379, True, "/logs/dragonfly.log")


def test_a_port_published_for_something_else_is_not_taken(ask: Ask, project: Path) -> None:
    """NATS' monitoring port is not its client port."""
    compose = project / "docker-compose.test.yml"
    compose.write_text('services: {q: {image: nats, ports: ["8222:8222", "4333:4222"]}}', encoding="utf-8")

    assert planned(ask('needs = ["nats"]'))["nats"][0] == 4333


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("{image: redis, command: --port 0 --unixsocket /r.sock}", "port 0, which leaves a socket of its container"),
        ("{image: redis, command: --port 0 --tls-port 6379}", "port 0, which leaves TLS alone"),
        ("{image: redis, command: --bind 127.0.0.1 -::1}", "bind 127.0.0.1 -::1, which is its own container"),
        (
            "{image: postgres, environment: {POSTGRES_PASSWORD: x}, command: -c listen_addresses=localhost}",
            "listen_addresses = 'localhost', which is its own container",
        ),
    ],
)
def test_a_container_that_lets_no_client_in_is_refused_at_once(ask: Ask, project: Path, server: str, why: str) -> None:
    """Compose would start it, and it would never be ready; the embedded server listens all the same."""
    (project / "docker-compose.test.yml").write_text(f"services: {{q: {server}}}", encoding="utf-8")
    request = ask(f"needs = ['{'postgres' if 'postgres' in server else 'redis'}']")

    with pytest.raises(ManifestError) as refused:
        planning.plan(replace(request, engine="compose"), "shop-1", Path("/stacks/shop-1"), Path("/logs"))

    assert planned(request)
    assert refused.value.what == "service 'q' lets no client outside of its container in"
    assert refused.value.why == f"it has {why}"


@pytest.mark.parametrize(
    "server",
    [
        "{image: redis, command: --bind 0.0.0.0 --tls-port 6380}",
        "{image: postgres, environment: {POSTGRES_PASSWORD: x}, command: -c ssl=on -c listen_addresses=*}",
    ],
)
def test_a_server_with_tls_beside_its_port_is_taken(ask: Ask, project: Path, server: str) -> None:
    """A client without TLS gets in as well."""
    (project / "docker-compose.test.yml").write_text(f"services: {{q: {server}}}", encoding="utf-8")
    request = ask(f"needs = ['{'postgres' if 'postgres' in server else 'redis'}']")

    made = planning.plan(replace(request, engine="compose"), "shop-1", Path("/stacks/shop-1"), Path("/logs"))

    assert made["compose"]["ports"]


def test_a_volume_of_one_letter_is_refused_before_docker_does(ask: Ask, project: Path) -> None:
    """Compose reads `a:/data` as one path, and Docker's own words would not say why."""
    server = "{image: redis, volumes: ['a:/data']}"
    (project / "docker-compose.test.yml").write_text(f"services: {{q: {server}}}", encoding="utf-8")

    with pytest.raises(ManifestError, match="Docker takes no mount at a:/data") as refused:
        planning.plan(replace(ask("needs = ['redis']"), engine="compose"), "s-1", Path("/s"), Path("/logs"))

    assert refused.value.todo == "give the volume 'a' a longer name"


def test_a_plan_is_json(ask: Ask) -> None:
    """The guard is told it on one line, and knows who watches."""
    made = planning.plan(ask(REPLAY), "shop-1", Path("/stacks/shop-1"), Path("/logs"))

    assert json.loads(json.dumps(made))["id"] == "shop-1"
    assert made["watch"][0][0] == os.getpid()
    assert [server["name"] for server in made["processes"]] == ["postgres", "dragonfly", "nats", "replay"]


def test_the_stand_in_runs_with_our_python_in_the_services_folder(ask: Ask, project: Path, tmp_path: Path) -> None:
    """`python` means the one whose packages the service uses; of the environment it gets the PATH alone."""
    made = planning.plan(ask(REPLAY, TOKEN="hunter2"), "shop-1", Path("/s"), Path("/logs"))["processes"][-1]

    assert made["argv"] == [sys.executable, "replay.py", "--port", "{port}"]
    assert made["cwd"] == str(project / "services/shop")
    assert made["env"] == {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{tmp_path / 'bin'}"}


def test_a_stand_in_is_not_started_beside_the_real_thing(ask: Ask) -> None:
    """With the secret set, answers are live."""
    assert "replay" not in planned(ask(REPLAY, KEY="k"))


def test_an_endpoint_knows_whose_server_it_is(ask: Ask) -> None:
    """And what a reader must know of the program that answers."""
    asked = ask(REPLAY)

    assert planning.endpoint(asked, "shop-1", "nats", 4222) == Endpoint(
        name="nats", title="NATS", host="localhost", port=4222, identity="testbay-shop-1"
    )
    assert planning.endpoint(asked, "shop-1", "replay", 18500) == Endpoint(
        name="replay", title="LLM replay", host="127.0.0.1", port=18500
    )


def test_a_template_is_named_after_what_is_in_it(ask: Ask, settings: Settings, project: Path) -> None:
    """Another password or another migration is another database."""
    folder = project / "services/shop/sql"
    folder.mkdir(parents=True)
    (folder / "1.sql").touch()
    keys = 'migrations = "sql"'
    names = [ask(keys).template, ask(keys, DB_PASSWORD="x").template, ask().template]

    assert len({*names}) == 3
    assert {Path(name).parent for name in names} == {settings.cache_dir / "templates"}
    assert ask(keys, POSTGRES_PORT="5").template == names[0]
    assert ask(keys).initial == ask().initial != ask(keys, DB_PASSWORD="x").initial


@pytest.mark.parametrize(
    "more",
    ["environment: {POSTGRES_PASSWORD: w, APP: y}", "command: -c search_path=app", "init/seed.csv", "rows/named.csv"],
)
def test_a_template_knows_all_that_its_scripts_and_migrations_met(ask: Ask, project: Path, more: str) -> None:
    """The variables a script of the image's init folder reads, the server's settings, files it may read."""
    for name, text in {"init/1.sh": "cat /rows/*.csv", "rows/old.csv": "1"}.items():
        (project / name).parent.mkdir()
        (project / name).write_text(text)
    compose = project / "docker-compose.test.yml"
    service = "services: {db: {image: postgres, volumes: ['./init:/docker-entrypoint-initdb.d', './rows:/rows'], MORE}}"
    usual = "environment: {POSTGRES_PASSWORD: w}"
    compose.write_text(service.replace("MORE", usual), encoding="utf-8")
    before = ask('needs = ["postgres"]').template
    if more.endswith(".csv"):
        (project / more).touch()
    else:
        changed = more if "environment" in more else f"{usual}, {more}"
        compose.write_text(service.replace("MORE", changed), encoding="utf-8")

    assert ask('needs = ["postgres"]').template != before


@pytest.mark.parametrize(
    ("need", "command", "setting"),
    [("redis", "redis-server /c.conf", "maxmemory 1mb"), ("nats", "-c /c.conf", "max_payload: 1MB")],
)
def test_a_kept_stack_is_not_met_with_other_settings(
    ask: Ask, project: Path, need: str, command: str, setting: str
) -> None:
    """Of a mounted file, whose name in the compose file is the same."""
    text = f"services: {{s: {{image: {need}, command: {command}, volumes: ['./conf:/c.conf']}}}}"
    (project / "docker-compose.test.yml").write_text(text, encoding="utf-8")
    keys = set()
    for content in (setting, setting.replace("1", "2")):
        (project / "conf").write_text(content, encoding="utf-8")
        asked = ask(f'needs = ["{need}"]')
        keys |= {asked.key, asked.with_password("x").key}

    assert len(keys) == 2


def test_a_cold_start_and_a_service_without_postgres_have_no_template(ask: Ask) -> None:
    """Nothing would be in it."""
    cold = replace(ask(), settings=replace(ask().settings, cold=True))

    assert [one.template + one.initial for one in (cold, ask('needs = ["nats"]'))] == ["", ""]

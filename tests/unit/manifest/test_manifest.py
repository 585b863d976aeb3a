from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import ManifestError
from testbay.manifest.load import load_manifest
from testbay.manifest.project import compose_files, find_project, find_service, service_folders
from testbay.manifest.service import Manifest, NatsTable, Replay, Stream

Service = Callable[..., Manifest]

EVERY_KEY = "`testbay explain reference/manifest` lists every key"
FULL = """
needs = ["nats", "postgres"]
migrations = "sql"
tests = "checks"
start = "uvicorn shop:app --port {port}"
ready = "/api/health"
source = "lib"
compose = "../docker-compose.yml"
ports = { postgres = 5432 }
env = { DB_DSN = "{postgres.url}" }
secrets = { OPENAI_API_KEY = "/prod/key" }
[tool.testbay.nats]
streams = [{ name = "ORDERS", subjects = ["orders.*"], max_age_s = 60 }]
[tool.testbay.replay]
secret = "OPENAI_API_KEY"
start = "python replay.py --port {port}"
env = { OPENAI_BASE_URL = "http://127.0.0.1:{port}/v1" }
"""


def test_a_service_needs_only_a_name(service: Service, project: Path) -> None:
    """Everything else has the documented default."""
    folder = project / "services/shop"

    assert service() == Manifest(
        service="shop",
        needs=["postgres", "dragonfly", "nats"],
        tests=None,
        coverage="service",
        ready="/",
        file=folder / "pyproject.toml",
        root=folder,
    )


def test_every_key_is_read(service: Service, project: Path) -> None:
    """The manifest of the reference, key by key."""
    folder = project / "services/shop"
    for name in ("sql", "checks", "lib"):
        (folder / name).mkdir(parents=True)

    assert service(FULL) == Manifest(
        service="shop",
        needs=["nats", "postgres"],
        migrations="sql",
        tests="checks",
        start="uvicorn shop:app --port {port}",
        ready="/api/health",
        source="lib",
        compose="../docker-compose.yml",
        ports={"postgres": 5432},
        env={"DB_DSN": "{postgres.url}"},
        nats=NatsTable(streams=[Stream(name="ORDERS", subjects=["orders.*"], max_age_s=60)]),
        secrets={"OPENAI_API_KEY": "/prod/key"},
        replay=Replay(
            secret="OPENAI_API_KEY",
            start="python replay.py --port {port}",
            env={"OPENAI_BASE_URL": "http://127.0.0.1:{port}/v1"},
        ),
        file=folder / "pyproject.toml",
        root=folder,
    )


def test_a_testbay_toml_comes_first(service: Service, project: Path) -> None:
    """The same keys without a table's name, as ruff does it."""
    service("needs = []")
    file = project / "services/shop/testbay.toml"
    file.write_text('service = "shop"\nneeds = ["nats"]\n', encoding="utf-8")

    found = load_manifest(file.parent)

    assert (found.file, found.needs) == (file, ["nats"])


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ('need = ["nats"]', "unknown key 'need' (did you mean 'needs'?)"),
        ("[tool.testbay.nats]\nzzz = 1", "unknown key 'nats.zzz'; known: streams"),
        ("[tool.testbay.nats]\nstream = []", "unknown key 'nats.stream' (did you mean 'streams'?)"),
        (
            '[[tool.testbay.nats.streams]]\nname = "A"\nsubjects = ["a"]\nmax_age = 1',
            "unknown key 'nats.streams.0.max_age' (did you mean 'max_age_s'?)",
        ),
        (
            '[tool.testbay.replay]\nsecret = "K"\nstart = "x"\nredy = "/"',
            "unknown key 'replay.redy' (did you mean 'ready'?)",
        ),
        ('needs = "nats"', 'needs: write a list: ["…"]'),
        ("tests = 5", 'tests: write a text: "…"'),
        ("env = { A = true }", 'env.A: write a text: "…", or false to export no such variable'),
        ('env = { "A=B" = "x" }', "env: 'A=B' cannot be a variable: a name has no =, and neither part has a NUL"),
        ('env = { A = "\\u0000" }', "env: 'A' cannot be a variable: a name has no =, and neither part has a NUL"),
        ("ports = { redis = 1, valkey = 2 }", "ports: redis, valkey: two of them are one dependency"),
        ('ports = { postgres = "5432" }', "ports.postgres: write a whole number, without quotes"),
        ('workers = "many"', 'workers: write "auto", or a whole number from 1 to 256'),
        ("compose = 1", 'compose: write the name of a file, or a list of names: ["…"]'),
        ("ports = { postgres = 70000 }", "ports: postgres = 70000 is not a port"),
        ("ports = { postgre = 5432 }", "ports: 'postgre' is not a dependency (did you mean 'postgres'?)"),
        (
            'needs = ["nat"]',
            "needs: 'nat' is not a dependency (did you mean 'nats'?); known: postgres, dragonfly, nats",
        ),
        ('needs = ["kafka"]', "needs: 'kafka' is not a dependency; known: postgres, dragonfly, nats"),
        ('migrations = "s"\nmigrate = "x"', "migrations and migrate exclude each other: a folder of SQL, or a command"),
        ('migrations = "sql"\nneeds = ["nats"]', "migrations needs 'postgres' in needs"),
        (
            'needs = []\n[[tool.testbay.nats.streams]]\nname = "A"\nsubjects = ["a"]',
            "nats.streams needs 'nats' in needs",
        ),
        ('needs = ["nats"]\nports = { redis = 6379 }', "ports: 'dragonfly' is not in needs"),
        ('needs = []\nexports = ["PG"]', "exports: 'PG' needs 'postgres' in needs"),
        ('exports = ["MY"]', "exports.0: it should be 'PG', 'DB', 'REDIS', 'VALKEY' or 'NATS'"),
        ('migrate = "  "', "migrate: an empty command"),
        ('migrate = "echo \'x"', 'migrate: "echo \'x" is not a command: No closing quotation'),
        ('[tool.testbay.replay]\nsecret = "K"\nstart = ""', "replay.start: an empty command"),
        (
            '[[tool.testbay.nats.streams]]\nname = "A"\nsubjects = ["a"]\nmax_age_s = inf',
            "nats.streams.0.max_age_s: it should be a finite number",
        ),
        (
            '[[tool.testbay.nats.streams]]\nname = "A"\nsubjects = []',
            "nats.streams.0.subjects: the list is empty",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named(service: Service, project: Path, keys: str, complaint: str) -> None:
    """The file, the key, what is wrong, and the nearest right name."""
    with pytest.raises(ManifestError) as refused:
        service(keys)

    file = project / "services/shop/pyproject.toml"
    assert str(refused.value) == f"{file}: {complaint}\n  do:       {EVERY_KEY}"


def test_a_misspelt_required_key_is_named_before_the_missing_one(tmp_path: Path) -> None:
    """`servce = …` is a typing error, not a manifest without a service."""
    (tmp_path / "testbay.toml").write_text('servce = "shop"\n', encoding="utf-8")

    with pytest.raises(ManifestError, match=r"unknown key 'servce' \(did you mean 'service'\?\)"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("name", ["Shop", "shop.1", "", "1shop", "../shop", "s" * 64])
def test_a_service_name_is_safe_in_paths_and_databases(tmp_path: Path, name: str) -> None:
    """It becomes part of folder and stack names."""
    (tmp_path / "testbay.toml").write_text(f'service = "{name}"\n', encoding="utf-8")

    with pytest.raises(ManifestError, match="service: write small letters, digits, - and _"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("name", ["a.b", "a b", "a*", ">", "a/b", ""])
def test_a_stream_name_is_one_token(service: Service, name: str) -> None:
    """It becomes part of an API subject."""
    with pytest.raises(ManifestError, match=r"nats\.streams\.0\.name: it should match pattern"):
        service(f'[[tool.testbay.nats.streams]]\nname = "{name}"\nsubjects = ["a"]')


@pytest.mark.parametrize("key", ["tests", "migrations", "source"])
def test_a_missing_folder_is_found_at_load(service: Service, project: Path, key: str) -> None:
    """Nothing starts before every path of the manifest exists."""
    with pytest.raises(ManifestError) as refused:
        service(f'{key} = "not/there"')

    folder = project / "services/shop"
    assert str(refused.value) == (
        f"{folder / 'pyproject.toml'}: {key} = 'not/there' does not exist\n"
        f"  why:      it is looked for in {folder}\n"
        f"  do:       create it or fix the path"
    )


@pytest.mark.parametrize("text", ["tool = 5", "tool = 'testbay'", "[tool.ruff]", ""])
def test_a_pyproject_without_our_table_is_no_manifest(tmp_path: Path, text: str) -> None:
    """Whatever else it holds."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        load_manifest(tmp_path)

    assert str(refused.value) == (
        f"{tmp_path} has no manifest\n"
        "  do:       add [tool.testbay] to its pyproject.toml, or a testbay.toml (`testbay explain add-a-service`)"
    )


@pytest.mark.parametrize("text", ["[[tool.testbay]]", "[tool]\ntestbay = 5", "[tool.testbay]\nroot = '/'"])
def test_our_table_is_a_table_of_known_keys(tmp_path: Path, text: str) -> None:
    """`file` and `root` are what we know already, not keys."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match=r"\[tool\.testbay\] is not a table of known keys"):
        load_manifest(tmp_path)


def test_the_source_is_src_unless_named(service: Service, project: Path) -> None:
    """What coverage measures: `source`, else src/ with Python in it, else the folder."""
    folder = project / "services/shop"
    (folder / "src/lib").mkdir(parents=True)
    bare = service().source_dir
    (folder / "src/lib/cart.py").touch()
    usual = service().source_dir

    assert (bare, usual, service('source = "src/lib"').source_dir) == (folder, folder / "src", folder / "src/lib")
    assert service().tests_dir == folder / "tests/integration"


def test_without_a_folder_for_tests_pytest_looks_for_them(tmp_path: Path) -> None:
    """In a small project a test may lie beside the program; who runs a command alone may have none at all."""
    (tmp_path / "testbay.toml").write_text('service = "shop"\nneeds = []\n', encoding="utf-8")

    assert load_manifest(tmp_path).tests_dir is None


def test_the_project_is_found_from_any_folder_in_it(service: Service, project: Path) -> None:
    """The nearest folder upwards with the compose file or services/."""
    inner = service().tests_dir or project

    assert [find_project(folder) for folder in (inner, project)] == [project, project]


@pytest.mark.parametrize("mark", [".git", "testbay.toml"])
def test_without_a_compose_file_the_repository_or_the_service_is_the_project(tmp_path: Path, mark: str) -> None:
    """A single service may name a compose file of its own."""
    (tmp_path / "src").mkdir()
    (tmp_path / mark).touch()

    assert find_project(tmp_path / "src") == tmp_path


@pytest.mark.parametrize(
    ("present", "taken"),
    [
        (["docker-compose.yml"], "docker-compose.yml"),
        (["backend/docker-compose.yml"], "backend/docker-compose.yml"),
        (["docker-compose.yml", "backend/compose.yaml"], "backend/compose.yaml"),
        (["compose.test.yaml", "compose.yaml", "backend/compose.yaml"], "compose.test.yaml"),
    ],
)
def test_the_compose_file_is_the_same_from_every_folder(tmp_path: Path, present: list[str], taken: str) -> None:
    """That of a service in a folder of a larger repository may stand beside its manifest, or above."""
    backend = tmp_path / "backend"
    backend.mkdir()
    (tmp_path / ".git").mkdir()
    (backend / "testbay.toml").write_text('service = "shop"\n', encoding="utf-8")
    for name in present:
        (tmp_path / name).touch()
    manifest = load_manifest(backend)

    found = [compose_files(manifest, place, {}) for place in (tmp_path, find_project(backend))]

    assert found == [[tmp_path / taken]] * 2


def test_outside_of_a_project_the_error_says_what_makes_one() -> None:
    """The root of the file system is no project."""
    with pytest.raises(ManifestError) as refused:
        find_project(Path("/proc/self"))

    assert str(refused.value) == (
        "/proc/self is in no project\n"
        "  why:      no docker-compose.test.yml, services/ or manifest here or above\n"
        "  do:       go to your project's folder, or `testbay init` here (`testbay explain getting-started`)"
    )


def test_services_are_found_by_their_manifests(service: Service, project: Path) -> None:
    """Folders without one are no services; the project itself may be one."""
    service()
    service(name="billing")
    (project / "services/notes").mkdir()
    (project / "testbay.toml").write_text('service = "whole"\n', encoding="utf-8")

    assert service_folders(project) == {
        "whole": project,
        "billing": project / "services/billing",
        "shop": project / "services/shop",
    }


def test_redis_and_valkey_are_names_of_one_dependency(service: Service) -> None:
    """In `needs`, `ports` and `[services]`."""
    made = service('needs = ["redis", "valkey"]\nports = { redis = 6379 }\nservices = { valkey = "cache" }')

    assert (made.needs, made.ports, made.services) == (["dragonfly"], {"dragonfly": 6379}, {"dragonfly": "cache"})


def test_a_template_of_a_pyproject_is_no_manifest(service: Service, project: Path) -> None:
    """It only looks like TOML, and says nothing of testbay."""
    template = project / "template/{{name}}/pyproject.toml"
    template.parent.mkdir(parents=True)
    template.write_text("{% if a %}\n[project]\n{% endif %}\n", encoding="utf-8")

    made = service()

    assert find_service("shop", project) == made


def test_a_package_called_services_is_no_folder_of_services(tmp_path: Path) -> None:
    """Within a program it leads to no other project than the program's own."""
    package = tmp_path / "shop/services/__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    (tmp_path / "testbay.toml").write_text('service = "shop"\n', encoding="utf-8")

    assert find_project(tmp_path / "shop") == tmp_path


def test_the_only_service_needs_no_name(service: Service, project: Path) -> None:
    """`testbay run` in a project with one service."""
    only = service()

    assert find_service(None, project) == only == find_service("shop", project)


def test_two_services_with_one_name_are_refused(service: Service, project: Path) -> None:
    """Neither is silently left out."""
    service()
    (project / "testbay.toml").write_text('service = "shop"\n', encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        find_service("shop", project)

    assert str(refused.value) == (
        f"two services are called shop\n  why:      {project} and {project / 'services/shop'}\n"
        "  do:       rename one of them"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("shp", "unknown service 'shp' (did you mean 'shop'?)"),
        ("zzz", "unknown service 'zzz'"),
        (None, "which service?"),
    ],
)
def test_an_unknown_service_is_answered_with_the_known(
    service: Service, project: Path, name: str | None, what: str
) -> None:
    """The nearest name, and all of them."""
    service()
    service(name="billing")

    with pytest.raises(ManifestError) as refused:
        find_service(name, project)

    assert str(refused.value) == (
        f"{what}\n  why:      services of {project}: billing, shop\n  do:       name one of them"
    )


def test_a_project_without_services_says_what_one_is(project: Path) -> None:
    """An empty list would leave the reader alone."""
    with pytest.raises(ManifestError) as refused:
        find_service("shop", project)

    assert refused.value.what == f"{project} has no manifest"
    assert refused.value.todo == "`testbay init`, in the folder of the program, writes one from the program's own files"


def test_a_manifest_cannot_be_changed(service: Service) -> None:
    """What was read is what every step of a run sees."""
    read: Any = service()

    with pytest.raises(ValueError, match="frozen"):
        read.service = "other"

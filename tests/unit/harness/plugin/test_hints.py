"""What leads from an error to its remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbay.harness.plugin import hints

PORTS = "`ports = {{ {0} = {1} }}` in the manifest has `testbay run` put it there; or let the suite read {2}"
REFUSED = [
    (OSError("Error 111 connecting to localhost:6379. Connection refused."), ("redis", 6379, "REDIS_URL")),
    (
        OSError('connection to server at "127.0.0.1", port 5432 failed: Connection refused'),
        ("postgres", 5432, "DATABASE_URL"),
    ),
    (ConnectionRefusedError("[Errno 111] Connect call failed ('127.0.0.1', 4222)"), ("nats", 4222, "NATS_URL")),
]


@pytest.mark.parametrize(("error", "asked"), REFUSED)
def test_suite_that_expects_a_server_on_its_usual_port(
    error: OSError, asked: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told how to have it there, unless that is where it is; with plain pytest, what starts the servers."""
    for name in (asked[2], "TESTBAY_RUN_DIR", "TESTBAY_STACK"):
        monkeypatch.delenv(name, raising=False)
    plain = hints.hint(error)
    monkeypatch.setenv("TESTBAY_RUN_DIR", "/run")
    told = hints.hint(error)
    monkeypatch.setenv(asked[2], f"x://localhost:{asked[1]}/0")

    assert plain.endswith('call `testbay run`, or `eval "$(testbay up --keep)"` before pytest')
    assert told.endswith(PORTS.format(*asked))
    assert hints.hint(error) == ""


def test_module_of_the_folder_that_plain_pytest_does_not_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`testbay run` finds it; a module that is nowhere is another matter."""
    (tmp_path / "shop.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    told = [hints.hint(ModuleNotFoundError(name=name)) for name in ("shop.cart", "shelf")]

    advice = (
        "testbay: shop is in this folder. `testbay run` and `python -m pytest` look there; "
        'so does plain pytest with `pythonpath = ["."]` in its settings'
    )
    assert told == [advice, ""]


def test_errors_that_cannot_be_read_have_no_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test has removed its working folder, or its error fails to give its own words: pytest goes on."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert [hints.hint(error) for error in (MuteError(), ModuleNotFoundError(name="shop"))] == ["", ""]
    assert hints.hint_of_workers(MuteError(), 2, []) == ""


def test_manifests_are_read_with_real_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixtures of a failed test still hold while its error is explained, and with them its fakes."""
    seen = []

    def variables() -> set[str]:
        seen.append(Path.cwd())
        return set()

    real = Path.cwd()
    monkeypatch.setattr(os, "getcwd", lambda: "/faked")
    hints.Hints(variables).note(KeyError("SHOP_URL"))

    assert (seen, Path.cwd()) == ([real], Path("/faked"))


def test_other_refusals_are_the_suites_own() -> None:
    """A port of the project's, or of another machine."""
    errors = [OSError("localhost:8000: Connection refused"), OSError("Error 111 connecting to redis:6379. refused")]

    assert [hints.hint(error) for error in errors] == ["", ""]


def test_suite_that_wants_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It patches the name in its conftest; the compose file makes that one."""
    monkeypatch.setenv("POSTGRES_DB", "shop")

    assert hints.hint(RuntimeError('database "test_shop" does not exist')) == (
        "testbay: the suite wants the database test_shop, and the run's own is shop. In the compose file, "
        "`POSTGRES_DB: test_shop` makes that the run's own; a script in /docker-entrypoint-initdb.d makes another"
    )


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "db"),
        ('could not translate host name "testdb" to address: Temporary failure in name resolution', "testdb"),
        ("Error -2 connecting to redis:6379. Name or service not known.", "redis"),
        ("failed to resolve host 'db.example.com': [Errno -2] Name or service not known", ""),
    ],
)
def test_suite_that_names_the_host_of_a_container(said: str, host: str) -> None:
    """Only the network of the compose file knows it; a host with a domain is the suite's own matter."""
    begin = f"testbay: only containers of the compose file know the host {host}. "

    assert hints.hint(OSError(said)).startswith(begin) == bool(host)


def test_suite_that_creates_its_database_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to have another name than the run's; any other database is its own matter."""
    monkeypatch.setenv("POSTGRES_DB", "shop")
    told, other = (hints.hint(RuntimeError(f'database "{name}" already exists')) for name in ("shop", "shop_2"))

    assert other == ""
    assert told == (
        "testbay: the suite creates its database itself, and is led to the run's own, shop. In `env` of the "
        "manifest name another: '…{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/NAME'"
    )


class DockerException(Exception):  # noqa: N818 - docker-py's name
    """docker-py's own, by name and message."""


@pytest.mark.parametrize(
    "error",
    [
        DockerException("Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No')"),
        Exception(
            'Command docker compose up --wait returned 1: """Cannot connect to the Docker daemon at unix:///x"""'
        ),
    ],
    ids=["testcontainers", "pytest-docker"],
)
def test_suite_that_starts_containers_where_no_docker_is(error: Exception) -> None:
    """It is told that testbay's servers stand in for them."""
    assert hints.hint(error) == (
        "testbay: the suite starts containers, and no Docker engine answers. testbay's servers need none: have "
        "the fixture return DATABASE_URL, REDIS_URL or NATS_URL of the environment instead"
    )


class AppRegistryNotReady(Exception):  # noqa: N818 - Django's name
    """Django's own, by name and message."""


class ImproperlyConfigured(Exception):  # noqa: N818 - Django's name
    """Django's own, by name and message."""


@pytest.mark.parametrize(
    "error",
    [
        AppRegistryNotReady("Apps aren't loaded yet."),
        ImproperlyConfigured("Requested setting INSTALLED_APPS, but settings are not configured. You must either"),
    ],
)
def test_django_without_its_plugin(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest alone does not set Django up; where the plugin is installed, the error has another cause."""
    monkeypatch.setattr(hints, "find_spec", lambda _: None)
    told = hints.hint(error)
    monkeypatch.setattr(hints, "find_spec", lambda name: name)

    assert told == "testbay: pytest-django sets Django up before the tests are imported, and is not installed here"
    assert hints.hint(error) == ""


UNSET = {
    "key": KeyError("DATABASE_URL"),
    "pydantic": ValueError("1 validation error for Settings\ndatabase_url\n  Field required [type=missing]"),
    "environs": ValueError('Environment variable "DATABASE_URL" not set'),
    "decouple": ValueError("DATABASE_URL not found. Declare it as envvar or define a default value."),
    "sqlalchemy": TypeError("Expected string or URL object, got None"),
    "psycopg": OSError('connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file'),
}


@pytest.mark.parametrize("error", UNSET.values(), ids=UNSET)
def test_address_that_only_a_run_or_a_lease_sets(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a suite's settings say that they have none; where it is set, the error has another cause."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    told = hints.hint(error)
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/shop")

    assert told.startswith("testbay: DATABASE_URL is set for the whole run by `testbay run`; with plain pytest only")
    assert told.endswith('call `testbay run`, or `eval "$(testbay up --keep)"` before pytest')
    assert hints.hint(error) == ""


@pytest.mark.parametrize(("name", "kind"), [("PGHOST", "PG"), ("DB_NAME", "DB"), ("REDIS_PORT", "REDIS")])
def test_names_that_the_manifest_exports_when_asked(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that does it is named."""
    monkeypatch.delenv(name, raising=False)

    assert hints.hint(KeyError(name)) == f'testbay: {name} is set where the manifest says `exports = ["{kind}"]`'


@pytest.mark.parametrize("name", ["bay", "postgres", "postgres_async", "postgres_asyncpg", "redis", "valkey", "nats"])
def test_fixture_of_one_test_in_a_wider_scope(name: str) -> None:
    """Each of ours leads to the lease of a wider scope."""
    said = f"ScopeMismatch: You tried to access the function scoped fixture {name} with a session scoped request object"

    assert hints.hint(RuntimeError(said)).startswith(
        f"testbay: `{name}` is one test's. For a wider scope override `bay`"
    )


@pytest.mark.parametrize(
    "said", [KeyError("ACME_DB"), ValueError("1 validation error for Settings\nacme_db\n  Field required")]
)
def test_variable_of_the_manifest_is_known_too(said: Exception) -> None:
    """Whatever a project calls it; outside of a project it is no business of ours."""
    other = KeyError("ACME_DB")
    hints.Hints(lambda: {"SHOP_DB", "ACME_DB"}).note(said)
    hints.Hints(lambda: None).note(other)

    assert said.__notes__[0].startswith(
        "testbay: ACME_DB is set for the whole run by `testbay run`; with plain pytest "
    )
    assert not hasattr(other, "__notes__")


@pytest.mark.parametrize(
    ("said", "workers", "fixtures", "is_told"),
    [
        ('relation "orders" does not exist', 2, [], True),
        ('(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint "users_pkey"', 2, [], True),
        ("deadlock detected\nDETAIL: Process 7 waits", 4, ["request"], True),
        ('relation "orders" does not exist', 1, [], False),
        ('relation "orders" does not exist', 2, ["postgres", "bay"], False),
        ('relation "orders" does not exist', 2, ["worker_id"], False),
        ("assert 3 == 4", 2, [], False),
    ],
)
def test_workers_that_share_a_database(said: str, workers: int, fixtures: list[str], *, is_told: bool) -> None:
    """An error that another worker's test can have caused says so, unless the test has a database of its own."""
    expected = (
        f"testbay: where the tests of {workers} workers share one database, one of another worker may have changed "
        "what this test found. `-n 0` tells; with the fixture `bay` a test has a database of its own"
    )

    assert hints.hint_of_workers(RuntimeError(said), workers, fixtures) == (expected if is_told else "")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (subprocess.CalledProcessError(1, ["docker", "compose", "up", "-d"]), "docker failed"),
        (subprocess.TimeoutExpired("docker-compose up", 60), "docker failed"),
        (FileNotFoundError(2, "No such file or directory", "docker-compose"), "there is no docker-compose"),
        (subprocess.CalledProcessError(1, ["make", "docker"]), ""),
        (subprocess.CalledProcessError(1, ["docker", "push", "shop"]), ""),
        (FileNotFoundError(2, "No such file or directory", "docker-files"), ""),
    ],
)
def test_suite_that_calls_docker(error: Exception, why: str) -> None:
    """It starts containers by the program; what that printed is not in the error."""
    assert hints.hint(error).startswith(f"testbay: the suite starts containers, and {why}. ") == bool(why)

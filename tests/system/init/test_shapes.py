"""`testbay init && testbay run` in projects of six shapes, each green without an edit."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY
from tests.system.fakes.own import Own
from tests.system.fakes.pages import files, write

SHAPES = REPOSITORY / "tests/samples/shapes"
# What the shapes are made of, beside what testbay and our own lock bring.
PACKAGES = (
    *("alembic", "asyncpg==0.31.0", "django==5.2.8", "editables", "fastapi", "flask", "greenlet", "hatchling", "httpx"),
    *("pydantic-settings", "pytest-django==4.11.1", "sqlalchemy", "uvicorn"),
)
MANIFESTS = {
    "fastapi_alembic": {
        "service": "orders_api",
        "needs": ["postgres"],
        "migrate": "alembic upgrade head",
        "tests": "tests",
        "start": "uvicorn orders.main:app --port {port}",
        "ready": "/healthz",
        "env": {
            "DATABASE_URL": "postgresql+asyncpg://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}"
            "/{postgres.db}",
            "SECRET_KEY": "change-me",
        },
    },
    "django": {
        "service": "django",
        "needs": ["postgres"],
        "migrate": "python manage.py migrate --noinput",
        "tests": ".",
        "start": "python manage.py runserver --noreload {port}",
        "ready": "/health/",
        "env": {
            "SECRET_KEY": "test",
            "DB_NAME": "{postgres.db}",
            "DB_USER": "{postgres.user}",
            "DB_PASSWORD": "{postgres.password}",
            "DB_HOST": "{postgres.host}",
            "DB_PORT": "{postgres.port}",
            "DJANGO_SETTINGS_MODULE": "shop.settings",
        },
    },
    "flask_sqlalchemy": {
        "service": "guestbook",
        "needs": ["postgres"],
        "migrations": "migrations",
        "tests": "tests",
        "start": "flask --app guestbook:create_app run --port {port}",
        "ready": "/health",
        "env": {
            "SQLALCHEMY_DATABASE_URI": "postgresql+psycopg://{postgres.user}:{postgres.password}@{postgres.host}"
            ":{postgres.port}/{postgres.db}"
        },
    },
    "redis_worker": {
        "service": "redis_worker",
        "needs": ["redis"],
        "tests": "tests",
        "env": {"REDIS_HOST": "{redis.host}", "REDIS_PORT": "{redis.port}"},
    },
    "nats_service": {"service": "echo_service", "needs": ["nats"], "tests": "tests"},
    "library": {"service": "pg_outbox", "needs": ["postgres"], "tests": "tests"},
}
PASSED = {"fastapi_alembic": 2, "django": 2, "flask_sqlalchemy": 2, "redis_worker": 2, "nats_service": 1, "library": 1}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment for all shapes, with testbay as a wheel."""
    root = tmp_path_factory.mktemp("environment")
    made = Own(root, root / "cache")
    made.install(root / "dist", *PACKAGES)
    return root / ".venv"


@pytest.fixture(params=MANIFESTS)
def own(request: pytest.FixtureRequest, tmp_path: Path, environment: Path) -> Iterator[Own]:
    """A project of that shape, as its team has it."""
    made = Own(tmp_path / str(request.param), tmp_path / "cache", environment)
    for name, text in files((SHAPES / f"{request.param}.md").read_text(encoding="utf-8")).items():
        write(made.project / name, text)
    if (made.project / "src").is_dir():
        assert made.type("pip install --no-build-isolation --no-deps -e .").code == 0
    yield made
    assert made.left() == []


@pytest.mark.timeout(600)  # two commands of eight seconds of CPU: minutes beside other suites
def test_project_is_green_without_an_edit(own: Own) -> None:
    """Two commands: the manifest says what the project's files say, and the tests run on real servers."""
    begun = own.type("testbay init")
    assert begun.code == 0, begun.out
    found = tomllib.loads((own.project / "testbay.toml").read_text(encoding="utf-8"))
    done = own.type("testbay run")

    assert found == MANIFESTS[own.name]
    assert done.code == 0, done.out
    assert [line for line in done.lines if f"Tests: {PASSED[own.name]} passed" in line], done.out

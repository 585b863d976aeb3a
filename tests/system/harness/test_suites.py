"""Suites of six kinds, by hand on a plain server and under `testbay run`: the same counts, test by test."""

import os
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import ENGINES, REPOSITORY
from tests.system.fakes.guest import COMPOSE
from tests.system.fakes.own import Own
from tests.system.fakes.pages import files, write
from tests.system.fakes.plain import Plain, migrate, plain_postgres

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("suites")]

SUITES = sorted((REPOSITORY / "tests/samples/suites").glob("*.md"))
# What they are made of, beside what testbay and our own lock bring.
PACKAGES = (
    *("alembic", "asyncpg==0.31.0", "django==5.2.8", "django-environ==0.14.0", "fastapi", "greenlet", "httpx"),
    *("pytest-asyncio==1.4.0", "pytest-django==4.11.1", "pytest-rerunfailures==16.7", "pytest-xdist", "sqlalchemy"),
)
WORDS = "passed|failed|errors?|skipped|xfailed|xpassed|rerun"
Facts = tuple[list[tuple[str, str, str]], dict[str, int]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment for all suites, with testbay as a wheel."""
    root = tmp_path_factory.mktemp("environment")
    Own(root, root / "cache").install(root / "dist", *PACKAGES)
    return root / ".venv"


@pytest.fixture(scope="module")
def server() -> Iterator[Plain]:
    with plain_postgres() as started:
        yield started


@pytest.fixture(params=SUITES, ids=lambda file: file.stem)
def own(request: pytest.FixtureRequest, tmp_path: Path, environment: Path) -> Iterator[Own]:
    """A suite, as its team has it."""
    made = Own(tmp_path / request.param.stem, tmp_path / "cache", environment)
    for name, text in files(request.param.read_text(encoding="utf-8")).items():
        write(made.project / name, text)
    write(made.project / "docker-compose.test.yml", COMPOSE.replace("image: postgres:18", f"image: {IMAGE}"))
    yield made
    assert made.left() == []


IMAGE = os.environ.get("POSTGRES_IMAGE", "postgres:18")


def outcomes(junit: Path) -> list[tuple[str, str, str]]:
    """Each case of a JUnit file with what became of it."""
    told = ("failure", "error", "skipped")
    return sorted(
        (str(case.get("classname")), str(case.get("name")), next((c.tag for c in case if c.tag in told), "passed"))
        for case in ET.parse(junit).iter("testcase")
    )


def counts(out: str) -> dict[str, int]:
    """The numbers of pytest's last line."""
    line = [line for line in out.splitlines() if re.search(rf"\d+ ({WORDS})\b.* in \d", line) and "Tests:" not in line]
    return {word: int(number) for number, word in re.findall(rf"(\d+) ({WORDS})\b", line[-1])}


def services(own: Own) -> dict[str, Path]:
    """Each service of a suite with its folder."""
    found = (file.parent for file in sorted(own.project.rglob("testbay.toml")))
    return {tomllib.loads((folder / "testbay.toml").read_text())["service"]: folder for folder in found}


def by_hand(own: Own, server: Plain) -> Facts:
    """Migrate and call pytest as the team does: once, at the root."""
    url = server.fresh()
    environ = own.environ | {"DATABASE_URL": url}
    for folder in services(own).values():
        manifest = tomllib.loads((folder / "testbay.toml").read_text())
        migrate(url, folder, manifest.get("migrations") or manifest["migrate"], server, environ)
    argv = ["pytest", "-p", "no:cacheprovider", "-p", "no:testbay", "--junitxml=hand.xml"]
    done = subprocess.run(argv, cwd=own.project, env=environ, capture_output=True, text=True, check=False)
    assert (own.project / "hand.xml").exists(), done.stdout
    return outcomes(own.project / "hand.xml"), counts(done.stdout)


def under_testbay(own: Own) -> Facts:
    """`testbay run` of each service."""
    found: list[tuple[str, str, str]] = []
    total: dict[str, int] = {}
    for name in services(own):
        done = own.type(f"testbay run {name}")
        found += outcomes(max((own.project / ".testbay/runs").iterdir()) / "junit.xml")
        total = {word: total.get(word, 0) + counts(done.out).get(word, 0) for word in {*total, *counts(done.out)}}
    return sorted(found), total


@pytest.mark.parametrize("engine", ENGINES)
def test_counts_are_those_of_a_run_by_hand(own: Own, server: Plain, engine: str) -> None:
    """Each test comes to the same."""
    hand = by_hand(own, server)
    own.use(engine)

    assert under_testbay(own) == hand
    assert len(hand[0]) > 5


@pytest.mark.parametrize("own", [file for file in SUITES if file.stem == "workspace"], indirect=True)
def test_pytest_at_the_root_of_a_workspace(own: Own, server: Plain) -> None:
    """Each package has the stack of its own manifest."""
    hand = by_hand(own, server)
    own.use("embedded")

    done = own.type("pytest -p no:cacheprovider --junitxml=root.xml")

    assert (outcomes(own.project / "root.xml"), counts(done.out)) == hand, done.out

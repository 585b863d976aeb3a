"""testbay in an environment of its own, as `uv tool install testbay` makes it, beside a project's environment."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.own import UV
from tests.system.fakes.pages import write

TESTS = """
import os
import sys

import iniconfig  # pytest brings it
import pytest


def test_this_is_the_projects_python():
    assert sys.prefix == os.environ["PROJECT"]
    with pytest.raises(ImportError):
        import pydantic  # of testbay's environment


def test_the_database_is_there():
    assert os.environ["DATABASE_URL"].startswith("postgresql://")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's environment with pytest alone."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    packages = ["pytest", "pytest-cov==7.0.0"]
    subprocess.run([UV, "pip", "install", "--quiet", "--python", folder / "bin/python", *packages], check=True)
    return folder


@pytest.fixture
def bay(tmp_path: Path, environment: Path) -> Iterator[Bay]:
    """A project that knows nothing of testbay but its manifest."""
    made = Bay(tmp_path / "shop", tmp_path / "cache")
    write(made.project / "testbay.toml", 'service = "shop"\nneeds = ["postgres"]\ntests = "tests"\n')
    write(
        made.project / "docker-compose.test.yml",
        "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: x}}}\n",
    )
    write(made.project / "tests/test_shop.py", TESTS)
    made.environ |= {"PROJECT": str(environment), "VIRTUAL_ENV": str(environment)}
    yield made
    assert made.left() == []


def test_the_active_environment_runs_the_tests(bay: Bay, environment: Path) -> None:
    """With record, JUnit and coverage; what it lacks is said."""
    done = bay.run("run")
    record = json.loads(bay.run_json())
    [run] = (bay.project / ".testbay/runs").iterdir()

    assert done.code == 0, done.out
    assert f"    Python: {environment}/bin/python (VIRTUAL_ENV)" in done.lines
    assert "    note: no limit for a test that hangs: pytest-timeout is not installed there" in done.lines
    assert [test["id"] for test in record["tests"]] == [
        "tests/test_shop.py::test_this_is_the_projects_python",
        "tests/test_shop.py::test_the_database_is_there",
    ]
    assert {file.name for file in run.iterdir()} >= {"junit.xml", "coverage.xml", "report.html"}


@pytest.mark.parametrize("named", ["", "/bin/python"])
def test_the_manifest_names_the_python(bay: Bay, environment: Path, named: str) -> None:
    """A folder or a program; commands run with it, too."""
    del bay.environ["VIRTUAL_ENV"]
    manifest = bay.project / "testbay.toml"
    write(bay.project / "migrate.py", f"import sys\nassert sys.prefix == {str(environment)!r}\n")
    line = f'python = "{environment}{named}"\nmigrate = "python migrate.py"\n'
    manifest.write_text(manifest.read_text() + line)

    done = bay.run("run")

    assert done.code == 0, done.out
    assert f"    Python: {environment}/bin/python (python in testbay.toml)" in done.lines


def test_a_python_that_is_none_is_refused(bay: Bay) -> None:
    """Before anything starts."""
    manifest = bay.project / "testbay.toml"
    manifest.write_text(manifest.read_text() + 'python = ".venv"\n')

    done = bay.run("run")

    assert done.code == 10
    assert done.lines[:3] == [
        f"error: {manifest}: python = '.venv' is not a Python program",
        f"  why:      {bay.project}/.venv is not there, or cannot be executed",
        "  do:       name an interpreter or a virtual environment, as seen from the manifest's folder",
    ]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ('{"version": [3, 9, 2], "has": ["pytest"]}', "is Python 3.9.2"),
        ('{"version": [3, 13, 0], "has": []}', "has no pytest"),
        ("no", "does not start"),
    ],
)
def test_a_python_that_cannot_run_the_tests_is_refused(bay: Bay, answer: str, what: str) -> None:
    """Before its pytest is called, with what to do."""
    program = bay.project / "bin/python"
    write(program, f"#!/bin/sh\necho '{answer}'\n", executable=True)
    bay.environ["VIRTUAL_ENV"] = str(bay.project)

    done = bay.run("run")

    assert done.code == 11
    assert f"error: {program} (VIRTUAL_ENV) {what}" in done.lines

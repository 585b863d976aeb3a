"""`testbay init`: from an empty folder to a green test, and nothing that was there is changed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.pages import write


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    """A folder with nothing but a list of packages."""
    made = Bay(tmp_path / "tea shop", tmp_path / "cache")
    write(made.project / "requirements.txt", "psycopg\nredis\nnats-py\n")
    yield made
    assert made.left() == []


def snapshot(bay: Bay) -> dict[str, str]:
    """Every file of the project by its name."""
    return {str(f.relative_to(bay.project)): f.read_text() for f in bay.project.rglob("*") if f.is_file()}


def test_one_command_leads_to_a_green_test(bay: Bay) -> None:
    """Manifest, compose file and a first test for each server, written and run."""
    done = bay.run("init", "--check")

    assert done.code == 0, done.out
    assert "✅ Tests: 3 passed" in done.out
    assert {line for line in done.lines if line.startswith("wrote: ")} == {
        f"wrote: {bay.project}/{name}" for name in ("testbay.toml", "docker-compose.test.yml", "tests/test_servers.py")
    }


def test_nothing_is_overwritten(bay: Bay) -> None:
    """What is there stays, and a second call refuses."""
    mine = {"docker-compose.test.yml": "services: {db: {image: postgres}}\n", "tests/test_mine.py": "x = 1\n"}
    for name, text in mine.items():
        write(bay.project / name, text)
    first = bay.run("init")
    before = snapshot(bay)
    second = bay.run("init")

    assert (first.code, second.code) == (0, 10), first.out
    assert snapshot(bay) == before == before | mine
    assert second.lines == [
        f"error: {bay.project}/testbay.toml is there already: nothing was written",
        "  why:      `testbay init` overwrites nothing",
        "  do:       `testbay run` uses it; to change it, see `testbay explain reference/manifest`; or remove it first",
        "  more:     testbay explain 10",
    ]


def test_what_was_not_found_is_said(bay: Bay) -> None:
    """A person knows what is left to do."""
    write(bay.project / "shop.py", "import psycopg\n")
    write(bay.project / "requirements.txt", "psycopg\n")

    lines = [line for line in bay.run("init").lines if line.startswith("not found: ")]

    usual = "if it always looks at port 5432, `ports = { postgres = 5432 }` keeps the tests off a server of yours there"
    led = f"(`env`): testbay explain reference/commands; {usual}"
    assert lines == [
        "not found: migrations: the database starts without tables; `migrate` or `migrations` names what makes them",
        f"not found: a variable that leads the program to postgres {led}",
    ]


def test_a_folder_without_a_program_is_refused(bay: Bay) -> None:
    """Nothing is written there; a program that names no server is told so, and that it has no test."""
    (bay.project / "requirements.txt").unlink()
    refused = bay.run("init")
    write(bay.project / "shop.py", "x = 1\n")
    found = bay.run("init")

    assert refused.code == 10
    assert refused.lines[0] == f"error: {bay.project}: there is no program here: nothing was written"
    assert [line for line in found.lines if line.startswith("not found: ")] == [
        "not found: a server: neither a compose file nor a package names PostgreSQL, Redis or NATS (`needs`)",
        "not found: a test: no file is called test_*.py",
    ]


def test_a_folder_that_may_not_be_written_is_an_error(bay: Bay) -> None:
    """In a line: here a file stands in the place of a folder."""
    write(bay.project / ".github", "")

    done = bay.run("init", "--ci", "github")

    assert done.code == 10
    assert done.lines[-4:] == [
        f"error: {bay.project}/.github/workflows/testbay.yml cannot be written",
        "  why:      Not a directory",
        "  do:       see ls -ld on its folder, and df -h",
        "  more:     testbay explain 10",
    ]


def test_another_ci_is_refused(bay: Bay) -> None:
    """Before anything is written."""
    done = bay.run("init", "--ci", "jenkins")

    assert (done.code, done.lines[:2]) == (10, ["error: --ci: unknown 'jenkins'", "  do:       use one of: github"])
    assert snapshot(bay).keys() == {"requirements.txt"}


def test_the_workflow_is_for_this_project(bay: Bay) -> None:
    """Its packages, this Python, and a manifest that stays as it is; what CI will lack is said."""
    write(bay.project / "testbay.toml", 'service = "shop"\nneeds = ["postgres"]\n')
    write(
        bay.project / "docker-compose.yml", "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: $PW}}}"
    )
    write(bay.project / ".env", "PW=x\n")

    done = bay.run("init", "--ci", "github")
    text = (bay.project / ".github/workflows/testbay.yml").read_text()

    assert done.lines[0] == f"wrote: {bay.project}/.github/workflows/testbay.yml"
    assert done.lines[1].startswith(
        "not found in the repository: .env, from which docker-compose.yml takes PW: give the"
    )
    assert "run: python -m pip install -r requirements.txt 'testbay[embedded]" in text
    assert f'python-version: "{sys.version_info[0]}.{sys.version_info[1]}"\n' in text

"""The second half of docs/add-a-service.md: a project outside this repository, with testbay as a user installs it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.fakes.own import Own
from tests.system.fakes.pages import files, follow, page, write

PAGE = page("add-a-service.md").partition("\n## In a project of your own")[2].partition("\n## What else")[0]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    project = tmp_path / "shelf"
    made = Own(project, tmp_path / "cache")
    for name, text in files(PAGE).items():
        write(project / name, text)
    made.install(tmp_path / "dist")
    yield made
    assert made.left() == []


@pytest.mark.slow
@pytest.mark.timeout(600)  # 20 seconds of CPU: minutes beside other suites
def test_project_of_ones_own(own: Own) -> None:
    """Every command of the page works in a project that knows of testbay by a table, a compose file and a package."""
    [where] = own.type("python -c 'import testbay; print(testbay.__file__)'").lines

    follow(own.type, PAGE)

    assert Path(where).is_relative_to(own.project / ".venv/lib")


def test_project_of_ones_own_is_well_written(tmp_path: Path) -> None:
    """By ruff's own rules: it is not this repository's, and has no laws of the house."""
    for name, text in files(PAGE).items():
        write(tmp_path / name, text)
    ruff, plain = Path(sys.executable).with_name("ruff"), ["--isolated", "--no-cache", "--quiet", "--line-length=120"]

    for command in (["check", "--select=E,F,I,B,UP,D1"], ["format", "--check"]):
        subprocess.run([ruff, *command, *plain, "."], cwd=tmp_path, check=True)


def test_manifest_of_ones_own_is_short() -> None:
    """What testbay wants to know fits on ten lines."""
    table = files(PAGE)["pyproject.toml"].partition("[tool.testbay]\n")[2].splitlines()

    assert len(table) < 10
    assert [line for line in table if not re.match(r"\w+ = ", line)] == []

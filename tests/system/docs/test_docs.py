"""The pages' examples, run as a reader would type them: files, commands and edits are taken out of the pages."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY, Bay, Done
from tests.system.fakes.pages import files, follow, page, write

import testbay
from testbay import pytest_plugin
from testbay.harness.dependencies.postgres.programs import psql

CACHES = shutil.ignore_patterns("__pycache__", ".*_cache")


class Checkout(Bay):
    """This repository as a reader has it after scripts/bootstrap."""

    def __init__(self, root: Path, cache: Path) -> None:
        super().__init__(root, cache)
        for name in ("Makefile", "docker-compose.test.yml"):
            shutil.copy(REPOSITORY / name, root)
        for name in ("scripts", "services"):
            shutil.copytree(REPOSITORY / name, root / name, ignore=CACHES)
        shutil.copytree(Path(testbay.__file__).parent, root / "src/testbay", ignore=CACHES)
        write(root / "scripts/bootstrap", "#!/bin/sh\n", executable=True)
        programs = root / ".venv/bin"
        write(programs / "testbay", f'#!/bin/sh\nexec "{sys.executable}" -m testbay "$@"\n', executable=True)
        (programs / "python").symlink_to(sys.executable)
        path = [str(programs), str(Path(psql()).parent), os.environ["PATH"]]
        self.environ |= {"PATH": os.pathsep.join(path), "OPENAI_API_KEY": ""}

    def type(self, line: str, **environ: str) -> Done:
        """A command line at the shell's prompt; every service's code is importable, as bootstrap makes it."""
        sources = [str(self.project / "src"), *map(str, self.project.glob("services/*/src"))]
        return super().type(line, **environ, PYTHONPATH=os.pathsep.join(sources))


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    root = tmp_path / "a checkout"
    root.mkdir()
    made = Checkout(root, tmp_path / "cache")
    yield made
    assert made.left() == []


def greeter() -> str:
    """The first half of docs/add-a-service.md; the other one is in test_own_project.py."""
    return page("add-a-service.md").partition("\n## In a project of your own")[0]


@pytest.mark.slow
def test_getting_started_can_be_typed(checkout: Checkout) -> None:
    """From the first single test on, every command of the tutorial works and shows what the page shows."""
    follow(checkout.type, page("getting-started.md").partition("## 3.")[2])


def test_new_service_is_one_folder_and_no_yaml(checkout: Checkout) -> None:
    """The service of docs/add-a-service.md, built from the page, passes through tiers 2 and 3."""
    before = sorted(checkout.project.rglob("*.y*ml"))
    for name, text in files(greeter()).items():
        write(checkout.project / name, text)

    follow(checkout.type, greeter())

    assert sorted(checkout.project.rglob("*.y*ml")) == before
    assert [entry.name for entry in (checkout.project / "services").iterdir()].count("greeter") == 1


def test_new_service_can_be_installed(tmp_path: Path) -> None:
    """The example's pyproject.toml makes a package, which is how scripts/bootstrap brings it into .venv."""
    for name, text in files(greeter()).items():
        write(tmp_path / name, text)
    build = "import hatchling.build; print(hatchling.build.build_wheel('.'))"
    argv = [sys.executable, "-c", build]

    done = subprocess.run(argv, cwd=tmp_path / "services/greeter", capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "greeter-0.1.0-py3-none-any.whl\n"), done.stderr


@pytest.mark.parametrize("text", [greeter(), page("add-a-dependency.md")], ids=["service", "dependency"])
def test_examples_are_written_as_this_repository_is(checkout: Checkout, text: str) -> None:
    """Who copies an example does not fail `make lint` by it."""
    shutil.copy(REPOSITORY / "pyproject.toml", checkout.project)
    shown = {file: code for file, code in files(text).items() if file.endswith(".py")}
    for file, code in shown.items():
        write(checkout.project / file, code)
    ruff = Path(sys.executable).with_name("ruff")
    named = " ".join(shown)

    done = checkout.type(f'"{ruff}" check --no-cache -q {named} && "{ruff}" format --no-cache -q --check {named}')

    assert (done.code, done.out) == (0, "")


def test_an_example_for_every_fixture(bay: Bay) -> None:
    """The tests of README.md and of the reference pass, and none of them leaves anything open."""
    [first] = re.findall(r"(?ms)^```python\n(.*?)^```", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    bay.tests(first)
    for name, text in files(page("reference/plugin.md")).items():
        write(bay.service / name, text)
    start_on_files(bay)

    done = bay.run("run", "shop", "--", "--testbay-strict", "-n", "2", "--dist", "loadfile")

    assert (done.code, "✅ Tests: 9 passed" in done.out) == (0, True), done.out


def test_outages_of_the_page_on_faults(bay: Bay) -> None:
    """Its tests pass, one after the other and side by side."""
    for name, text in files(page("faults.md")).items():
        write(bay.service / name, text)
    start_on_files(bay)

    done = bay.run("run", "shop", "--", "--testbay-strict", "-n", "2", "-k", "test_outage")

    assert (done.code, "✅ Tests: 5 passed" in done.out) == (0, True), done.out


def test_examples_that_pytest_shows(bay: Bay) -> None:
    """What `pytest --fixtures` says of a fixture ends with lines that work."""
    tests = "import asyncio, contextlib, os, subprocess, pytest\n"
    for name in ("testbay", "bay", "postgres", "dragonfly", "nats", "service", "faults"):
        doc = inspect.getdoc(inspect.unwrap(getattr(pytest_plugin, name)._get_wrapped_function())) or ""
        example = textwrap.dedent(doc.partition("Example:\n")[2])
        assert example, name
        if example.startswith("async "):
            example = f"async def example():\n{textwrap.indent(example, '    ')}\nasyncio.run(example())"
        tests += f"def test_{name}({name}):\n{textwrap.indent(example, '    ')}\n"
    bay.tests(tests)
    start_on_files(bay)

    done = bay.run("run", "shop", "--", "--testbay-strict")

    assert (done.code, "✅ Tests: 7 passed" in done.out) == (0, True), done.out


def start_on_files(bay: Bay) -> None:
    """Let the project's service be something that answers /health."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(f'start = "python -m http.server {{port}}"\nready = "/health"\n{manifest.read_text()}')
    (bay.service / "health").write_text("well\n")


def test_files_of_a_run_are_those_the_reference_lists(bay: Bay) -> None:
    """A run's folder holds what the reference says, and nothing else."""
    section = page("reference/records.md").partition("## The record of a run")[2].partition("### ")[0]
    listed = re.findall(r"(?m)^\| `([\w./-]+)`", section)
    start_on_files(bay)
    bay.measure()
    manifest = bay.service / "testbay.toml"
    replay = '\n[replay]\nsecret = "KEY"\nstart = "python -m http.server {port}"\n'
    manifest.write_text(manifest.read_text(encoding="utf-8") + replay, encoding="utf-8")
    bay.tests(
        "def test_one(service, bay, testbay):\n    assert testbay.run(bay, 'true').code == 0\n\n"
        "def test_two(service):\n    pass\n"
    )

    done = bay.run("run", "shop", TESTBAY_WORKERS="2")
    assert done.code == 0, done.out

    folder = max((bay.project / ".testbay/runs").iterdir())
    kept = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    of_leases = re.compile(r"logs/(service|command)-lease")  # which of them, and how many, is up to the workers
    found, said = ({name for name in names if not of_leases.match(name)} for names in (kept, listed))
    assert found == said

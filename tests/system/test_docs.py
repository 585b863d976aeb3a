"""The pages' examples, run as a reader would type them: files, commands and edits are taken out of the pages."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY, Bay, Done

import testbay
from testbay.dependencies.postgres import psql_program

CACHES = shutil.ignore_patterns("__pycache__", ".*_cache")
FAKE_MEMCACHED = """#!/usr/bin/env python3
import socketserver, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print("memcached 1.6.0"))
class Client(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line.startswith(b"set "):
                self.rfile.readline()
            self.wfile.write(b"STORED\\r\\n" if line.startswith(b"set ") else b"VERSION 1.6.0\\r\\n")
address = sys.argv[sys.argv.index("-l") + 1], int(sys.argv[sys.argv.index("-p") + 1])
socketserver.ThreadingTCPServer(address, Client).serve_forever()
"""


def page(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def files(text: str) -> dict[str, str]:
    """The files a page shows in full: a path in backticks on its own line, then the block; an edit (diff) is none."""
    return dict(re.findall(r"(?ms)^`([\w./-]+)`\n\n```(?!diff)\w+\n(.*?)^```", text))


def sessions(text: str) -> list[tuple[str, list[str]]]:
    """The commands in a page's console blocks, each with the lines the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"(?ms)^```console\n(.*?)^```", text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line not in ("", "…"):
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    """Without what differs from run to run: numbers, ids, padding, and what runs how is said in brackets."""
    line = re.sub(r"-[0-9a-f]{6}\b", "-ID", line)
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)*", "N", re.sub(r"\(.*\)", "()", line))).strip()


def missing(shown: list[str], said: list[str]) -> list[str]:
    """The lines a page shows that a command did not say, in that order."""
    rest = iter([plain(line) for line in said])
    return [line for line in shown if plain(line) not in rest]


def write(file: Path, text: str, *, executable: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755 if executable else 0o644)


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
        path = [str(programs), str(Path(psql_program()).parent), os.environ["PATH"]]
        self.environ |= {"PATH": os.pathsep.join(path), "OPENAI_API_KEY": ""}

    def type(self, line: str) -> Done:
        """A command line at the shell's prompt; every service's code is importable, as bootstrap makes it."""
        sources = [str(self.project / "src"), *map(str, self.project.glob("services/*/src"))]
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.project,
            env=self.environ | {"PYTHONPATH": os.pathsep.join(sources)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    root = tmp_path / "a checkout"
    root.mkdir()
    made = Checkout(root, tmp_path / "cache")
    yield made
    assert made.left() == []


def follow(checkout: Checkout, text: str) -> None:
    """Type every command of a page; each succeeds and says what the page shows."""
    for command, shown in sessions(text):
        done = checkout.type(command)
        assert (command, done.code, missing(shown, done.lines)) == (command, 0, []), done.out


def test_getting_started_can_be_typed(checkout: Checkout) -> None:
    """From the first single test on, every command of the tutorial works and shows what the page shows."""
    follow(checkout, page("getting-started.md").partition("## 3.")[2])


def test_new_service_is_one_folder_and_no_yaml(checkout: Checkout) -> None:
    """The service of docs/add-a-service.md, built from the page, passes through tiers 2 and 3."""
    before = sorted(checkout.project.rglob("*.y*ml"))
    for name, text in files(page("add-a-service.md")).items():
        write(checkout.project / name, text)

    follow(checkout, page("add-a-service.md"))

    assert sorted(checkout.project.rglob("*.y*ml")) == before
    assert [entry.name for entry in (checkout.project / "services").iterdir()].count("greeter") == 1


def test_new_service_can_be_installed(tmp_path: Path) -> None:
    """The example's pyproject.toml makes a package, which is how scripts/bootstrap brings it into .venv."""
    for name, text in files(page("add-a-service.md")).items():
        write(tmp_path / name, text)
    build = "import hatchling.build; print(hatchling.build.build_wheel('.'))"
    argv = [sys.executable, "-c", build]

    done = subprocess.run(argv, cwd=tmp_path / "services/greeter", capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "greeter-0.1.0-py3-none-any.whl\n"), done.stderr


@pytest.mark.parametrize("name", ["add-a-service.md", "add-a-dependency.md"])
def test_examples_are_written_as_this_repository_is(checkout: Checkout, name: str) -> None:
    """Who copies an example does not fail `make lint` by it."""
    shutil.copy(REPOSITORY / "pyproject.toml", checkout.project)
    shown = {file: text for file, text in files(page(name)).items() if file.endswith(".py")}
    for file, text in shown.items():
        write(checkout.project / file, text)
    ruff = Path(sys.executable).with_name("ruff")
    named = " ".join(shown)

    done = checkout.type(f'"{ruff}" check --no-cache -q {named} && "{ruff}" format --no-cache -q --check {named}')

    assert (done.code, done.out) == (0, "")


def edit(checkout: Checkout, text: str) -> None:
    """Carry out a page's diff blocks: each line that goes is found once, and its replacement follows it."""
    for name, block in re.findall(r"(?ms)^`([\w./-]+)`\n\n```diff\n(.*?)^```", text):
        file = checkout.project / name
        changed = file.read_text(encoding="utf-8")
        for old, new in re.findall(r"(?m)^-(.*)\n\+(.*)$", block):
            assert changed.count(f"{old}\n") == 1, f"{name} has no such line: {old}"
            changed = changed.replace(f"{old}\n", f"{new}\n")
        file.write_text(changed, encoding="utf-8")


def test_new_dependency_is_one_file_and_its_rows(checkout: Checkout) -> None:
    """The room of docs/add-a-dependency.md, built from the page, is started, asked and handed to a command."""
    text = page("add-a-dependency.md")
    for name, content in files(text).items():
        write(checkout.project / name, content)
    edit(checkout, text)
    compose = checkout.project / "docker-compose.test.yml"
    compose.write_text(compose.read_text() + "\n  cache:\n    image: memcached:1.6\n")
    write(checkout.project / "services/notes/testbay.toml", 'service = "notes"\nneeds = ["memcached"]\n')
    (checkout.project / "services/notes/tests/integration").mkdir(parents=True)
    write(checkout.project / ".venv/bin/memcached", FAKE_MEMCACHED, executable=True)

    done = checkout.type("testbay exec notes -- printenv MEMCACHED_URL")

    assert done.code == 0, done.out
    assert re.search(r"Memcached 1\.6\.0 ready on port \d+ \(embedded, system\)", done.out)
    assert re.search(r"^localhost:\d+$", done.lines[-1])


def test_files_of_a_run_are_those_the_reference_lists(checkout: Checkout) -> None:
    """A run's folder holds what docs/reference.md says, and nothing else."""
    section = page("reference.md").partition("## The record of a run")[2].partition("### ")[0]
    listed = re.findall(r"(?m)^\| `([\w./]+)`", section)

    assert checkout.type("testbay run agent_executor -- -k test_health").code == 0

    folder = max((checkout.project / ".testbay/runs").iterdir())
    kept = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert kept == set(listed)

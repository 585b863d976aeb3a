"""Projects of strangers: a folder with the files that a test writes, and testbay as a guest in its suite."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.samples.guests import tool
from tests.system.conftest import WARM_PYTEST, Bay, Done, link_templates
from tests.system.fakes.pages import write

from testbay.fixtures import eventually

COMPOSE = """
services:
  db:
    image: postgres:18
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: app, POSTGRES_DB: app}
    ports: ["5432"]
  cache:
    image: redis:7
    ports: ["6379"]
"""
MANIFEST = 'service = "guest"\nneeds = ["postgres"]\ntests = "tests"\nmigrations = "migrations"\n'
MIGRATION = "CREATE TABLE items (id serial PRIMARY KEY, name text);\n"


class Guest(Bay):
    """A stranger's project. `write` adds or replaces files, `tools` are installed beside our environment."""

    def __init__(self, project: Path, cache: Path) -> None:
        super().__init__(project, cache)
        self.service, self.name = project, "guest"

    def write(self, files: dict[str, str]) -> None:
        """Write these files, by their paths in the project; an empty text removes one."""
        for name, text in files.items():
            if text:
                write(self.project / name, text)
            else:
                (self.project / name).unlink()

    def tools(self, *names: str) -> None:
        """Have packages of `tests.samples.guests` on the path."""
        self.environ["PYTHONPATH"] = ":".join(str(tool(name)) for name in names)

    @property
    def testbay(self) -> Path:
        """The program, as a stranger calls it: without the project's folder among Python's."""
        return Path(sys.executable).with_name("testbay")

    def start_pytest(self) -> "subprocess.Popen[bytes]":
        """Start plain pytest; what it says is lost."""
        nowhere = subprocess.DEVNULL
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        return subprocess.Popen(argv, cwd=self.project, env=self.environ, stdin=nowhere, stdout=nowhere, stderr=nowhere)

    def await_text(self, name: str, mark: str = "") -> str:
        """What stands in a file of the project once it is there, and `mark` in it."""
        file = self.project / name
        return eventually(
            lambda: text if file.exists() and mark in (text := file.read_text()) else "", f"{name} to be written", 60
        )

    def pytest(self, *arguments: str, **environ: str) -> Done:
        """Plain pytest, as the stranger calls it."""
        argv = ["-p", "no:cacheprovider", *arguments]
        done = WARM_PYTEST.run(argv, cwd=self.project, environ=self.environ | environ)
        return Done(done.returncode, done.stdout)


@contextlib.contextmanager
def visiting(folder: Path, files: dict[str, str]) -> Iterator[Guest]:
    """A small project with one migration, changed by `files`; nothing may be left of it afterwards."""
    made = Guest(folder / "guest", folder / "cache")
    unmeasured = MANIFEST + 'coverage = "off"\n'  # a fifth of a short run
    usual = {"docker-compose.test.yml": COMPOSE, "testbay.toml": unmeasured, "migrations/0001_items.sql": MIGRATION}
    made.write({name: text for name, text in (usual | files).items() if text})
    link_templates(made.cache)
    yield made
    assert made.left() == []

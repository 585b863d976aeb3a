"""The Python that runs a project's tests: testbay's own, or the project's if testbay has a separate environment."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import SubprocessError

from testbay import process
from testbay.errors import EngineUnavailableError, ManifestError
from testbay.manifest.environments import environment, installer, python_of, without_pytest
from testbay.manifest.service import Manifest

_OLDEST = (3, 11)  # what our plugin is written for
_ASK = """
import importlib.metadata, importlib.util, json, sys
names = [n for n in ("pytest", "pytest_cov", "pytest_timeout", "xdist") if importlib.util.find_spec(n)]
names += ["testbay" for found in importlib.metadata.distributions(name="testbay")][:1]
print(json.dumps({"version": sys.version_info[:3], "has": names}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python program.

    `said` is where it was named, empty for the one that runs testbay. `passed_over` is the project's own environment,
    which lacks pytest.
    """

    program: Path
    said: str = ""
    passed_over: Path | None = None

    @property
    def folder(self) -> str:
        """The folder of the interpreter and of its environment's programs."""
        return str(self.program.parent)

    @cached_property
    def packages(self) -> frozenset[str]:
        """List those of pytest, pytest_cov, pytest_timeout, xdist and testbay that are installed there.

        Raises:
            EngineUnavailableError: It does not start, or is too old.
        """
        try:
            asked = process.run([self.program, "-c", _ASK], cwd=self.folder, timeout_s=30)
            answer = json.loads(asked.out)
        except (OSError, SubprocessError, ValueError) as error:
            raise self._unusable("does not start", str(error), "name another one: python = …") from None
        if tuple(answer["version"]) < _OLDEST:
            version = ".".join(map(str, answer["version"]))
            todo = "testbay exec -- pytest runs the tests there, without testbay's record"
            raise self._unusable(f"is Python {version}", "testbay's plugin for pytest needs 3.11 or newer", todo)
        return frozenset(answer["has"])

    def check(self) -> None:
        """Refuse an interpreter that cannot run the tests.

        Raises:
            EngineUnavailableError: It does not start, is too old, or has no pytest.
        """
        if "pytest" not in self.packages:
            todo = f"{installer(self.program)} pytest pytest-cov"
            raise self._unusable("has no pytest", "the tests run in the project's own environment", todo)

    @property
    def plugin(self) -> str:
        """The name of our plugin for pytest's `-p`: pytest loads an installed testbay under that name anyway."""
        return "testbay" if not self.said or "testbay" in self.packages else "testbay.pytest_plugin"

    def lacks(self, module: str) -> bool:
        """Return whether a plugin of pytest is missing there; testbay's own environment has all of them."""
        return bool(self.said) and module not in self.packages

    def _unusable(self, what: str, why: str, todo: str) -> EngineUnavailableError:
        return EngineUnavailableError(f"{self.program} ({self.said}) {what}", why=why, todo=todo)


def choose(manifest: Manifest, environ: Mapping[str, str]) -> Interpreter:
    """Choose the manifest's `python`, else the active environment's, .venv/'s or venv/'s, else testbay's own.

    Raises:
        ManifestError: The manifest names none that is there.
    """
    if manifest.python:
        named = manifest.root / manifest.python
        program = python_of(named) if named.is_dir() else named
        if not program.is_file() or not os.access(program, os.X_OK):
            raise ManifestError(
                f"{manifest.file}: python = {manifest.python!r} is not a Python program",
                why=f"{program} is not there, or cannot be executed",
                todo="name an interpreter or a virtual environment, as seen from the manifest's folder",
            )
        return _unless_ours(program, f"python in {manifest.file.name}")
    if found := environment(manifest.root, environ):
        return _unless_ours(*found)
    return Interpreter(program=Path(sys.executable), passed_over=without_pytest(manifest.root))


def bridge(cache_dir: Path) -> str:
    """Make a folder for PYTHONPATH that offers our package and nothing else of our environment."""
    package = Path(__file__).parents[1]
    folder = cache_dir / "bridges" / hashlib.sha256(os.fsencode(package)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # each call makes the same link
        (folder / "testbay").symlink_to(package, target_is_directory=True)
    return str(folder)


def _unless_ours(program: Path, output: str) -> Interpreter:
    """The interpreter of a program; that of testbay's own environment is testbay's own."""
    if os.path.realpath(program.parent) == os.path.realpath(Path(sys.executable).parent):
        return Interpreter(program=Path(sys.executable))
    return Interpreter(program=program, said=output)

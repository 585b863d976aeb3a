"""The bugs of bench/fixes: a service with a fault as a clone, its log lines, and recorded answers of a model."""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[5]
BENCH = REPOSITORY / "bench" / "fixes"
KINDS = ("good", "lazy", "wrong", "cheating", "hostile")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "htmlcov")
_WHO = ["-c", "user.name=t", "-c", "user.email=t@t.invalid"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The rung that an answer reaches, and what its reason says."""

    rung: int
    says: str = ""
    wall_s: int = 2400  # of each run; generous, as a machine that does much else is slow


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One folder of bench/fixes/bugs."""

    name: str
    service: str
    category: str
    cause: str
    test: str
    answers: Mapping[str, Expected]

    @property
    def folder(self) -> Path:
        """Where its seed, its log lines and the answers are."""
        return BENCH / "bugs" / self.name

    @property
    def inside(self) -> str:
        """The folder of the service in its repository."""
        return "." if self.service == "shop" else f"services/{self.service}"

    def write_log(self, folder: Path) -> Path:
        """What the service logs, often enough, as a file."""
        log = folder / "service.log"
        log.write_text((self.folder / "log.txt").read_text(encoding="utf-8") * 3, encoding="utf-8")
        return log

    @property
    def settings(self) -> dict[str, str]:
        """What the monitor is told of the service."""
        return {
            "ERROR_MONITOR_FIX_SERVICE": self.service,
            "ERROR_MONITOR_FIX_FOLDER": self.inside,
            "ERROR_MONITOR_FIX_TESTS": "tests" if self.service == "shop" else "tests/integration",
            "ERROR_MONITOR_FIX_SCANS": "1",
        }


def bugs() -> list[Bug]:
    """All of them, in the order of their names."""
    return [_read(file) for file in sorted(BENCH.glob("bugs/*/bug.toml"))]


def _read(file: Path) -> Bug:
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    answers = {kind: Expected(**told.pop(kind)) for kind in KINDS}
    return Bug(name=file.parent.name, answers=answers, **told)


def clone(bug: Bug, folder: Path) -> str:
    """The service with the fault as a clone with one commit; its id."""
    if bug.service == "shop":
        shutil.copytree(BENCH / "shop", folder, ignore=_LEFT_OUT)
    else:
        shutil.copytree(REPOSITORY / bug.inside, folder / bug.inside, ignore=_LEFT_OUT)
        shutil.copy(REPOSITORY / "docker-compose.test.yml", folder)
    _git(folder, "init", "-q", "-b", "main")
    _apply(bug, folder, "seed")
    _git(folder, "add", "-A")
    _git(folder, *_WHO, "commit", "-q", "-m", "Base")
    return _git(folder, "rev-parse", "HEAD").strip()


def answer(bug: Bug, kind: str, folder: Path) -> dict[str, Any]:
    """What the model submits; the clone is afterwards as it was."""
    verbatim = bug.folder / f"{kind}.json"
    if verbatim.exists():
        found: dict[str, Any] = json.loads(verbatim.read_text(encoding="utf-8"))
        return found
    _apply(bug, folder, kind)
    changed = _git(folder, "diff", "--name-only").split()
    new = _git(folder, "ls-files", "--others", "--exclude-standard").split()
    files = {path: (folder / path).read_text(encoding="utf-8") for path in changed + new}
    _git(folder, "checkout", "-q", "--", ".")
    _git(folder, "clean", "-fdq")
    if not new:
        path = bug.test if bug.inside == "." else f"{bug.inside}/{bug.test}"
        files[path] = (bug.folder / "new_test.py").read_text(encoding="utf-8")
        new = [path]
    patch = [{"path": path, "content": content} for path, content in files.items() if path not in new]
    test = {"path": new[0], "content": files[new[0]]}
    return {"cause": bug.cause, "confidence": "high", "test": test, "patch": patch}


def _apply(bug: Bug, folder: Path, name: str) -> None:
    where = [] if bug.inside == "." else [f"--directory={bug.inside}"]
    _git(folder, "apply", *where, str(bug.folder / f"{name}.patch"))


def _git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), *words]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout

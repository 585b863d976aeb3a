"""Small workflow files, to see the stepper keep the runner's rules on."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stepper.runner import Event, Machine, Repository, Runner, WorkflowRun, head
from tests.stepper.workflow import load

COMMIT = "3d3c42e5aac5ba805825da76410c181273ba90b1"
Play = Callable[..., WorkflowRun]


def play(
    folder: Path, jobs: str, *, top: str = "permissions: {}", minute_s: float = 60, **repository: Any
) -> WorkflowRun:
    """Runs a workflow whose text is given from `jobs:` on; what is checked out has one file and two commits."""
    file = folder / "small.yml"
    file.write_text(f"on: push\n{top}\n{jobs}", encoding="utf-8")
    checkout = _repository(folder / "repository")
    machine = Machine(environ={"PATH": "/usr/bin:/bin"}, oidc=("http://127.0.0.1:1/", "bearer"), minute_s=minute_s)
    event = Event(sha=head(checkout), payload={"before": "0000"})
    return Runner(load(file), event, Repository(folder=checkout, **repository), machine, folder / "run").run()


def _repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("in git", encoding="utf-8")
    commit = ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "x"]
    for argv in (["init", "-q"], ["add", "."], commit, commit):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    return folder


def job(*steps: str, **keys: str) -> str:
    """A workflow with one job `a` of these steps, each a YAML flow mapping."""
    lines = [f"    {key.replace('_', '-')}: {value}\n" for key, value in {"runs_on": "x", **keys}.items()]
    return "jobs:\n  a:\n" + "".join(lines) + "    steps:\n" + "".join(f"      - {step}\n" for step in steps)


def uses(action: str, **inputs: str) -> str:
    """A step that uses an action."""
    listed = ", ".join(f"{key.replace('_', '-')}: '{value}'" for key, value in inputs.items())
    return f"{{uses: actions/{action}@{COMMIT}, with: {{{listed}}}}}"

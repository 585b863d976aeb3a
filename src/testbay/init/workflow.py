"""A workflow for GitHub Actions that runs `testbay run` on every push and pull request."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from testbay import process
from testbay.init import installing
from testbay.init.project import Project
from testbay.manifest.project import find_project, repository

KNOWN = ("github",)
_FOLDER = ".github/workflows"
_TEMPLATE = """\
# Made by `testbay init --ci github`: the integration tests, on real servers, for every push and pull request.
name: NAME

on:
  pull_request:
  push:
    branches: [BRANCH]
  workflow_dispatch:

permissions: {}

concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}

defaults:
  run:
    shell: bash # with -o pipefail
WHERE
jobs:
  integration:
    name: integration
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    permissions:
      contents: read # checkout
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - uses: actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0
        with:
          python-version: "PYTHON"
          cache: pip
          cache-dependency-path: |
CACHED
      - name: Install the project and testbay
        timeout-minutes: 10
        run: INSTALL
      - name: Run the integration tests
        timeout-minutes: 20 # below the job's: a step that times out fails, and its reports are still uploaded
        env:
          TESTBAY_ENGINE: compose # by name, so that nothing falls back; embedded needs no Docker
        run: testbay run # it also writes the job's summary
      - name: Keep JUnit, coverage and evidence
        if: ${{ !cancelled() }}
        timeout-minutes: 5
        uses: actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1
        with:
          name: testbay-runs
          path: RUNS
          include-hidden-files: true # files with a leading dot would be left out, silently
          if-no-files-found: error
          overwrite: true # when only this job is run again
          retention-days: 7
"""


def file(project: Project) -> Path:
    """Return the path of the workflow, in the only folder that GitHub looks into."""
    return repository(project.root) / _FOLDER / f"{'-'.join(['testbay', *_below(project).parts])}.yml"


def text(project: Project) -> str:
    """Compose the workflow, which installs the project's packages as its files name them."""
    below = _below(project)
    filled = {
        "NAME": _yaml(" ".join(["testbay", *below.parts])),
        "BRANCH": _branch(project),
        "WHERE": f"    working-directory: {_yaml(str(below))}\n" if below.parts else "",
        "PYTHON": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "CACHED": "\n".join(f"            {below / name}" for name in installing.lists(project) or ["testbay.toml"]),
        "INSTALL": installing.command(project),
        "RUNS": _yaml(f"{_runs(project)}/"),
    }
    return re.sub("|".join(filled), lambda match: filled[match[0]], _TEMPLATE)


def _below(project: Project) -> PurePosixPath:
    """Return the project's folder, relative to the repository's root."""
    return PurePosixPath(project.root.resolve().relative_to(repository(project.root)))


def _runs(project: Project) -> PurePosixPath:
    """Return the folder of the runs, relative to the repository's root; it is beside the compose file."""
    root, kept = repository(project.root), find_project(project.root).resolve()
    return PurePosixPath(kept.relative_to(root) if kept.is_relative_to(root) else ".") / ".testbay/runs"


def _yaml(text: str) -> str:
    """Format a YAML scalar, quoted if it holds special characters."""
    return text if re.fullmatch(r"[A-Za-z0-9._][\w ./-]*", text) else json.dumps(text)


def left_at_home(compose: Sequence[Path]) -> list[str]:
    """List the variables that compose files want, and that only a `.env` outside of the repository gives."""
    beside = Project(root=compose[0].parent)
    given = re.findall(r"(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=", beside.text(".env"))
    wanted = re.findall(r"\$(?:(\w+)|\{(\w+)(?:\}|:?\?))", "".join(beside.text(str(file)) for file in compose))
    names = [name for name in dict.fromkeys(given) if any(name in pair for pair in wanted)]
    is_kept = names and process.run(["git", "-C", beside.root, "ls-files", "--error-unmatch", ".env"]).code == 0
    return [] if is_kept else names


def _branch(project: Project) -> str:
    """Determine the default branch from the files of the checkout."""
    root = Project(root=repository(project.root))
    said = re.fullmatch(r"ref: refs/remotes/origin/([\w./-]+)\s*", root.text(".git/refs/remotes/origin/HEAD"))
    checked_out = re.fullmatch(r"ref: refs/heads/([\w.-]+)\s*", root.text(".git/HEAD"))  # feature/x is not one
    kept = next((name for name in ("main", "master") if f"refs/heads/{name}\n" in _refs(root)), "")
    return said[1] if said else kept or (checked_out[1] if checked_out else "main")


def _refs(root: Project) -> str:
    """List the branches of a checkout, one in each line."""
    heads = root.root / ".git/refs/heads"
    loose = "".join(f"refs/heads/{file.name}\n" for file in heads.glob("*") if file.is_file())
    return loose + root.text(".git/packed-refs")

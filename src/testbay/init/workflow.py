"""A workflow for GitHub Actions that runs `testbay run` on every push and pull request."""

import re
import shlex
import sys

from testbay.init.project import Project

KNOWN = ("github",)
FILE = ".github/workflows/testbay.yml"
_EXTRAS = ("test", "tests", "testing", "dev")
_TEMPLATE = """\
# Made by `testbay init --ci github`: the integration tests, on real servers, for every push and pull request.
name: testbay

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
          path: .testbay/runs/
          include-hidden-files: true # files with a leading dot would be left out, silently
          if-no-files-found: error
          overwrite: true # when only this job is run again
          retention-days: 7
"""


def text(project: Project) -> str:
    """The workflow; the project's own packages are installed as its files name them."""
    files = _lists(project)
    install = packages(project)
    filled = {
        "BRANCH": _branch(project),
        "PYTHON": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "CACHED": "\n".join(f"            {name}" for name in files or ["testbay.toml"]),
        "INSTALL": f"python -m pip install {install + ' ' if install else ''}{_quoted('testbay[embedded]')}",
    }
    return re.sub("|".join(filled), lambda match: filled[match[0]], _TEMPLATE)


def _lists(project: Project) -> list[str]:
    """The files that name the project's packages."""
    files = sorted(file.name for file in project.root.glob("requirements*.txt"))
    return files + (["pyproject.toml"] if project.pyproject.get("project") else [])


def packages(project: Project) -> str:
    """The arguments of pip for what the project itself needs, quoted for a shell."""
    files = _lists(project)
    words = [f"-r {shlex.quote(name)}" for name in files if name.endswith(".txt")]
    if "pyproject.toml" in files:
        extras = [name for name in _EXTRAS if name in project.table("project", "optional-dependencies")]
        words.append(f"-e {_quoted('.[' + ','.join(extras) + ']')}" if extras else "-e .")
    words += [f"--group {name}" for name in _EXTRAS if name in project.table("dependency-groups")]
    return " ".join(words)


def _branch(project: Project) -> str:
    """The default branch, as far as a checkout knows it."""
    head = project.text(".git/refs/remotes/origin/HEAD") or project.text(".git/HEAD")
    name = head.strip().rpartition("/")[2]
    return name if re.fullmatch(r"[\w.-]+", name) and head.startswith("ref:") else "main"


def _quoted(word: str) -> str:
    return f"'{word}'"

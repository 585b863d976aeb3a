"""A workflow for GitHub Actions that runs `testbay run` on every push and pull request."""

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from testbay import process
from testbay.init import imports, itself, tables
from testbay.init import packages as listed
from testbay.init.project import Project
from testbay.manifest.project import find_project, repository

KNOWN = ("github",)
_FOLDER = ".github/workflows"
_LOCKED = '"$RUNNER_TEMP/locked.txt"'
_LOCKS = {  # what writes the versions of a lock down as constraints, in an environment of its own
    "uv.lock": f"uv export --quiet --frozen --no-emit-workspace --no-hashes -o {_LOCKED}",
    "poetry.lock": "uvx --from poetry --with poetry-plugin-export poetry export --quiet --format constraints.txt "
    f"--without-hashes --all-groups --all-extras -o {_LOCKED}",
    "pdm.lock": f"uvx pdm export --quiet --no-hashes -o {_LOCKED}",
    "Pipfile.lock": f"uvx pipenv requirements --dev > {_LOCKED}",
}
_FOR_TESTS = ("test", "tests", "testing", "ci", "dev", "development", "local", "all", "base")
_NO_PACKAGE = (("uv", "package"), ("pdm", "distribution"), ("poetry", "package-mode"))  # each false: a program alone
# Folders in which setuptools looks for no package of a project without a build system.
_NO_PACKAGES = {
    *("ci", "bin", "doc", "docs", "documentation", "manpages", "news", "changelog", "test", "tests", "unit_test"),
    *("unit_tests", "example", "examples", "scripts", "tools", "util", "utils", "python", "build", "benchmark"),
    *("benchmarks", "exercise", "exercises", "htmlcov", "venv", "env", "node_modules", "dist"),
}
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
        "CACHED": "\n".join(f"            {below / name}" for name in _lists(project) or ["testbay.toml"]),
        "INSTALL": _install(project),
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


def _lists(project: Project) -> list[str]:
    """List the files that name the project's packages; of a folder `requirements/` only the one for tests."""
    files = sorted(file.name for file in project.root.glob("requirements*.txt"))
    inside = [
        f"requirements/{name}.txt" for name in _FOR_TESTS if (project.root / f"requirements/{name}.txt").is_file()
    ]
    return (files or inside[:1]) + (["pyproject.toml"] if project.pyproject.get("project") else [])


def _install(project: Project) -> str:
    """Compose the command that installs the project and testbay, in the versions of a lock if there is one.

    uv installs groups, and dependencies of a project that is not a package, which an old pip does not; of
    `tool.uv.sources` pip knows nothing, and would look for a package of the workspace on an index. Where one
    requirement has hashes, pip wants them of all, testbay's too.
    """
    groups = [f"--group {name}" for name in _groups(project)]
    extras = _extras(project)
    chosen = [f"--extra {name}" for name in extras]
    words = _requirements(project)
    is_program = bool(project.pyproject.get("project")) and not _is_package(project)
    if is_program:
        words += ["-r pyproject.toml", *chosen]
    elif is_built(project):
        words += [_editable(extras)]
    tool = "python -m pip install"
    if export := _export(project):
        locked = " ".join([export, *(chosen + groups if export.startswith("uv ") else [])])
        tool = f"{tool} uv && {locked} && uv pip install --system -c {_LOCKED}"
    elif is_program or groups or project.table("tool", "uv", "sources") or has_hashes(project):
        tool = f"{tool} uv && uv pip install --system"
    # Two places of one package cannot be installed: what the project says of testbay is the one.
    ours = [] if names_testbay(project) else [itself.requirement() or itself.TO_BE_FILLED_IN]
    return " ".join([tool, *words, *groups, *ours])


def _export(project: Project) -> str:
    """Return what writes the project's lock down as constraints; empty without one. uv's may be that of a workspace."""
    root = repository(project.root)
    folders = (folder for folder in (project.root, *project.root.parents) if folder.is_relative_to(root))
    is_uvs = bool(project.pyproject.get("project")) and any((folder / "uv.lock").is_file() for folder in folders)
    found = (file for file in _LOCKS if (is_uvs if file == "uv.lock" else (project.root / file).is_file()))
    return next((_LOCKS[file] for file in found), "")


def has_hashes(project: Project) -> bool:
    return any("--hash=" in project.text(name) for name in _lists(project))


def packages(project: Project) -> str:
    """Compose the arguments by which any version of pip installs the project's packages, quoted for a shell."""
    words = _requirements(project)
    if is_built(project):
        words += [_editable(_extras(project))]
    else:
        words += map(shlex.quote, _of_project(project))
    words += map(shlex.quote, _of_groups(project))
    return " ".join(dict.fromkeys(words))  # groups that include each other name a package twice


def names_testbay(project: Project) -> bool:
    """Return whether testbay is among the packages that are installed for the project."""
    lines = [line for name in _lists(project) if name.endswith(".txt") for line in project.text(name).splitlines()]
    named = [*lines, *tables.requirements(project, built=False), *_of_project(project), *_of_groups(project)]
    return any(re.match(r"testbay(?![\w.-])", text.strip()) for text in named)


def _of_project(project: Project) -> list[str]:
    extras = project.table("project", "optional-dependencies")
    lists = [
        project.table("project").get("dependencies"),
        *map(extras.get, _extras(project)),
    ]
    return [text for one in lists for text in _texts(one)]


def _of_groups(project: Project) -> list[str]:
    groups = project.table("dependency-groups")
    return [text for name in _groups(project) for text in _members(groups, name)]


def _requirements(project: Project) -> list[str]:
    files = [f"-r {shlex.quote(name)}" for name in _lists(project) if name.endswith(".txt")]
    return files + [shlex.quote(text) for text in tables.requirements(project, built=is_built(project))]


def _extras(project: Project) -> list[str]:
    """List the extras for tests, and those that alone name a package which the project imports."""
    chosen = [name for name in tables.GROUPS if name in listed.extra_names(project)]
    optional = project.table("project", "optional-dependencies")
    others = {name: listed.names(_texts(texts)) for name, texts in optional.items() if name not in chosen}
    known = {*listed.named(project, left_out=others), *imports.by_extras(project)} if others else set()
    for module in imports.imported(project) if others else ():
        bringing = [name for name in others if imports.is_brought(module, others[name])]
        if bringing and not imports.is_brought(module, known):
            chosen.append(min(bringing, key=lambda name: len(others[name])))
    return list(dict.fromkeys(chosen))


def _groups(project: Project) -> list[str]:
    return [name for name in tables.GROUPS if name in project.table("dependency-groups")]


def _editable(extras: list[str]) -> str:
    return f"-e '.[{','.join(extras)}]'" if extras else "-e ."


def _texts(found: Any) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _members(groups: dict[str, Any], name: str, seen: frozenset[str] = frozenset()) -> list[str]:
    """List the packages of a dependency group and of the groups that it includes."""
    listed = groups.get(name, []) if name not in seen else []
    inner = [one["include-group"] for one in listed if isinstance(one, dict) and "include-group" in one]
    return _texts(listed) + [text for other in inner for text in _members(groups, other, seen | {name})]


def is_built(project: Project) -> bool:
    """Return whether `pip install -e .` installs the project: by pyproject.toml, Poetry's tables, setup.py or .cfg."""
    if project.pyproject.get("project"):
        return _is_package(project)
    poetry = project.table("tool", "poetry")
    built = bool(poetry and project.table("build-system")) and poetry.get("package-mode") is not False
    by_cfg = project.ini("setup.cfg").has_section("options") and bool(project.table("build-system"))
    return built or by_cfg or (project.root / "setup.py").is_file()


def _is_package(project: Project) -> bool:
    """Return whether `pip install .` works: with a build system, or if setuptools finds exactly one package."""
    if any(project.table("tool", tool).get(key) is False for tool, key in _NO_PACKAGE):
        return False
    if project.table("build-system") or (project.root / "setup.py").is_file() or (project.root / "src").is_dir():
        return True
    inside = [path for path in project.root.iterdir() if path.name.isidentifier() and not path.name.startswith("_")]
    return len([path for path in inside if path.is_dir() and path.name not in _NO_PACKAGES]) == 1


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

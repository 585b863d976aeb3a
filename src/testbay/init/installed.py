"""The packages that the Python of the tests lacks, or has in another version than the project names."""

import json
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from subprocess import SubprocessError

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from testbay import process
from testbay.init import imports, installing, packages
from testbay.init.project import Project
from testbay.manifest.environments import environment, installer, is_of_a_tool, python_of, without_pytest

_ASK = """
import sys
sys.path = [entry for entry in sys.path if entry]  # not the project's own folder: asking runs none of its files
import importlib.util, json
names = json.loads(sys.argv[1])
print(json.dumps([name for name in names if importlib.util.find_spec(name) is None]))
"""
_ASK_VERSION = """
import sys
sys.path = [entry for entry in sys.path if entry]
from importlib import metadata
print(metadata.version(sys.argv[1]))
"""
_TOOLS = {  # by what only this tool reads: a file, or a table of pyproject.toml
    "uv.lock": "uv sync",
    "tool.uv.sources": "uv sync",
    "poetry.lock": "poetry install",
    "tool.poetry": "poetry install",
    "pdm.lock": "pdm install",
    "tool.pdm": "pdm install",
    "Pipfile": "pipenv install --dev",
    "tool.hatch.envs": "hatch env create",
}
_ELSEWHERE = ("poetry", "pipenv", "hatch")  # they keep a project's environment where only they find it
_SHOWN = 5
_NEW = "python3 -m venv .venv && .venv/bin/python -m pip install"
_CLIENTS = {"postgres": "psycopg", "dragonfly": "redis", "nats": "nats"}


def findings(project: Project, environ: Mapping[str, str], fixtures: Collection[str] = ()) -> list[str]:
    """List the missing packages and those of another version, as `init` says them."""
    said = [f"not installed: {text}" for text in absent(project, environ, fixtures)]
    return said + [f"another version: {text}" for text in changed(project, environ)]


def absent(project: Project, environ: Mapping[str, str], fixtures: Collection[str] = ()) -> list[str]:
    """List the missing packages, each with a command that installs them; empty if none is missing.

    `fixtures` are the servers whose fixtures the project's first test takes.
    """
    found = environment(project.root, environ)
    passed = without_pytest(project.root) if found is None else None
    python = found[0] if found else python_of(passed) if passed else Path(sys.executable)
    imported = imports.imported(project)
    names = sorted(imported)
    names += ["pytest_django"] if project.manage else []
    names += ["greenlet"] if any("create_async_engine(" in source.text for source in project.code) else []
    clients = [_CLIENTS[need] for need in fixtures if need in _CLIENTS]
    lacking = _lacking(python, [*names, *clients], project.root)
    if passed:
        said = [_without_pytest(project, passed, python, set(names) & lacking)]
    else:
        said = list(_of_imports(project, python, {name: imported[name] for name in imported if name in lacking}))
    return [*said, *_of_tools(python, lacking - set(imported), project)]


def changed(project: Project, environ: Mapping[str, str]) -> list[str]:
    """List the packages whose version is testbay's choice and not the project's, each with what to do."""
    ours = {canonicalize_name(one.name): one for one in map(Requirement, metadata.requires("testbay") or ())}
    found = environment(project.root, environ)
    python = found[0] if found else Path(sys.executable)
    said: dict[str, str] = {}
    for file, text in packages.requirements(project):
        try:
            wanted = Requirement(text)
        except InvalidRequirement:  # such as a place
            continue
        own = ours.get(canonicalize_name(wanted.name))
        if own is None or own.marker or not wanted.specifier or (wanted.marker and not wanted.marker.evaluate()):
            continue
        version = _version(python, wanted.name)
        if version and own.specifier.contains(version) and not wanted.specifier.contains(version):
            said[own.name] = (
                f"{own.name} {version} in {python}, but {file} wants {own.name}{wanted.specifier}: testbay needs "
                f"{own.name}{own.specifier}; where the project cannot have that, install its packages again, and "
                "testbay in an environment of its own (pipx or uv tool), whose `testbay run` uses the project's .venv"
            )
    return list(said.values())


def _version(python: Path, name: str) -> str:
    """Ask a Python which version of a package it has; empty if it has none or does not start."""
    try:
        return process.run([python, "-c", _ASK_VERSION, name], cwd=python.parent, timeout_s=30).out.strip()
    except (OSError, SubprocessError):
        return ""


def _lacking(python: Path, names: list[str], root: Path) -> set[str]:
    """Ask a Python which names it cannot import; empty if it does not start."""
    try:
        asked = process.run([python, "-c", _ASK, json.dumps(names)], cwd=root, timeout_s=30)
        return set(json.loads(asked.out))
    except (OSError, SubprocessError, ValueError):
        return set()


def _without_pytest(project: Project, folder: Path, python: Path, lacking: Collection[str]) -> str:
    """Describe a virtual environment of the project that lacks pytest, and maybe packages of the project."""
    named = sorted({*lacking} - {"pytest"})[:_SHOWN]
    others = f" and {', '.join(named)}" if named else ""
    words = [] if project.has("pytest") and lacking else ["pytest"]
    words += [] if project.has("pytest-cov") and lacking else ["pytest-cov"]
    alone = f"{installer(python)} {' '.join(words)}"
    command = _command(project, python, sorted(lacking)) if lacking else ""
    if command and words:
        command = f"{command} && {alone}" if _tool(project) else f"{command} {' '.join(words)}"
    command = command or alone
    return f"pytest{others} in {folder}, the project's environment: {command}"


def _of_imports(project: Project, python: Path, lacking: Mapping[str, str]) -> Iterator[str]:
    """Describe missing imports: with a command if a file of the project names the package, else with its place."""
    made = {name: file for name in lacking if (file := imports.definition(project, name))}
    unnamed = [name for name in lacking.keys() - made.keys() if project.packages and not _is_named(name, project)]
    named = sorted(lacking.keys() - made.keys() - set(unnamed))
    if named:
        more = " …" if len(named) > _SHOWN else ""
        yield f"{', '.join(named[:_SHOWN])}{more} in {python}: {_command(project, python, named)}"
    if unnamed:
        shown = ", ".join(f"{name} ({lacking[name]})" for name in sorted(unnamed)[:_SHOWN])
        brought = ", unless those bring it" if named else ""
        yield f"{shown} in {python}: imported, and no file of the project names a package like it{brought}"
    for name, file in sorted(made.items()):
        yield f"{name} ({lacking[name]}): protoc makes it of {file}: let it do so before the tests, or in conftest.py"


def _is_named(name: str, project: Project) -> bool:
    """Return whether a file of the project names a package like what is imported, or it is the project's own."""
    own = name in imports.below_src(project) and installing.is_built(project)
    return own or imports.is_brought(name, [*project.packages, *imports.by_extras(project)])


def _of_tools(python: Path, lacking: set[str], project: Project) -> Iterator[str]:
    """Describe missing packages that no source imports, but its tests need."""
    if "pytest_django" in lacking:
        named = _command(project, python, []) if project.has("pytest-django") else ""
        yield f"pytest_django in {python}: {named or f'{installer(python)} pytest-django'}"
    if "greenlet" in lacking:
        yield f"greenlet in {python}, which SQLAlchemy's asyncio needs: {installer(python)} greenlet"
    if clients := sorted(lacking - {"pytest_django", "greenlet"}):
        words = " ".join(shlex.quote(imports.package(name)) for name in clients)
        yield f"{', '.join(clients)} in {python}, for the fixtures of the first test: {installer(python)} {words}"


def _command(project: Project, python: Path, lacking: list[str]) -> str:
    """Compose the command that installs the project's packages, as its files name them."""
    if tool := _tool(project):
        runner = tool.partition(" ")[0]
        apart = runner in _ELSEWHERE and is_of_a_tool(python)
        return f"{tool} && {runner} run testbay run" if apart else tool
    named = installing.arguments(project)
    others = " ".join(shlex.quote(imports.package(name)) for name in lacking)
    begin = f"{_NEW} pytest pytest-cov" if is_of_a_tool(python) else installer(python)
    packages = [imports.package(name).lower().replace("_", "-") for name in lacking]
    of_tox = [name for name in packages if project.packages.get(name) == "tox.ini"]  # which pip does not read
    return " ".join([begin, named or others, *(map(shlex.quote, of_tox) if named else ())])


def _tool(project: Project) -> str:
    """Return the command of the tool that has the project's packages; empty where pip installs them."""
    marks = (m for m in _TOOLS if (project.root / m).is_file() or project.table(*m.split(".")))
    return next((_TOOLS[mark] for mark in marks), "")

"""The variables that a project's runner of tests sets for pytest: tox, nox, Hatch, pdm, Poe, CI, a Makefile."""

import ast
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

import yaml

from testbay.init import dotenv
from testbay.init.project import Project
from testbay.init.syntax import entries, keywords, last, text_of
from testbay.manifest.yamlloader import Loader

_ENVIRONMENTS = ("default", "hatch-test", "test", "tests")  # of Hatch
_ASSIGNED = re.compile(r"""(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)=["']?([^"'\n#]*)""")
_RUNS_TESTS = re.compile(r"\b(pytest|tox|nox|manage\.py test|(make|just|task|poe) test\w*|hatch (run )?test\w*)\b")

# Of a Makefile: `APP_ENV=test pytest`, and `export APP_ENV = test`.
_CALL = re.compile(
    r"(?m)^\t[@-]?((?:[A-Z][A-Z0-9_]*=\S+\s+)+)(?:[\w./-]+\s+)*?(?:python3?\s+-m\s+)?(?:pytest|py\.test)\b"
)
_EXPORT = re.compile(r"(?m)^export[ \t]+([A-Z][A-Z0-9_]*)[ \t]*[:?]{0,2}=[ \t]*([^#\n]*)")
_TESTS = re.compile(r"(?m)^\t.*\b(?:pytest|py\.test)\b")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_MADE = re.compile(r"[$`]|://")  # by the shell, by make; or an address of a server
_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "COVERAGE_FILE", "VIRTUAL_ENV", "PATH")
Given = tuple[str, list[tuple[str, str]]]  # a file, and the variables that it has for pytest


def for_tests(project: Project, read: Collection[str]) -> dict[str, tuple[str, str]]:
    """Map each variable to its value and its file; those made of other values, and testbay's own, are left out.

    Of what tox and the like set, only what the project reads is taken: the rest is for tools. A Makefile is nearest to
    who types a command, CI is farthest.
    """
    found: dict[str, tuple[str, str]] = {}
    wanted = {*read, "DJANGO_SETTINGS_MODULE"}
    for file, given in _given(project):
        if given and dotenv.is_private(project.root, file):
            continue
        plain = (pair for pair in given if pair[0] in wanted and _is_plain(*pair) and "{" not in pair[1])
        found |= {name: (value, file) for name, value in plain}
    for file, given in _of_env_files(project):
        if given and dotenv.is_private(project.root, file):
            continue
        found |= {name: (value, file) for name, value in given if _is_plain(name, value)}
    of_make = _of_makefile(project).items()
    return found | {name: (value, "Makefile") for name, value in of_make if _is_plain(name, value)}


def _is_plain(name: str, value: str) -> bool:
    """Return whether a variable has a value of its own, and is not one that testbay sets itself."""
    return bool(_NAME.fullmatch(name)) and name not in _OURS and not _MADE.search(value)


def values(project: Project) -> Iterator[str]:
    """Yield the values that the runners set, addresses of servers included."""
    yield from _of_makefile(project).values()
    yield from (value for _, given in _given(project) for _, value in given)


def _of_makefile(project: Project) -> dict[str, str]:
    """Read the variables that the Makefile has for its first call of pytest."""
    text = project.text("Makefile") or project.text("makefile")
    match = _CALL.search(text)
    try:
        words = shlex.split(match[1]) if match else []
    except ValueError:
        return {}
    exported = {name: value.strip() for name, value in _EXPORT.findall(text)} if _TESTS.search(text) else {}
    return exported | dict(word.split("=", 1) for word in words if "=" in word)


def _given(project: Project) -> Iterator[Given]:
    for runner in (_of_workflows, _of_tox, _of_nox, _of_hatch, _of_tasks, _of_env_files):
        yield from runner(project)


def _of_workflows(project: Project) -> Iterator[Given]:
    """Read `env` of the steps that run tests in GitHub's workflows; what has several values there is left out."""
    said: dict[str, tuple[str, set[str]]] = {}
    for file, whole, job in _jobs(project):
        for step in filter(_runs_tests, _steps(job)):
            tables = map(_pairs, (whole.get("env"), job.get("env"), step.get("env")))
            for name, value in dict(chain.from_iterable(tables)).items():
                said.setdefault(name, (file, set()))[1].add(value)
    yield from ((file, [(name, next(iter(values)))]) for name, (file, values) in said.items() if len(values) == 1)


def commands(project: Project) -> Iterator[tuple[str, str]]:
    """Yield the lines that jobs of GitHub's workflows with tests run in the project's root, each behind its file."""
    for file, _, job in _jobs(project):
        steps = [step for step in _steps(job) if "working-directory" not in step]
        for step in steps if any(map(_runs_tests, steps)) else ():
            yield from ((file, line) for line in str(step.get("run", "")).splitlines())


def images(project: Project) -> Iterator[str]:
    """Yield the images of the services beside the jobs of GitHub's workflows, as far as they name a version."""
    for _, _, job in _jobs(project):
        services = job.get("services")
        for service in filter(_is_table, services.values() if isinstance(services, dict) else ()):
            image = str(service.get("image", ""))
            if re.search(r":v?\d", image) and "$" not in image:
                yield image


def _jobs(project: Project) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield each job of GitHub's workflows, behind its file and the whole workflow."""
    for file in project.workflows:
        whole: Any = {}
        with suppress(yaml.YAMLError, RecursionError, ValueError):
            whole = yaml.load(project.text(file), Loader)  # noqa: S506 - it is a safe one
        jobs = whole.get("jobs") if isinstance(whole, dict) else None
        yield from ((file, whole, job) for job in (jobs.values() if isinstance(jobs, dict) else ()) if _is_table(job))


def _runs_tests(step: Mapping[str, Any]) -> bool:
    return bool(_RUNS_TESTS.search(str(step.get("run", ""))))


def _steps(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = job.get("steps")
    return list(filter(_is_table, steps if isinstance(steps, list) else ()))


def _is_table(found: Any) -> bool:
    return isinstance(found, dict)


def _of_tox(project: Project) -> Iterator[Given]:
    """Read `setenv` of tox; a line for some environments alone, `postgres: A = b`, is passed over."""
    for option in ("setenv", "set_env"):
        lines = project.ini("tox.ini").get("testenv", option, fallback="").splitlines()
        pairs = [line.partition("=") for line in lines]
        yield "tox.ini", [(name.strip(), value.strip()) for name, _, value in pairs]
    yield "pyproject.toml", _pairs(project.table("tool", "tox", "env_run_base", "set_env"))


def _of_nox(project: Project) -> Iterator[Given]:
    """Read `session.run("pytest", env={…})`."""
    for source in project.sources:
        for call in source.of(ast.Call) if str(source.path) == "noxfile.py" else ():
            table = keywords(call).get("env")
            if last(call.func) == "run" and "pytest" in map(text_of, call.args) and isinstance(table, ast.Dict):
                pairs = ((text_of(key), text_of(value)) for key, value in entries(table))
                yield "noxfile.py", [(name, value) for name, value in pairs if value]


def _of_hatch(project: Project) -> Iterator[Given]:
    for name in _ENVIRONMENTS:
        yield "pyproject.toml", _pairs(project.table("tool", "hatch", "envs", name, "env-vars"))


def _of_tasks(project: Project) -> Iterator[Given]:
    for task in _tasks(project):
        yield "pyproject.toml", _pairs(task.get("env"))


def _of_env_files(project: Project) -> Iterator[Given]:
    """Read the files of variables that these tasks have for pytest: all in them is for the program."""
    for task in _tasks(project):
        file = str(task.get("env_file") or task.get("envfile") or "")
        yield file, _ASSIGNED.findall(project.text(file)) if file else []


def _tasks(project: Project) -> Iterator[dict[str, Any]]:
    """Yield the tasks that call pytest, of pdm and of Poe the Poet."""
    for keys in (("tool", "pdm", "scripts"), ("tool", "poe", "tasks")):
        tasks = [task for task in project.table(*keys).values() if isinstance(task, dict)]
        yield from (task for task in tasks if "pytest" in str(task.get("cmd") or task.get("shell")))


def _pairs(table: Any) -> list[tuple[str, str]]:
    if not isinstance(table, dict):
        return []
    return [(str(name), str(value).lower() if isinstance(value, bool) else str(value)) for name, value in table.items()]


def of_dotenv(project: Project) -> set[str]:
    """Name the variables of a committed .env file that the program reads by itself; they need no guess."""
    texts = "".join(source.text for source in project.code)
    if not re.search(r"env_file|load_dotenv|read_env", texts):
        return set()
    named = re.search(r"""env_file\s*=\s*["']([^"']+)["']""", texts)
    file = named[1] if named else ".env"
    ignored = re.search(r"(?m)^[/*]*\.env\b", project.text(".gitignore"))
    return set() if ignored else set(re.findall(r"(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)=\S", project.text(file)))

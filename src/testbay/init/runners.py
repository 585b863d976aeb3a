"""The variables that a project's runner of tests sets for pytest: tox, Hatch, pdm, Poe the Poet, a Makefile."""

from collections.abc import Collection, Iterator
from typing import Any

from testbay.init import makefile
from testbay.init.project import Project

_ENVIRONMENTS = ("default", "hatch-test", "test", "tests")  # of Hatch


def for_tests(project: Project, read: Collection[str]) -> dict[str, tuple[str, str]]:
    """Map each variable to its value and its file; those made of other values, and testbay's own, are left out.

    Of what tox and the like set, only what the project reads is taken: the rest is for tools.
    """
    found: dict[str, tuple[str, str]] = {}
    wanted = {*read, "DJANGO_SETTINGS_MODULE"}
    for file, given in (*_of_tox(project), *_of_hatch(project), *_of_tasks(project)):
        plain = (pair for pair in given if pair[0] in wanted and makefile.is_plain(*pair) and "{" not in pair[1])
        found |= {name: (value, file) for name, value in plain}
    return found | {name: (value, "Makefile") for name, value in makefile.for_tests(project).items()}


def _of_tox(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Read `setenv` of tox; a line for some environments alone, `postgres: A = b`, is passed over."""
    for option in ("setenv", "set_env"):
        lines = project.ini("tox.ini").get("testenv", option, fallback="").splitlines()
        pairs = [line.partition("=") for line in lines]
        yield "tox.ini", [(name.strip(), value.strip()) for name, _, value in pairs]
    yield "pyproject.toml", _pairs(project.table("tool", "tox", "env_run_base", "set_env"))


def _of_hatch(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for name in _ENVIRONMENTS:
        yield "pyproject.toml", _pairs(project.table("tool", "hatch", "envs", name, "env-vars"))


def _of_tasks(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Read `env` of the tasks that call pytest, of pdm and of Poe the Poet."""
    for keys in (("tool", "pdm", "scripts"), ("tool", "poe", "tasks")):
        tasks = [task for task in project.table(*keys).values() if isinstance(task, dict)]
        for task in (task for task in tasks if "pytest" in str(task.get("cmd") or task.get("shell"))):
            yield "pyproject.toml", _pairs(task.get("env"))


def _pairs(table: Any) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in table.items()] if isinstance(table, dict) else []

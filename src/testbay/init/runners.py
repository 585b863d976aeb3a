"""The variables that a project's runner of tests sets for pytest: tox, nox, Hatch, pdm, Poe, CI, a Makefile."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

import yaml

from testbay.init import makefile
from testbay.init.project import Project
from testbay.init.syntax import calls, keywords, last, text_of

_ENVIRONMENTS = ("default", "hatch-test", "test", "tests")  # of Hatch
_ASSIGNED = re.compile(r"""(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)=["']?([^"'\n#]*)""")
_RUNS_TESTS = re.compile(r"\b(pytest|tox|nox|manage\.py test|(make|just|task|poe) test\w*|hatch (run )?test\w*)\b")


def for_tests(project: Project, read: Collection[str]) -> dict[str, tuple[str, str]]:
    """Map each variable to its value and its file; those made of other values, and testbay's own, are left out.

    Of what tox and the like set, only what the project reads is taken: the rest is for tools. A Makefile is nearest to
    who types a command, CI is farthest.
    """
    found: dict[str, tuple[str, str]] = {}
    wanted = {*read, "DJANGO_SETTINGS_MODULE"}
    for file, given in _given(project):
        plain = (pair for pair in given if pair[0] in wanted and makefile.is_plain(*pair) and "{" not in pair[1])
        found |= {name: (value, file) for name, value in plain}
    for file, given in _of_env_files(project):
        found |= {name: (value, file) for name, value in given if makefile.is_plain(name, value)}
    return found | {name: (value, "Makefile") for name, value in makefile.for_tests(project).items()}


def values(project: Project) -> Iterator[str]:
    """Yield the values that the runners set, addresses of servers included."""
    yield from makefile.given(project).values()
    yield from (value for _, given in _given(project) for _, value in given)


def _given(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for runner in (_of_workflows, _of_tox, _of_nox, _of_hatch, _of_tasks, _of_env_files):
        yield from runner(project)


def _of_workflows(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Read `env` of the steps that run tests in GitHub's workflows; what has several values there is left out."""
    said: dict[str, tuple[str, set[str]]] = {}
    for path in sorted(project.root.glob(".github/workflows/*.y*ml")):
        file = str(path.relative_to(project.root))
        for name, value in _of_workflow(project.text(file)):
            said.setdefault(name, (file, set()))[1].add(value)
    yield from ((file, [(name, next(iter(values)))]) for name, (file, values) in said.items() if len(values) == 1)


def _of_workflow(text: str) -> Iterator[tuple[str, str]]:
    for whole, job in _jobs(text):
        for step in _steps(job):
            if _RUNS_TESTS.search(str(step.get("run", ""))):
                yield from {
                    **dict(_pairs(whole.get("env"))),
                    **dict(_pairs(job.get("env"))),
                    **dict(_pairs(step.get("env"))),
                }.items()


def commands(project: Project) -> Iterator[tuple[str, str]]:
    """Yield the lines that jobs of GitHub's workflows with tests run in the project's root, each behind its file."""
    for path in sorted(project.root.glob(".github/workflows/*.y*ml")):
        file = str(path.relative_to(project.root))
        for _, job in _jobs(project.text(file)):
            steps = [step for step in _steps(job) if "working-directory" not in step]
            if any(_RUNS_TESTS.search(str(step.get("run", ""))) for step in steps):
                yield from ((file, line) for step in steps for line in str(step.get("run", "")).splitlines())


def images(project: Project) -> Iterator[str]:
    """Yield the images of the services beside the jobs of GitHub's workflows, as far as they name a version."""
    for path in sorted(project.root.glob(".github/workflows/*.y*ml")):
        for _, job in _jobs(project.text(str(path.relative_to(project.root)))):
            services = job.get("services")
            for service in filter(_is_table, services.values() if isinstance(services, dict) else ()):
                image = str(service.get("image", ""))
                if re.search(r":v?\d", image) and "$" not in image:
                    yield image


def _jobs(text: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each job of a workflow, behind the whole."""
    whole: Any = {}
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        whole = yaml.safe_load(text)
    jobs = whole.get("jobs") if isinstance(whole, dict) else None
    for job in filter(_is_table, jobs.values() if isinstance(jobs, dict) else ()):
        yield whole, job


def _steps(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = job.get("steps")
    return list(filter(_is_table, steps if isinstance(steps, list) else ()))


def _is_table(found: Any) -> bool:
    return isinstance(found, dict)


def _of_tox(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Read `setenv` of tox; a line for some environments alone, `postgres: A = b`, is passed over."""
    for option in ("setenv", "set_env"):
        lines = project.ini("tox.ini").get("testenv", option, fallback="").splitlines()
        pairs = [line.partition("=") for line in lines]
        yield "tox.ini", [(name.strip(), value.strip()) for name, _, value in pairs]
    yield "pyproject.toml", _pairs(project.table("tool", "tox", "env_run_base", "set_env"))


def _of_nox(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Read `session.run("pytest", env={…})`."""
    nodes = [node for source in project.sources if str(source.path) == "noxfile.py" for node in source.nodes]
    for call in calls(nodes):
        table = keywords(call).get("env")
        if last(call.func) == "run" and "pytest" in map(text_of, call.args) and isinstance(table, ast.Dict):
            yield (
                "noxfile.py",
                [(text_of(k), text_of(v)) for k, v in zip(table.keys, table.values, strict=True) if k and text_of(v)],
            )


def _of_hatch(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for name in _ENVIRONMENTS:
        yield "pyproject.toml", _pairs(project.table("tool", "hatch", "envs", name, "env-vars"))


def _of_tasks(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for task in _tasks(project):
        yield "pyproject.toml", _pairs(task.get("env"))


def _of_env_files(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
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

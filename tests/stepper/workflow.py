"""A workflow file as records. Every key that is not known is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from tests.stepper.expressions import UnknownError

TOP = {"name", "on", "permissions", "concurrency", "defaults", "env", "jobs"}
JOB = {"name", "needs", "if", "runs-on", "timeout-minutes", "environment", "permissions", "strategy", "env"}
JOB |= {"outputs", "steps"}
CALL = {"name", "needs", "if", "permissions", "uses", "with"}
STEP = {"name", "id", "if", "env", "timeout-minutes", "shell", "run", "uses", "with"}
EVENTS = {"push": {"branches", "paths"}, "pull_request": set(), "workflow_dispatch": set(), "schedule": set()}
EVENTS |= {"workflow_call": {"inputs"}, "release": {"types"}}
GRANTS = {"contents": {"read", "write"}, "deployments": {"read"}, "issues": {"write"}, "pages": {"write"}}
GRANTS |= {"id-token": {"write"}}
CRON = re.compile(r"\d+ \*/\d+ \* \* \*")  # a minute, and every so many hours
KINDS = {"string": str, "boolean": bool, "number": int}
SHELLS = {"": ("bash", "-e"), "bash": ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")}


@dataclass(frozen=True, kw_only=True)
class Step:
    name: str
    id: str = ""
    condition: str = "success()"
    env: Mapping[str, Any] = field(default_factory=dict)
    timeout_minutes: float | None = None
    run: str = ""
    shell: str = ""
    uses: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    id: str
    name: str
    needs: tuple[str, ...] = ()
    condition: str = "success()"
    environment: str = ""
    timeout_minutes: float = 360
    permissions: Mapping[str, str] = field(default_factory=dict)
    matrix: Any = None
    env: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    uses: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a caller may say; `default` is None for one that has to be said."""

    kind: str
    default: Any


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """`jobs` stand in an order in which each comes after those it needs."""

    name: str
    group: str
    events: Mapping[str, Mapping[str, list[str]]]
    env: Mapping[str, Any]
    jobs: tuple[Job, ...]
    inputs: Mapping[str, Input] = field(default_factory=dict)

    def starts(self, event: str, *, branch: str, files: list[str]) -> bool:
        """Whether such an event starts it; `files` are those that a push changed."""
        if event not in self.events:
            return False
        asked = self.events[event]
        fits_branch = branch in asked.get("branches", [branch])
        paths = asked.get("paths")
        return fits_branch and (paths is None or any(_matches(file, pattern) for file in files for pattern in paths))


def load(file: Path) -> Workflow:
    """The workflow in a file.

    Raises:
        UnknownError: It says something the stepper does not know.
    """
    table = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    table = {"on" if key is True else key: inner for key, inner in table.items()}  # YAML 1.1 reads `on` as true
    only(table, TOP, file.name)
    shell = _default_shell(table.get("defaults", {}))
    jobs = {name: _job(name, job, table, shell) for name, job in table["jobs"].items()}
    called = (table["on"].get("workflow_call") or {}) if isinstance(table["on"], dict) else {}
    order = TopologicalSorter({name: job.needs for name, job in jobs.items()}).static_order()
    return Workflow(
        name=table.get("name", file.name),
        group=_group(table.get("concurrency", {})),
        events=_events(table["on"]),
        env=table.get("env", {}),
        jobs=tuple(jobs[name] for name in order),
        inputs={name: _input(name, asked) for name, asked in called.get("inputs", {}).items()},
    )


def _input(name: str, asked: Mapping[str, Any]) -> Input:
    only(asked, {"description", "type", "default", "required"}, f"inputs.{name}")
    if asked.get("type") not in KINDS:
        raise UnknownError(f"inputs.{name}: the type {asked.get('type')}")
    default = asked.get("default", KINDS[asked["type"]]())
    return Input(kind=asked["type"], default=None if asked.get("required") else default)


def only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raises UnknownError for a key that is not known."""
    if unknown := sorted(set(table) - known):
        raise UnknownError(f"{where}: the key {unknown[0]}")


def _default_shell(defaults: Mapping[str, Any]) -> str:
    only(defaults, {"run"}, "defaults")
    only(defaults.get("run", {}), {"shell"}, "defaults.run")
    return str(defaults.get("run", {}).get("shell", ""))


def _group(concurrency: Mapping[str, Any]) -> str:
    """The expression for the group; only one run is looked at here, so nothing is cancelled."""
    only(concurrency, {"group", "cancel-in-progress"}, "concurrency")
    return str(concurrency.get("group", ""))


def _events(table: Any) -> dict[str, dict[str, list[str]]]:
    listed = [table] if isinstance(table, str) else table
    events = listed if isinstance(listed, dict) else {name: {} for name in listed}
    only(events, set(EVENTS), "on")
    for entry in events.get("schedule", ()):
        only(entry, {"cron"}, "on.schedule")
        if not CRON.fullmatch(entry["cron"]):
            raise UnknownError(f"on.schedule: {entry['cron']}")
    filters = {name: asked or {} for name, asked in events.items() if name != "schedule"}
    for name, asked in filters.items():
        only(asked, EVENTS[name], f"on.{name}")
    return filters | ({"schedule": {}} if "schedule" in events else {})


def _matches(file: str, pattern: str) -> bool:
    """`folder/**` or a file by its whole path."""
    if re.search(r"[*?!\[+]", pattern.removesuffix("/**")):
        raise UnknownError(f"the path pattern {pattern}")
    return file.startswith(pattern[:-2]) if pattern.endswith("/**") else file == pattern


def _job(name: str, job: Mapping[str, Any], table: Mapping[str, Any], shell: str) -> Job:
    only(job, CALL if "uses" in job else JOB, name)
    needs = job.get("needs", [])
    return Job(
        id=name,
        name=job.get("name", name),
        needs=(needs,) if isinstance(needs, str) else tuple(needs),
        condition=str(job.get("if", "success()")),
        environment=_text(job.get("environment", ""), f"{name}.environment"),
        timeout_minutes=job.get("timeout-minutes", 360),
        permissions=_permissions(job.get("permissions", table.get("permissions")), name),
        matrix=_matrix(job.get("strategy"), name),
        env=job.get("env", {}),
        outputs=job.get("outputs", {}),
        steps=tuple(read_step(step, f"{name}.steps[{n}]", shell) for n, step in enumerate(job.get("steps", ()))),
        uses=job.get("uses", ""),
        inputs=job.get("with", {}),
    )


def _text(found: Any, where: str) -> str:
    if not isinstance(found, str) or "${{" in found:
        raise UnknownError(f"{where}: {found!r}")
    return found


def _permissions(grants: Any, where: str) -> Mapping[str, str]:
    """Without a grant in job or workflow the repository's settings decide: nothing that a file could promise."""
    if not isinstance(grants, dict):
        raise UnknownError(f"{where}: permissions {grants!r}")
    for right, level in grants.items():
        if level not in GRANTS.get(right, set()):
            raise UnknownError(f"{where}: the permission {right}: {level}")
    return grants


def _matrix(strategy: Any, where: str) -> Any:
    """The entries, as a list or as an expression for one."""
    if strategy is None:
        return None
    only(strategy, {"fail-fast", "matrix"}, f"{where}.strategy")
    only(strategy["matrix"], {"include"}, f"{where}.strategy.matrix")
    if strategy.get("fail-fast") is not False:
        raise UnknownError(f"{where}: a matrix whose jobs cancel each other")
    return strategy["matrix"]["include"]


def read_step(step: Mapping[str, Any], where: str, shell: str) -> Step:
    """One step; `shell` is the default of its job."""
    only(step, STEP, where)
    run, uses = step.get("run", ""), step.get("uses", "")
    if bool(run) == bool(uses) or (run and "with" in step):
        raise UnknownError(f"{where}: neither `run` nor `uses`, or both")
    shell = step.get("shell", shell)
    if shell not in SHELLS:
        raise UnknownError(f"{where}: the shell {shell}")
    return Step(
        name=step.get("name", run or uses),
        id=step.get("id", ""),
        condition=str(step.get("if", "success()")),
        env=step.get("env", {}),
        timeout_minutes=step.get("timeout-minutes"),
        run=run,
        shell=shell,
        uses=uses,
        inputs=step.get("with", {}),
    )

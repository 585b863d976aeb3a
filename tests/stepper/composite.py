"""Composite actions: steps that another repository keeps, taken at a commit and run in the caller's job."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tests.stepper.commands import StepFailedError
from tests.stepper.expressions import Loose, UnknownError, as_text, condition, value
from tests.stepper.steps import Room, StepRun, run_step
from tests.stepper.workflow import Step, only, read_step

USES = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?P<path>(?:/[\w.-]+)*)@(?P<commit>[0-9a-f]{40})")
# An action's step has no timeout of its own: `timeout-minutes` is no key there.
STEP = {"name", "id", "if", "env", "shell", "run", "uses", "with"}
Perform = Callable[[str, Room, Mapping[str, str], Mapping[str, Any]], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Action:
    """`inputs` are what each is when the caller is silent; None for one that has to be said."""

    folder: Path
    inputs: Mapping[str, str | None]
    outputs: Mapping[str, str]
    steps: tuple[Step, ...]


def load(folder: Path) -> Action:
    """The action in that folder.

    Raises:
        StepFailedError: There is none.
        UnknownError: It says something the stepper does not know.
    """
    file = folder / "action.yml"
    if not file.is_file():
        raise StepFailedError(f"Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '{folder}'.")
    table = yaml.safe_load(file.read_text(encoding="utf-8"))
    only(table, {"name", "description", "author", "branding", "inputs", "outputs", "runs"}, "action.yml")
    only(table["runs"], {"using", "steps"}, "action.yml: runs")
    if table["runs"]["using"] != "composite":
        raise UnknownError(f"action.yml: runs.using {table['runs']['using']}")
    return Action(
        folder=folder,
        inputs={name: _default(name, asked) for name, asked in table.get("inputs", {}).items()},
        outputs={name: asked["value"] for name, asked in table.get("outputs", {}).items()},
        steps=tuple(_step(step, number) for number, step in enumerate(table["runs"]["steps"])),
    )


def _default(name: str, asked: Mapping[str, Any]) -> str | None:
    only(asked, {"description", "default", "required"}, f"action.yml: inputs.{name}")
    return None if asked.get("required") else str(asked.get("default", ""))


def _step(step: Mapping[str, Any], number: int) -> Step:
    only(step, STEP, where := f"action.yml: steps[{number}]")
    if "run" in step and "shell" not in step:
        raise UnknownError(f"{where}: a composite action's `run` needs a `shell`")
    return read_step(step, where, "")


def run(
    action: Action, said: Mapping[str, str], room: Room, contexts: Mapping[str, Any], perform: Perform
) -> dict[str, str]:
    """Every step, in the caller's workspace; the action's outputs.

    Raises:
        StepFailedError: An input is missing, or a step failed.
    """
    for name in sorted(set(said) - set(action.inputs)):
        room.output.say(f"##[warning]Unexpected input(s) '{name}'")
    missing = [name for name, default in action.inputs.items() if default is None and name not in said]
    if missing:
        raise StepFailedError(f"Input required and not supplied: {missing[0]}")
    inner: dict[str, Any] = {name: found for name, found in contexts.items() if name != "secrets"}
    inner["inputs"] = {name: said.get(name, default) for name, default in action.inputs.items()}
    inner["github"] = {**contexts["github"], "action_path": str(action.folder)}
    inner["steps"] = {}
    own = replace(room, environ={**room.environ, "GITHUB_ACTION_PATH": str(action.folder)})
    failed = [step.name for step in action.steps if not _run_step(step, own, inner, perform)]
    if failed:
        raise StepFailedError(f"{failed[0]}: failed")
    return {name: as_text(value(text, inner)) for name, text in action.outputs.items()}


def _run_step(step: Step, room: Room, contexts: dict[str, Any], perform: Perform) -> bool:
    bad = any(found["outcome"] == "failure" for found in contexts["steps"].values()) or contexts.get("failed", False)
    answers = {"success": not bad, "failure": bad, "always": True, "cancelled": False}
    contexts["status"] = {name: partial(bool, answer) for name, answer in answers.items()}
    done = StepRun(step=step)
    if condition(step.condition, contexts):
        run_step(done, room, contexts, partial(perform, step.uses, room))
    room.summaries.append(done.summary)
    contexts["failed"] = bad or done.outcome == "failure"
    if step.id:
        contexts["steps"][step.id] = {"outcome": done.outcome, "outputs": Loose(done.outputs)}
    return done.outcome in ("success", "skipped")

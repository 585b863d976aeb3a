"""One step: its environment, its script, and what it left in the files the runner gave it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stepper.commands import Output, StepFailedError, read_pairs, read_summary
from tests.stepper.expressions import Loose, as_text, interpolate, value
from tests.stepper.workflow import SHELLS, Step

Use = Callable[[Mapping[str, str], Mapping[str, Any]], Mapping[str, str]]  # inputs, contexts → outputs
FILES = ("env", "output", "path", "step_summary")
PATIENCE_S = 7.5


@dataclass(kw_only=True)
class Room:
    """What the steps of one job share. `exported` is what they wrote to GITHUB_ENV, `paths` to GITHUB_PATH, `summaries`
    what the steps inside an action wrote to GITHUB_STEP_SUMMARY.
    """

    workspace: Path
    temp: Path
    environ: Mapping[str, str]
    output: Output
    deadline: float
    minute_s: float
    exported: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class StepRun:
    """What became of a step. `environ` is what its process was given, or the action's would have been."""

    step: Step
    outcome: str = "skipped"
    environ: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def run_step(done: StepRun, room: Room, contexts: Mapping[str, Any], use: Use) -> None:
    """The step, whose condition holds; what it leaves is taken over even when it failed."""
    step = done.step
    contexts = {**contexts, "env": Loose({**contexts["env"], **room.exported})}
    own = {key: as_text(value(text, contexts)) for key, text in step.env.items()}
    env = {**contexts["env"], **own}
    contexts["env"] = Loose(env)
    path = os.pathsep.join([*room.paths, room.environ["PATH"]])
    done.environ = {**room.environ, "PATH": path, **env}
    done.outcome = "success"
    try:
        if step.uses:
            room.output.say(f"##[group]Run {step.uses}\n##[endgroup]")
            inputs = {key: as_text(value(text, contexts)) for key, text in step.inputs.items()}
            done.outputs = dict(use(inputs, contexts))
        else:
            _run_script(done, room, env, interpolate(step.run, contexts))
    except StepFailedError as error:
        room.output.say(f"##[error]{error}")
        done.outcome = "failure"
    except TimeoutError as error:
        room.output.say(f"##[error]{error}")
        done.outcome = "failure" if time.monotonic() < room.deadline else "cancelled"


def _run_script(done: StepRun, room: Room, env: Mapping[str, str], script: str) -> None:
    number = len(list(room.temp.glob("*.sh")))
    files = {name: room.temp / f"{name}_{number}" for name in FILES}
    for file in files.values():
        file.touch()
    done.environ |= {f"GITHUB_{name.upper()}": str(file) for name, file in files.items()}
    source = room.temp / f"{number}.sh"
    source.write_text(script, encoding="utf-8")
    argv = [*SHELLS[done.step.shell], str(source)]
    shown = "".join(f"\n  {key}: {text}" for key, text in env.items())
    room.output.say(f"##[group]Run {script}\nshell: {' '.join(argv[:-1])} {{0}}\nenv:{shown}\n##[endgroup]")
    try:
        _wait(argv, done, room)
    finally:
        done.summary = read_summary(files["step_summary"], room.output)
        room.paths[:0] = reversed(files["path"].read_text(encoding="utf-8").split())
        done.outputs = read_pairs(files["output"], "output")
        room.exported |= read_pairs(files["env"], "env")


def _wait(argv: list[str], done: StepRun, room: Room) -> None:
    """Raises StepFailedError for an exit code, TimeoutError when the step's or the job's time is up."""
    minutes = done.step.timeout_minutes
    ends = min(room.deadline, time.monotonic() + (minutes * room.minute_s if minutes else float("inf")))
    child = subprocess.Popen(
        argv,
        cwd=room.workspace,
        env=done.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    text = ""
    try:
        text, _ = child.communicate(timeout=max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        text = _end(child)
        raise TimeoutError(f"The action '{done.step.name}' has timed out after {minutes} minutes.") from None
    except BaseException:  # the test's own time is up: a child that is left turns another test red
        text = _end(child)
        raise
    finally:
        for line in text.splitlines():
            room.output.hear(line)
    if child.returncode:
        raise StepFailedError(f"Process completed with exit code {child.returncode}.")


def _end(child: "subprocess.Popen[str]") -> str:
    """Ctrl-C first, as the runner does, then harder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            return child.communicate(timeout=PATIENCE_S)[0]
    return child.communicate()[0]

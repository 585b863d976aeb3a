"""Runs a workflow file's jobs here, one after the other, by the runner's own rules, and refuses what it does not know.

A runner that guesses proves nothing: an unknown key, expression or action is an `UnknownError`, never a pass.
"""

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.stepper import actions, composite
from tests.stepper.called import Caller, check_rights, inputs_of
from tests.stepper.commands import Output
from tests.stepper.expressions import Loose, UnknownError, as_text, condition, interpolate, value
from tests.stepper.steps import Room, StepRun, run_step
from tests.stepper.tokens import token
from tests.stepper.workflow import Job, Workflow, load

ATTEMPT = "1"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Why the workflow runs. `payload` is what `github.event` holds."""

    name: str = "push"
    ref: str = "refs/heads/main"
    sha: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = "4711"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where jobs run: what is in every step's environment, and who signs identity tokens (an address, a bearer)."""

    environ: Mapping[str, str]
    oidc: tuple[str, str] = ("", "")
    minute_s: float = 60


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What is checked out; its secrets and variables by environment, those of "" being the repository's own.

    `others` are the repositories whose actions and workflows it may use, by their names.
    """

    folder: Path
    name: str = "acme/shop"
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    others: Mapping[str, Path] = field(default_factory=dict)

    def of(self, kind: str, environment: str) -> dict[str, str]:
        """The `secrets` or `variables` of a job in that environment."""
        by_environment: Mapping[str, Mapping[str, str]] = getattr(self, kind)
        return {**by_environment.get("", {}), **by_environment.get(environment, {})}


@dataclass(kw_only=True)
class JobRun:
    """What became of one job, or of one entry of its matrix."""

    job: Job
    name: str
    result: str = "success"
    steps: list[StepRun] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    output: Output
    summary: str = ""
    workspace: Path

    @property
    def log(self) -> str:
        """What a reader of the job's log sees."""
        return "\n".join(self.output.lines)

    @property
    def said(self) -> list[str]:
        """What the job's processes said: its log without the runner's own words."""
        text, inside = [], False
        for line in self.output.lines:
            inside = (inside or line.startswith("##[group]")) and line != "##[endgroup]"
            text += [] if inside or line.startswith("##[") else [line]
        return text


@dataclass(kw_only=True)
class WorkflowRun:
    """What became of a workflow: its jobs in the order in which they ran, and its artifacts' files."""

    jobs: list[JobRun] = field(default_factory=list)
    artifacts: actions.Artifacts = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """All jobs' logs."""
        return "\n".join(job.log for job in self.jobs)

    def job(self, name: str) -> JobRun:
        """A job by the name that a person sees."""
        return next(job for job in self.jobs if job.name == name)


class Runner:
    """One workflow run; `folder` is where the jobs' workspaces go. A called workflow has a `caller`."""

    def __init__(
        self,
        workflow: Workflow,
        event: Event,
        repository: Repository,
        machine: Machine,
        folder: Path,
        *,
        caller: Caller | None = None,
    ) -> None:
        self.workflow = workflow
        self.event = event
        self.repository = repository
        self.machine = machine
        self.folder = folder
        self.done = WorkflowRun()
        self.caller = caller
        self._contexts: dict[str, Any] = {
            "github": {
                "event_name": event.name,
                "event": Loose(event.payload),
                "ref": event.ref,
                "ref_name": event.ref.removeprefix("refs/heads/"),
                "repository": repository.name,
                "run_attempt": ATTEMPT,
                "run_id": event.run_id,
                "sha": event.sha,
                "workflow": workflow.name,
            },
            "job": {
                "workflow_repository": caller.repository if caller else repository.name,
                "workflow_sha": caller.sha if caller else event.sha,
            },
            "vars": Loose(repository.of("variables", "")),
        }
        if caller:
            self._contexts["inputs"] = caller.inputs

    def run(self) -> WorkflowRun:
        """Every job.

        Raises:
            UnknownError: The file asks for something the stepper does not know.
        """
        interpolate(self.workflow.group, self._contexts)
        for job in self.workflow.jobs:
            needs = {name: self._needed(name) for name in job.needs}
            contexts = {**self._contexts, "needs": needs}
            if not condition(job.condition, {**contexts, "status": self._status_before(job)}):
                self.done.results[job.id] = "skipped"
                continue
            if job.uses:
                self.done.results[job.id] = self._call(job, contexts)
                continue
            results = {self._run_job(job, entry, contexts) for entry in self._entries(job, contexts)}
            self.done.results[job.id] = next(r for r in ("failure", "cancelled", "success") if r in results)
        return self.done

    def _call(self, job: Job, contexts: Mapping[str, Any]) -> str:
        """The jobs of another repository's workflow; what they are called begins with the job's own name."""
        match = composite.USES.fullmatch(job.uses)
        if match is None or match["repository"] not in self.repository.others or self.caller:
            raise UnknownError(f"{job.id}: the workflow {job.uses}")
        source = self.folder / "workflows" / job.id
        actions.fetch(self.repository.others[match["repository"]], match["commit"], source, "https://github.com")
        called = load(source / match["path"].strip("/"))
        said = {name: value(text, contexts) for name, text in job.inputs.items()}
        caller = Caller(
            job=job, repository=match["repository"], sha=match["commit"], inputs=inputs_of(called, job, said)
        )
        for inner in called.jobs:
            check_rights(job, inner)
        runner = Runner(called, self.event, self.repository, self.machine, self.folder / job.id, caller=caller)
        runner.done.artifacts = self.done.artifacts
        done = runner.run()
        for run in done.jobs:
            run.name = f"{job.name} / {run.name}"
        self.done.jobs += done.jobs
        return next(r for r in ("failure", "cancelled", "success", "skipped") if r in done.results.values())

    def _needed(self, name: str) -> dict[str, Any]:
        """What `needs.NAME` holds: of a matrix the outputs of its last job."""
        job = next(job for job in self.workflow.jobs if job.id == name)
        outputs = next((run.outputs for run in reversed(self.done.jobs) if run.job.id == name), {})
        return {"result": self.done.results[name], "outputs": {key: outputs.get(key) for key in job.outputs}}

    def _status_before(self, job: Job) -> dict[str, Any]:
        """The status functions of a job's `if`: those it needs, and those that they need."""
        before, rest = set(), list(job.needs)
        while rest:
            before.add(name := rest.pop())
            rest += next(job.needs for job in self.workflow.jobs if job.id == name)
        results = {self.done.results[name] for name in before}
        return _status(good=results <= {"success"}, bad="failure" in results, cancelled=False)

    def _entries(self, job: Job, contexts: Mapping[str, Any]) -> list[dict[str, Any] | None]:
        if job.matrix is None:
            return [None]
        entries = value(job.matrix, contexts)
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise UnknownError(f"{job.id}: a matrix of {entries!r}")
        return entries

    def _run_job(self, job: Job, entry: dict[str, Any] | None, contexts: Mapping[str, Any]) -> str:
        secrets = self.repository.of("secrets", job.environment)
        variables = self.repository.of("variables", job.environment)
        own = token(job.permissions)
        contexts = {**contexts, "secrets": Loose(secrets), "vars": Loose(variables), "matrix": entry or {}}
        contexts["github"] = {**self._contexts["github"], "token": own}
        name = interpolate(job.name, contexts)
        if entry and "${{" not in job.name:
            name += f" ({', '.join(map(as_text, entry.values()))})"
        folder = self.folder / f"{len(self.done.jobs)}-{job.id}"
        hidden = [*secrets.values(), self.machine.oidc[1], own]
        run = JobRun(job=job, name=name, output=Output(hidden), workspace=folder / "workspace")
        self.done.jobs.append(run)
        run.workspace.mkdir(parents=True)
        (folder / "temp").mkdir()
        env = {key: as_text(value(text, contexts)) for key, text in {**self.workflow.env, **job.env}.items()}
        self._run_steps(run, {**contexts, "env": Loose(env), "runner": {"temp": str(folder / "temp"), "os": "Linux"}})
        return run.result

    def _run_steps(self, run: JobRun, contexts: dict[str, Any]) -> None:
        room = Room(
            workspace=run.workspace,
            temp=run.workspace.with_name("temp"),
            environ=self._environ(run),
            output=run.output,
            deadline=time.monotonic() + run.job.timeout_minutes * self.machine.minute_s,
            minute_s=self.machine.minute_s,
        )
        contexts["steps"] = {}
        for step in run.job.steps:
            contexts["status"] = _status(
                good=run.result == "success", bad=run.result == "failure", cancelled=run.result == "cancelled"
            )
            done = StepRun(step=step)
            run.steps.append(done)
            if condition(step.condition, {key: inner for key, inner in contexts.items() if key != "secrets"}):
                run_step(done, room, contexts, partial(self._use, run, step.uses, room))
            run.summary += "".join([*room.summaries, done.summary])
            room.summaries.clear()
            if run.result == "success" and done.outcome in ("failure", "cancelled"):
                run.result = done.outcome
            if step.id:
                contexts["steps"][step.id] = {"outcome": done.outcome, "outputs": Loose(done.outputs)}
        for key, text in run.job.outputs.items():
            self._output(run, key, as_text(value(text, contexts)))

    def _output(self, run: JobRun, key: str, text: str) -> None:
        if run.output.masked(text) != text:
            run.output.say(f"##[warning]Skip output '{key}' since it may contain secret.")
        elif text:
            run.outputs[key] = text

    def _use(
        self, run: JobRun, uses: str, room: Room, inputs: Mapping[str, str], contexts: Mapping[str, Any]
    ) -> Mapping[str, str]:
        match = composite.USES.fullmatch(uses)
        folder = None
        if uses.startswith("./"):
            folder = run.workspace / uses
        elif match and match["repository"] in self.repository.others:
            source = room.temp.with_name("actions") / match["repository"] / match["commit"]
            if not source.is_dir():
                actions.fetch(
                    self.repository.others[match["repository"]], match["commit"], source, "https://github.com"
                )
            folder = source / match["path"].strip("/")
        if folder:
            return composite.run(composite.load(folder), inputs, room, contexts, partial(self._use, run))
        actions.use(uses, self._call_of(run, room, inputs))
        return {}

    def _call_of(self, run: JobRun, room: Room, inputs: Mapping[str, str]) -> actions.Call:
        return actions.Call(
            inputs=inputs,
            permissions=run.job.permissions,
            repository=self.repository.name,
            folders={**self.repository.others, self.repository.name: self.repository.folder},
            server=self.machine.environ.get("GITHUB_SERVER_URL", "https://github.com"),
            sha=self.event.sha,
            workspace=run.workspace,
            temp=room.temp,
            output=run.output,
            store=self.done.artifacts,
            paths=room.paths,
        )

    def _environ(self, run: JobRun) -> dict[str, str]:
        """What every step of a job finds; an identity token can be asked for only where the job may."""
        environ = {
            **self.machine.environ,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self.event.name,
            "GITHUB_JOB": run.job.id,
            "GITHUB_REF": self.event.ref,
            "GITHUB_REPOSITORY": self.repository.name,
            "GITHUB_RUN_ATTEMPT": ATTEMPT,
            "GITHUB_RUN_ID": self.event.run_id,
            "GITHUB_SHA": self.event.sha,
            "GITHUB_WORKFLOW": self.workflow.name,
            "GITHUB_WORKSPACE": str(run.workspace),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(run.workspace.with_name("temp")),
        }
        if run.job.permissions.get("id-token") == "write":
            names = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
            environ |= dict(zip(names, self.machine.oidc, strict=True))
        return environ


def _status(*, good: bool, bad: bool, cancelled: bool) -> dict[str, Any]:
    answers = {"success": good, "failure": bad, "always": True, "cancelled": cancelled}
    return {name: partial(bool, answer) for name, answer in answers.items()}


def head(repository: Path) -> str:
    """The commit that is checked out there."""
    argv = ["git", "rev-parse", "HEAD"]
    return subprocess.run(argv, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()

"""Workflows that another repository keeps: what GitHub checks before it starts their jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.stepper.expressions import UnknownError
from tests.stepper.workflow import KINDS, Job, Workflow


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The job that calls a workflow of another repository, and where that is kept."""

    job: Job
    repository: str
    sha: str
    inputs: Mapping[str, Any]


def inputs_of(called: Workflow, job: Job, said: Mapping[str, Any]) -> dict[str, Any]:
    """What the workflow's jobs find as `inputs`.

    Raises:
        UnknownError: GitHub would refuse the call: an input that is not there, missing, or of another type.
    """
    if "workflow_call" not in called.events:
        raise UnknownError(f"{job.id}: {called.name} cannot be called")
    if unknown := sorted(set(said) - set(called.inputs)):
        raise UnknownError(f"{job.id}: the input {unknown[0]}")
    found = {name: said.get(name, asked.default) for name, asked in called.inputs.items()}
    for name, asked in called.inputs.items():
        if not isinstance(found[name], KINDS[asked.kind]):
            raise UnknownError(f"{job.id}: the input {name} is not a {asked.kind}: {found[name]!r}")
    return found


def check_rights(caller: Job, inner: Job) -> None:
    """A called job may do no more than its caller: GitHub does not even start such a run."""
    order = ["none", "read", "write"]
    for right, level in inner.permissions.items():
        if order.index(level) > order.index(caller.permissions.get(right, "none")):
            raise UnknownError(f"{caller.id}: {inner.id} asks for {right}: {level}, which its caller has not")

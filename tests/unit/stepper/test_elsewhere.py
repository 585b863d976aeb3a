"""Actions and workflows of another repository run by GitHub's rules: at a commit, with the caller's rights at most."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.stepper import small
from tests.stepper.expressions import UnknownError
from tests.stepper.runner import WorkflowRun, head
from tests.stepper.small import job

ACTION = """
name: greet
description: Greets.
inputs:
  who: {description: Whom., required: true}
  how: {description: How., default: hello}
outputs:
  said: {description: The greeting., value: "${{ steps.say.outputs.said }}"}
runs:
  using: composite
  steps:
    - {id: say, shell: bash, env: {HOW: "${{ inputs.how }} ${{ inputs.who }}"}, run: '"$GITHUB_ACTION_PATH/say.sh"'}
    - {shell: bash, run: exit 3}
    - {shell: bash, run: echo never}
    - {if: "${{ !cancelled() }}", shell: bash, run: echo still here}
"""
SAY = '#!/bin/sh\necho "$HOW, $PWD"\necho "said=$HOW" >> "$GITHUB_OUTPUT"\n'
CALLED = """
on: {workflow_call: {inputs: {who: {type: string, default: you}, loud: {type: boolean}}}}
permissions: {}
jobs:
  greet:
    permissions: {contents: read}
    env: {WHO: "${{ inputs.who }} ${{ inputs.loud }}", HOME_OF: "${{ job.workflow_repository }}"}
    steps:
      - run: echo "$WHO $HOME_OF"
"""
Play = Callable[..., WorkflowRun]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The other repository, which has an action and a workflow."""
    folder = tmp_path / "other"
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / "action.yml").write_text(ACTION, encoding="utf-8")
    (folder / "say.sh").write_text(SAY, encoding="utf-8")
    (folder / "say.sh").chmod(0o755)
    (folder / ".github/workflows/greet.yml").write_text(CALLED, encoding="utf-8")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for argv in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    return folder


@pytest.fixture
def play(tmp_path: Path, other: Path) -> Play:
    return partial(small.play, tmp_path, others={"acme/greet": other})


def test_an_action_runs_in_the_caller_s_workspace(play: Play, other: Path) -> None:
    """With its inputs and its own files; the first step that fails fails it, and the outputs are lost."""
    run = play(job(f"{{id: it, uses: acme/greet@{head(other)}, with: {{who: world}}}}"))

    assert run.jobs[0].said == [f"hello world, {run.jobs[0].workspace}", "still here"]
    assert run.results == {"a": "failure"}


def test_an_action_has_outputs(play: Play, other: Path) -> None:
    """A later step of the caller reads them."""
    file = other / "action.yml"
    file.write_text(ACTION.replace("exit 3", "exit 0"), encoding="utf-8")
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "y"], cwd=other, check=True)
    use = f"{{id: it, uses: acme/greet@{head(other)}, with: {{who: you, how: hi}}}}"

    assert play(job(use, "{run: 'echo ${{ steps.it.outputs.said }}'}")).jobs[0].said[-1] == "hi you"


def test_a_required_input_has_to_be_given(play: Play, other: Path) -> None:
    """Else the step fails, before any step of the action."""
    run = play(job(f"{{uses: acme/greet@{head(other)}}}"))

    assert (run.results, run.jobs[0].said) == ({"a": "failure"}, [])


def call(commit: str, said: str = "{}", rights: str = "{contents: read}") -> str:
    use = f"acme/greet/.github/workflows/greet.yml@{commit}"
    return f"jobs: {{a: {{permissions: {rights}, uses: '{use}', with: {said}}}}}"


def test_a_called_workflow_knows_its_inputs_and_its_own_repository(play: Play, other: Path) -> None:
    """Its job stands under the caller's name."""
    run = play(call(head(other), "{who: them, loud: true}"))

    assert [(run.name, run.said) for run in run.jobs] == [("a / greet", ["them true acme/greet"])]
    assert run.results == {"a": "success"}


@pytest.mark.parametrize(
    ("said", "rights", "what"),
    [
        pytest.param("{whom: x}", "{contents: read}", "a: the input whom", id="unknown"),
        pytest.param("{loud: x}", "{contents: read}", "a: the input loud is not a boolean: 'x'", id="type"),
        pytest.param("{}", "{}", "a: greet asks for contents: read, which its caller has not", id="rights"),
    ],
)
def test_a_call_that_github_refuses_is_refused(play: Play, other: Path, said: str, rights: str, what: str) -> None:
    """Before any job runs."""
    with pytest.raises(UnknownError) as refused:
        play(call(head(other), said, rights))

    assert str(refused.value) == what

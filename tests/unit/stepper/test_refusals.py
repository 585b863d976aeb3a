"""What the stepper does not know it refuses: a runner that guesses proves nothing."""

from pathlib import Path

import pytest
from tests.stepper.expressions import UnknownError
from tests.stepper.small import Play, job, uses
from tests.stepper.workflow import load

REFUSED = {
    "key-of-the-workflow": ("jobz: {}\njobs: {}", "small.yml: the key jobz"),
    "key-of-a-job": (job("{run: x}", container="x"), "a: the key container"),
    "key-of-a-step": (job("{run: x, continue-on-error: true}"), "a.steps[0]: the key continue-on-error"),
    "shell": (job("{run: x, shell: pwsh}"), "a.steps[0]: the shell pwsh"),
    "no-step": (job("{name: x}"), "a.steps[0]: neither `run` nor `uses`, or both"),
    "all-permissions": (job("{run: x}", permissions="write-all"), "a: permissions 'write-all'"),
    "permission": (job("{run: x}", permissions="{packages: write}"), "a: the permission packages: write"),
    "environment": (job("{run: x}", environment="'${{ x }}'"), "a.environment: '${{ x }}'"),
    "fail-fast": (job("{run: x}", strategy="{matrix: {include: []}}"), "a: a matrix whose jobs cancel each other"),
    "vector": (job("{run: x}", strategy="{fail-fast: false, matrix: {v: [1]}}"), "a.strategy.matrix: the key v"),
    "empty-matrix": (job("{run: x}", strategy="{fail-fast: false, matrix: {include: []}}"), "a: a matrix of []"),
    "action": (job("{uses: acme/other@v1}"), "the action acme/other@v1"),
    "tag": (job("{uses: actions/checkout@v7}"), "the action actions/checkout@v7"),
    "input": (job(uses("checkout", lfs="true")), "actions/checkout: the input lfs"),
    "credentials": (job(uses("checkout")), "checkout that leaves its credentials for later steps"),
    "glob": (job(uses("upload-artifact", name="a", path="a*")), "upload-artifact of 'a*'"),
    "command": (job("{run: 'echo ::set-output name=a::b'}"), "the command ::set-output::"),
    "function": (job("{run: '${{ hashFiles(1) }}'}"), "expression: the function hashFiles()"),
    "context": (job("{run: '${{ github.actor }}'}"), "expression: github.actor is not known here"),
    "needs": (job("{run: '${{ needs.b.result }}'}"), "expression: needs.b.result is not known here"),
    "operator": (job("{run: '${{ env.A > 1 }}'}"), "expression: env.A > 1: at > 1"),
    "two-values": (job("{run: '${{ env.A env.B }}'}"), "expression: env.A env.B: at env.B"),
    "parenthesis": (job("{run: '${{ (1 }}'}"), "expression: a parenthesis without its end"),
    "half": (job("{run: '${{ 1 == }}'}"), "expression: something is missing in it"),
    "types": (job("{run: '${{ 1 == ''1'' }}'}"), "expression: 1 compared with '1'"),
    "no-end": (job("{run: '${{ vars'}"), "an expression without its end: ${{ vars"),
    "if": (
        job("{run: x, if: 'a ${{ failure() }}'}"),
        "if: a ${{ failure() }}: an expression with text around it is always true",
    ),
    "secret-in-if": (job("{run: x, if: secrets.A}"), "expression: secrets.A is not known here"),
    "object": (job("{run: '${{ steps }}'}"), "{} as text"),
}


@pytest.mark.parametrize(("jobs", "what"), REFUSED.values(), ids=REFUSED)
def test_the_unknown_is_refused(play: Play, jobs: str, what: str) -> None:
    """An unknown key, action, input, command, function, context or operator is named; nothing passes by guessing."""
    with pytest.raises(UnknownError) as error:
        play(jobs)

    assert str(error.value) == what


@pytest.mark.parametrize(
    ("on", "what"),
    [
        pytest.param("workflow_run: {}", "on: the key workflow_run", id="event"),
        pytest.param("schedule: [{cron: '@daily'}]", "on.schedule: @daily", id="cron"),
        pytest.param("push: {tags: [x]}", "on.push: the key tags", id="filter"),
    ],
)
def test_an_unknown_event_is_refused(tmp_path: Path, on: str, what: str) -> None:
    """Who asks when a workflow starts gets no guess."""
    (tmp_path / "w.yml").write_text(f"on: {{{on}}}\npermissions: {{}}\n{job('{run: x}')}", encoding="utf-8")

    with pytest.raises(UnknownError) as error:
        load(tmp_path / "w.yml")

    assert str(error.value) == what


def test_an_unknown_path_pattern_is_refused(tmp_path: Path) -> None:
    """Only a file's whole path and `folder/**` are understood."""
    (tmp_path / "w.yml").write_text(f"on: {{push: {{paths: ['*.py']}}}}\npermissions: {{}}\n{job('{run: x}')}", "utf-8")

    with pytest.raises(UnknownError, match="the path pattern"):
        load(tmp_path / "w.yml").starts("push", branch="main", files=["a.py"])

"""The stepper keeps the runner's rules, on small workflow files."""

from pathlib import Path

import pytest
from tests.stepper import tokens
from tests.stepper.small import Play, job
from tests.stepper.workflow import load


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        pytest.param("", "success", id="none-has-no-pipefail"),
        pytest.param(", shell: bash", "failure", id="bash-has-it"),
    ],
)
def test_a_broken_pipe_fails_only_under_shell_bash(play: Play, shell: str, expected: str) -> None:
    """Without `shell:` it is `bash -e`, with it `bash --noprofile --norc -e -o pipefail`."""
    assert play(job(f"{{run: 'false | true'{shell}}}")).results == {"a": expected}


def test_the_default_shell_holds_for_every_step(play: Play) -> None:
    """`defaults.run.shell` stands for each step's own."""
    top = "permissions: {}\ndefaults: {run: {shell: bash}}"

    assert play(job("{run: 'false | true'}"), top=top).results == {"a": "failure"}


@pytest.mark.parametrize(
    ("grants", "may"),
    [
        pytest.param("{}", [], id="none"),
        pytest.param("{issues: write}", ["issues read", "issues write"], id="write-is-read-as-well"),
        pytest.param("{contents: read, id-token: write}", ["contents read"], id="read"),
    ],
)
def test_a_job_s_token_may_do_what_the_job_may(play: Play, grants: str, may: list[str]) -> None:
    """It tells its rights to whoever is asked, and no log tells it."""
    show = "{run: 'echo $TOKEN; echo $TOKEN > token', env: {TOKEN: '${{ github.token }}'}}"
    [run] = play(job(show, permissions=grants)).jobs
    token = (run.workspace / "token").read_text(encoding="utf-8").strip()

    assert run.said == ["***"]
    rights = [f"{right} {level}" for right in ("contents", "issues") for level in ("read", "write")]
    assert [right for right in rights if tokens.may(token, *right.split())] == may
    assert not tokens.may("another", "issues", "read")


def test_the_nearer_environment_wins(play: Play) -> None:
    """Workflow, job, what an earlier step exported, and the step's own: the later of these wins."""
    run = play(
        job(
            "{run: 'echo $A $B $C $D; echo C=exported >> $GITHUB_ENV; echo D=exported >> $GITHUB_ENV'}",
            "{run: 'echo $A $B $C $D ${{ env.C }}', env: {D: step}}",
            env="{B: job, C: job, D: job}",
        ),
        top="permissions: {}\nenv: {A: workflow, B: workflow}",
    )

    assert run.jobs[0].said == ["workflow job job job", "workflow job exported step exported"]


def test_a_value_may_hold_several_expressions(play: Play) -> None:
    """Each is replaced; alone it keeps its type, which text around it turns into a string."""
    run = play(job("{run: 'echo $A $B', env: {A: '${{ 1 }}/${{ 2 == 2 }}', B: '${{ null }}-'}}"))

    assert run.jobs[0].said == ["1/true -"]


def test_steps_hand_on_what_they_write_to_the_files(play: Play) -> None:
    """Outputs, several lines long if need be, and folders for PATH, the last one first."""
    run = play(
        job(
            "{id: one, run: 'printf \"K<<END\\na\\nb=c\\nEND\\n\" >> $GITHUB_OUTPUT; echo /x >> $GITHUB_PATH'}",
            "{run: 'echo \"$K\" \"${PATH%%:*}\"', env: {K: '${{ steps.one.outputs.K }}'}}",
        )
    )

    assert run.jobs[0].said == ["a", "b=c /x"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("K<<END", "Matching delimiter not found 'END'", id="no-end"),
        pytest.param("K", "Invalid format 'K'", id="no-value"),
        pytest.param("NODE_OPTIONS=-r x", "Can't store NODE_OPTIONS", id="node-options"),
    ],
)
def test_a_command_file_that_makes_no_sense_fails_the_step(play: Play, line: str, why: str) -> None:
    """The step's own exit code does not matter then."""
    run = play(job(f"{{run: 'echo \"{line}\" >> $GITHUB_ENV'}}"))

    assert run.results == {"a": "failure"}
    assert why in run.log


@pytest.mark.parametrize(
    ("command", "seen"),
    [
        pytest.param("one-1%0Atwo-2", ["::add-mask::***", "*** ***"], id="escaped"),
        pytest.param("one-1\ntwo-2", ["::add-mask::***", "two-2", "*** two-2"], id="as-it-is"),
    ],
)
def test_only_an_escaped_secret_is_masked_on_all_its_lines(play: Play, command: str, seen: list[str]) -> None:
    """The runner reads line by line: of a secret printed as it is, the second line is no command, just a leak."""
    mask = "; ".join(f"echo {line}" for line in f"::add-mask::{command}".splitlines())
    run = play(job(f"{{run: '{mask}; echo one-1 two-2 | tee $GITHUB_STEP_SUMMARY'}}"))

    assert (run.jobs[0].said, run.jobs[0].summary.strip()) == (seen, seen[-1])


def test_a_mask_does_not_reach_back(play: Play) -> None:
    """What was said before a value was declared stays readable."""
    run = play(job("{run: 'echo early-1; echo ::add-mask::early-1; echo early-1'}"))

    assert run.jobs[0].said == ["early-1", "::add-mask::***", "***"]


def test_a_job_output_with_a_secret_in_it_is_left_out(play: Play) -> None:
    """The next job gets nothing, and the log warns."""
    step = '{id: s, run: \'echo ::add-mask::hidden-1; echo a=hidden-1 b=plain | tr " " "\\n" >> $GITHUB_OUTPUT\'}'
    run = play(job(step, outputs="{a: '${{ steps.s.outputs.a }}', b: '${{ steps.s.outputs.b }}'}"))

    assert run.jobs[0].outputs == {"b": "plain"}
    assert "Skip output 'a' since it may contain secret." in run.log


def test_a_secret_is_masked_from_the_start(play: Play) -> None:
    """Repository and environment secrets are hidden in the log; only a job in the environment has the latter's."""
    secrets = {"": {"R": "shared-1"}, "prod": {"E": "guarded-1"}}
    steps = "    steps: [{run: 'echo r=$R e=$E length=${#E}', env: {R: '${{ secrets.R }}', E: '${{ secrets.E }}'}}]\n"
    jobs = f"jobs:\n  a:\n    environment: prod\n{steps}  b:\n{steps}"

    assert [run.said for run in play(jobs, secrets=secrets).jobs] == [["r=*** e=*** length=9"], ["r=*** e= length=0"]]


LISTING = """
jobs:
  list:
    outputs: {all: "${{ steps.l.outputs.all }}"}
    steps: [{id: l, run: "echo 'all=[{\\"n\\": 1}, {\\"n\\": 2}]' >> $GITHUB_OUTPUT"}]
  each:
    name: each (${{ matrix.n }})
    needs: list
    strategy: {fail-fast: false, matrix: {include: "${{ fromJSON(needs.list.outputs.all) }}"}}
    steps: [{run: 'exit "$CODE"', env: {CODE: "${{ matrix.n == 2 && 1 || 0 }}"}}]
  last:
    if: ${{ always() }}
    needs: [list, each]
    steps: [{run: 'echo "$RESULTS"', env: {RESULTS: "${{ join(needs.*.result, ' ') }}"}}]
"""


def test_a_matrix_comes_from_an_earlier_job(play: Play) -> None:
    """One job for each entry; one that fails makes the whole a failure, and stops neither the others nor `always()`."""
    run = play(LISTING)

    assert [(job.name, job.result) for job in run.jobs] == [
        ("list", "success"),
        ("each (1)", "success"),
        ("each (2)", "failure"),
        ("last", "success"),
    ]
    assert run.job("last").said == ["success failure"]


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        pytest.param("always()", True, id="always"),
        pytest.param("'${{ failure() }}'", True, id="failure"),
        pytest.param("'${{ !cancelled() }}'", True, id="not-cancelled"),
        pytest.param("success()", False, id="success"),
        pytest.param("env.A == 'a'", False, id="success-is-implied"),
        pytest.param("failure() && env.A != 'A'", False, id="case-does-not-matter"),
    ],
)
def test_a_condition_decides_after_a_failure(play: Play, condition: str, runs: bool) -> None:  # noqa: FBT001
    """A step after a failed one runs only where its condition asks for that; the job stays failed."""
    run = play(job('{run: "false"}', f'{{if: {condition}, run: "true"}}', env="{A: a}"))

    assert run.jobs[0].steps[1].outcome == ("success" if runs else "skipped")
    assert run.results == {"a": "failure"}


def test_a_job_after_a_skipped_one_is_skipped(play: Play) -> None:
    """Without a condition of its own a job needs the success of all before it, however far."""
    end = "steps: [{run: 'true'}]"
    jobs = f"jobs:\n  a: {{{end}}}\n  b: {{needs: a, if: failure(), {end}}}\n  c: {{needs: [a, b], {end}}}"

    assert play(jobs).results == {"a": "success", "b": "skipped", "c": "skipped"}


def test_a_step_that_takes_too_long_fails_and_reports_still_go_up(play: Play) -> None:
    """A step's time-out is a failure: the upload after it runs."""
    run = play(job("{run: sleep 60, timeout-minutes: 1}", "{if: '${{ !cancelled() }}', run: echo up}"), minute_s=0.2)

    assert [step.outcome for step in run.jobs[0].steps] == ["failure", "success"]


def test_a_job_that_takes_too_long_is_cancelled(play: Play) -> None:
    """A job's time-out is a cancellation: `!cancelled()` does not hold any more."""
    steps = ("{run: sleep 60}", "{if: '${{ !cancelled() }}', run: echo up}")
    run = play(job(*steps, timeout_minutes="1"), minute_s=0.2)

    assert (run.results, run.jobs[0].steps[1].outcome) == ({"a": "cancelled"}, "skipped")


def test_an_identity_token_can_be_asked_for_only_where_it_is_granted(play: Play) -> None:
    """`id-token: write` puts its address and bearer into the job's environment; nothing else does."""
    step = "{run: 'echo ${ACTIONS_ID_TOKEN_REQUEST_URL:-none} ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-none}'}"
    jobs = job(step) + f"  b:\n    permissions: {{id-token: write}}\n    steps:\n      - {step}\n"

    assert [run.said for run in play(jobs).jobs] == [["none none"], ["http://127.0.0.1:1/ ***"]]


def test_the_runner_hears_commands_only_until_told_to_stop(play: Play) -> None:
    """Between `::stop-commands::TOKEN` and `::TOKEN::` a test's output commands nothing."""
    lines = "::stop-commands::t", "::error::no", "::t::", "::error title=x::yes 100%25"
    run = play(job(f"{{run: '{'; '.join(f'echo {line}' for line in lines)}'}}"))

    assert run.jobs[0].output.annotations == ["error: yes 100%"]


def test_a_summary_that_is_too_large_is_dropped(play: Play) -> None:
    """More than 1 MiB in one step is not shown at all."""
    run = play(job("{run: 'head -c 1048577 /dev/zero > $GITHUB_STEP_SUMMARY'}"))

    assert (run.jobs[0].summary, "upload aborted" in run.log) == ("", True)


def test_a_push_starts_only_what_listens_to_its_files(tmp_path: Path) -> None:
    """Branch and paths both have to fit; a hand starts it from anywhere."""
    file = tmp_path / "w.yml"
    paths = "{branches: [main], paths: [src/**, a.txt]}"
    file.write_text(f"on: {{push: {paths}, workflow_dispatch: null}}\npermissions: {{}}\n{job('{run: x}')}", "utf-8")
    starts = load(file).starts

    assert [
        starts("push", branch="main", files=files) for files in (["src/x/y"], ["b", "a.txt"], ["srcs/x"], ["b"])
    ] == [
        True,
        True,
        False,
        False,
    ]
    assert not starts("push", branch="other", files=["a.txt"])
    assert starts("workflow_dispatch", branch="other", files=[])

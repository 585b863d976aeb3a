"""The workflows: small rights, pinned actions, and steps you could type at home."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.stepper import composite
from tests.stepper import workflow as stepper
from tests.stepper.expressions import interpolate

from testbay.manifest.load import load_manifest
from testbay.manifest.placeholders import variables
from testbay.manifest.project import service_folders

HEALTH = Path(__file__).parents[2] / ".github/workflows/production-health-check.yml"
WORKFLOWS = sorted((Path(__file__).parents[2] / ".github/workflows").glob("*.yml"))
every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
# What is asked on a schedule protects no branch: a job that fails there turns the run red, and that is all.
# And what other repositories call protects theirs.
GATED = [file for file in WORKFLOWS if not {"schedule", "workflow_call", "release"} & stepper.load(file).events.keys()]
every_gated_workflow = pytest.mark.parametrize("file", GATED, ids=lambda file: file.name)


def load(file: Path) -> dict[str, Any]:
    document = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert isinstance(document, dict)
    return document


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in load(file)["jobs"].values() for step in job["steps"]]


@every_workflow
def test_rights_are_given_job_by_job(file: Path) -> None:
    """The workflow itself may do nothing; each job says what it needs."""
    workflow = load(file)

    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "permissions" not in job] == []


@every_workflow
def test_every_job_has_an_end(file: Path) -> None:
    """No job runs for GitHub's default of six hours."""
    assert [name for name, job in load(file)["jobs"].items() if job.get("timeout-minutes", 999) > 60] == []


@every_workflow
def test_actions_are_pinned_to_a_commit(file: Path) -> None:
    """A tag can be moved, a commit cannot; the version stands beside it for people and for Dependabot."""
    uses = re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8"))

    pinned = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.testbay/action # zizmor: ignore.*")

    assert [use for use in uses if not pinned.fullmatch(use)] == []


@every_workflow
def test_checkout_leaves_no_credentials(file: Path) -> None:
    """The token does not stay in the checkout, where a test or an artifact could take it."""
    checkouts = [step for step in steps(file) if step.get("uses", "").startswith("actions/checkout@")]

    assert [step.get("with", {}).get("persist-credentials") for step in checkouts] == [False] * len(checkouts)


@every_workflow
def test_steps_are_one_line_that_works_at_home(file: Path, root: Path) -> None:
    """A step is one line, holds no expression, and the scripts it calls exist."""
    runs = [step["run"] for step in steps(file) if "run" in step]
    scripts = [name for run in runs for name in re.findall(r"(?:scripts|services)/[\w./-]+", run)]

    assert [run for run in runs if "\n" in run or "${{" in run] == []
    assert [name for name in scripts if not (root / name).is_file()] == []


@every_workflow
def test_the_scripts_in_steps_pass_shellcheck(file: Path, root: Path) -> None:
    """Every `run:` is read by ShellCheck, as the scripts are."""
    assert run_blocks(root, file) == (0, "")


def run_blocks(root: Path, file: Path) -> tuple[int, str]:
    call = [sys.executable, str(root / "scripts/shellcheck_runs.py"), str(file)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(call, env={"PATH": path}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_finding_in_a_step_is_placed(root: Path, tmp_path: Path) -> None:
    """The linter itself: a planted fault is found, with the place where it stands."""
    (tmp_path / "w.yml").write_text("jobs: {a: {steps: [{uses: x}, {run: echo $1}]}}", encoding="utf-8")

    code, said = run_blocks(root, tmp_path / "w.yml")

    assert (code, said.splitlines()[0], "SC2086" in said) == (1, f"{tmp_path / 'w.yml'}: a.steps[1]:", True)


@every_workflow
def test_no_step_runs_for_ever(file: Path) -> None:
    """Each step that runs or uploads something ends well before its job: then it fails, and reports still go up."""
    late = [
        step.name
        for job in stepper.load(file).jobs
        for step in job.steps
        if not step.uses.startswith(("actions/checkout@", "actions/setup-python@"))
        and (step.timeout_minutes or job.timeout_minutes) >= job.timeout_minutes
    ]

    assert late == []


@every_gated_workflow
def test_required_checks_waits_for_every_job(file: Path) -> None:
    """The one check that protects main needs each other job, and runs whatever became of them."""
    jobs = load(file)["jobs"]

    assert sorted(jobs["required-checks"]["needs"]) == sorted(set(jobs) - {"required-checks"})
    assert jobs["required-checks"]["if"] == "${{ always() }}"


@every_gated_workflow
def test_required_checks_is_green_only_when_all_are(file: Path) -> None:
    """One job that failed, was cancelled or was left out makes it red."""
    needs = load(file)["jobs"]["required-checks"]["needs"]
    good = dict.fromkeys(needs, "success")
    bad = [good | {name: result} for name in needs for result in ("failure", "cancelled", "skipped")]

    assert gate_passes(file, good)
    assert [results for results in bad if gate_passes(file, results)] == []


@pytest.mark.parametrize(
    ("name", "jobs"), [("integration-tests.yml", ["integration", "merge"]), ("production-readiness.yml", ["check"])]
)
def test_a_push_that_concerns_no_service_is_green(root: Path, name: str, jobs: list[str]) -> None:
    """An empty matrix, and nothing else, may leave its jobs out."""
    file = root / ".github/workflows" / name
    left_out = {"list": "success"} | dict.fromkeys(jobs, "skipped")

    assert gate_passes(file, left_out, matrix="[]")
    assert not gate_passes(file, left_out)
    assert not gate_passes(file, left_out | {"list": "failure"}, matrix="[]")


def gate_passes(file: Path, results: dict[str, str], matrix: str = "[{}]") -> bool:
    """Whether the step of required-checks ends well after jobs with these results."""
    gate = next(job for job in stepper.load(file).jobs if job.id == "required-checks")
    needs = {name: {"result": result, "outputs": {"matrix": matrix}} for name, result in results.items()}
    env = {key: interpolate(text, {"needs": needs}) for key, text in gate.env.items()}
    return subprocess.run(["bash", "-c", gate.steps[0].run], env=env, check=False).returncode == 0


def test_gates_have_names_of_their_own() -> None:
    """Branch protection names checks by the job's name alone: two of one name would stand for each other."""
    names = [load(file)["jobs"]["required-checks"]["name"] for file in GATED]

    assert sorted(set(names)) == sorted(names)


def test_only_the_job_with_the_key_can_ask_for_a_token(root: Path) -> None:
    """`id-token: write` stands in one job with our code and in two without any, each in an environment, and no pull
    request starts them.
    """
    trusted = [
        (file.name, job.id, job.environment, "pull_request" in stepper.load(file).events)
        for file in WORKFLOWS
        for job in stepper.load(file).jobs
        if job.environment or "id-token" in job.permissions
    ]

    assert trusted == [
        ("agent-executor-integration-tests.yml", "integration", "ci-openai", False),
        ("production-health-check.yml", "publish", "github-pages", False),
        ("release.yml", "publish", "pypi", False),
    ]
    assert [step.run for job in stepper.load(HEALTH).jobs if job.environment for step in job.steps] == [""]


@pytest.mark.parametrize(
    ("file", "starts"),
    [
        pytest.param("services/agent_executor/src/agent_executor/app.py", True, id="the-service"),
        pytest.param("src/testbay/harness/run/command.py", True, id="testbay"),
        pytest.param("scripts/bootstrap", True, id="scripts"),
        pytest.param(".github/workflows/agent-executor-integration-tests.yml", True, id="itself"),
        pytest.param("services/other/src/other/app.py", False, id="another-service"),
        pytest.param("docs/ci.md", False, id="docs"),
    ],
)
def test_a_push_that_touches_agent_executor_starts_its_workflow(root: Path, file: str, starts: bool) -> None:  # noqa: FBT001
    """On main only, and only for files that its tests read."""
    workflow = stepper.load(root / ".github/workflows/agent-executor-integration-tests.yml")

    assert workflow.starts("push", branch="main", files=["README.md", file]) == starts
    assert not workflow.starts("push", branch="topic", files=[file])


@pytest.mark.parametrize("name", ["ci.yml", "integration-tests.yml", "production-readiness.yml"])
def test_the_general_workflows_name_no_service(root: Path, name: str) -> None:
    """Adding a service touches no YAML: the matrix comes from tier 2."""
    services = [folder.name for folder in (root / "services").iterdir() if folder.is_dir()]
    text = re.sub(r"#.*", "", (root / ".github/workflows" / name).read_text(encoding="utf-8"))

    assert [service for service in services if service in text] == []


def test_the_schedule_stands_alone() -> None:
    """GitHub ends a schedule after 60 quiet days, and the whole file with it: no push or pull request is part of it."""
    events = {file.name: set(stepper.load(file).events) for file in WORKFLOWS}

    assert {name: found for name, found in events.items() if "schedule" in found} == {
        "production-health-check.yml": {"schedule", "workflow_dispatch"}
    }


def test_a_run_of_the_schedule_is_never_cancelled() -> None:
    """One at a time, whatever started it: one that was cut off has perhaps opened an issue that it did not see."""
    assert load(HEALTH)["concurrency"] == {
        "group": "${{ github.workflow }}",
        "cancel-in-progress": False,
    }


def test_nobody_who_watches_production_has_two_rights() -> None:
    """Who asks writes nothing, who keeps issues writes no contents, who keeps the history touches no issue."""
    rights = {job.id: dict(job.permissions) for job in stepper.load(HEALTH).jobs}

    assert rights == {
        "list": {"contents": "read"},
        "check": {"contents": "read", "deployments": "read"},
        "incidents": {"contents": "read", "issues": "write"},
        "history": {"contents": "write"},
        "metrics": {"contents": "read"},
        "page": {"contents": "read"},
        "publish": {"pages": "write", "id-token": "write"},
    }


def test_every_address_of_a_deployment_reaches_the_schedule(root: Path) -> None:
    """Each variable that a target of a service names stands in the workflow's env, as the variable of that name."""
    named = {
        name
        for folder in service_folders(root).values()
        for target in load_manifest(folder).target.values()
        for name in variables(target.base_url)
    }

    assert named
    assert load(HEALTH)["env"] == {name: f"${{{{ vars.{name} }}}}" for name in named}


def test_each_secret_reaches_the_one_step_that_needs_it() -> None:
    """The job that asks the deployment is told no way to alert, and no action or set-up gets any."""
    told = {
        (job.id, secret): step.name
        for job in stepper.load(HEALTH).jobs
        for step in job.steps
        for secret in re.findall(r"secrets\.(\w+)", str([step.env, step.inputs]))
    }

    assert told == {
        ("incidents", "SLACK_WEBHOOK_URL"): "Have the issues say what the report says",
        ("metrics", "PUSHGATEWAY_PASSWORD"): "Push what was found to Prometheus",
    }
    assert HEALTH.read_text(encoding="utf-8").count("secrets.") == len(told)


def test_no_check_runs_in_an_environment() -> None:
    """A job in one makes a deployment to it, and the newest deployment is what checks go by."""
    assert {job.id: job.environment for job in stepper.load(HEALTH).jobs if job.environment} == {
        "publish": "github-pages"
    }


def test_ci_is_made_of_the_targets_that_ci_run_calls(root: Path) -> None:
    """`bash .ci/run` on one machine and the workflows on several do the same."""
    called = set(re.findall(r"(?m)^make ([^>\n]*?)(?: >.*)?$", (root / ".ci/run").read_text(encoding="utf-8")))
    runs = {step["run"].removeprefix("make ") for step in steps(root / ".github/workflows/ci.yml") if "run" in step}

    assert called - runs == {"integration-test TESTBAY_ENGINE=compose"}  # integration-tests.yml's
    assert {run for run in runs - called if not run.startswith("test ")} == set()


@pytest.mark.parametrize("file", ["integration-tests.yml", "production-readiness.yml"])
def test_no_push_ends_the_run_that_waits_before_it(root: Path, file: str) -> None:
    """Which alone looks at the changes of its own push; of a pull request the newest run sees all of them."""
    group = stepper.load(root / ".github/workflows" / file).group

    def of(event: str, run: str) -> str:
        github = {"workflow": "w", "event_name": event, "ref": "refs/x", "run_id": run}
        return str(interpolate(group, {"github": github}))

    assert of("push", "1") != of("push", "2")
    assert of("pull_request", "1") == of("pull_request", "2") == "w-refs/x"


ACTION = Path(__file__).parents[2] / "action.yml"


def test_the_action_is_held_to_the_same_rules(root: Path) -> None:
    """Pinned actions, steps of one line without an expression, scripts that exist and pass ShellCheck."""
    test_actions_are_pinned_to_a_commit(ACTION)
    runs = [step["run"] for step in load(ACTION)["runs"]["steps"] if "run" in step]

    assert [run for run in runs if "\n" in run or "${{" in run] == []
    assert {name for run in runs for name in re.findall(r"scripts/[\w./-]+", run)} == {"scripts/ci/action.sh"}
    assert run_blocks(root, ACTION) == (0, "")


def test_the_action_and_the_workflow_take_the_same_inputs(root: Path) -> None:
    """With the same defaults; how long reports are kept is the workflow's own decision."""
    action = composite.load(root).inputs
    called = stepper.load(root / ".github/workflows/testbay.yml").inputs

    assert {name: asked.default for name, asked in called.items()} == {
        name: default for name, default in action.items() if name != "retention-days"
    }

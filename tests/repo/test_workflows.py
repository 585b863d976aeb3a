"""The workflows: small rights, pinned actions, and steps you could type at home."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github/workflows").glob("*.yml"))
every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)


def load(file: Path) -> dict[str, Any]:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
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

    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


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
def test_required_checks_waits_for_every_job(file: Path) -> None:
    """The one check that protects main fails unless each other job succeeded."""
    jobs = load(file)["jobs"]
    gate = jobs["required-checks"]

    assert sorted(gate["needs"]) == sorted(set(jobs) - {"required-checks"})
    assert gate["steps"][0]["run"] == f'test "$RESULTS" = "{" ".join(["success"] * len(gate["needs"]))}"'


def test_the_integration_workflow_names_no_service(root: Path) -> None:
    """Adding a service touches no YAML: the matrix comes from tier 2."""
    services = [folder.name for folder in (root / "services").iterdir() if folder.is_dir()]
    text = (root / ".github/workflows/integration-tests.yml").read_text(encoding="utf-8")

    assert [name for name in services if name in text] == []

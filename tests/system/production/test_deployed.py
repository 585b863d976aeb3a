"""Which commit should answer on a schedule: a real service, and a GitHub that knows what was deployed."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.samples.reports import verdicts
from tests.system.conftest import Bay
from tests.system.fakes import deployment
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_github import TOKEN, FakeGitHub, Fault

from testbay.production.checks.report import Report
from testbay.production.remote.deployed import on_github
from testbay.production.remote.github import Patience

OLD, NEW, NEWER = "0" * 40, "a" * 40, "b" * 40
MANIFEST = """
service = "shop"
[target.production]
base_url = "http://127.0.0.1:${PORT}"
live = { url = "/api/version", expect = "json.commit == expected_sha", every = "10ms", give_up = "GIVE_UP" }
deployment = { github = "production" }
[[check]]
id = "health"
kind = "http"
get = "/api/health"
expect = ["status == 200"]
"""
Ask = Callable[..., Report]


@pytest.fixture
def shop() -> Iterator[Deployment]:
    """What is deployed: a service that says its commit."""
    with deployed() as made:
        made.commit = NEW
        yield made


@pytest.fixture
def ask(shop: Deployment, github: FakeGitHub, tmp_path: Path) -> Ask:
    """Checks the shop, by default as a schedule does."""

    def start(*, phase: Any = "scheduled", commit: str | None = None, give_up: str = "1ms", **environ: str) -> Report:
        variables = {"PORT": str(shop.port), **github.environ, **environ}
        manifest = MANIFEST.replace("GIVE_UP", give_up)
        report, said = deployment.ask(tmp_path, manifest, variables, phase=phase, commit=commit)
        assert TOKEN not in report.as_json() + said
        return report

    return start


BOTH_PASS = {"live": "pass", "health": "pass"}
BOTH_STALE = {"live": "stale", "health": "stale"}
NOBODY_KNOWS = {"live": "error", "health": "error"}


def test_the_newest_successful_deployment_is_expected(ask: Ask, github: FakeGitHub) -> None:
    """Not the branch's head, which may be ahead of it; the report says what was expected, and why."""
    github.deploy(OLD, "queued", "in_progress", "success")
    github.deploy(NEW, "queued", "in_progress", "success")
    found = ask(GITHUB_SHA=NEWER)

    assert (verdicts(found), found.expected_commit, found.commit) == (BOTH_PASS, NEW, NEW)
    assert found.results[0].evidence == (f"GitHub: {NEW[:12]} is the newest deployment to 'production' that succeeded",)


def test_an_old_build_on_a_schedule_is_stale(ask: Ask, github: FakeGitHub) -> None:
    """GitHub says that the deploy succeeded, and yesterday's build answers."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "success")
    found = ask()

    assert (verdicts(found), found.expected_commit, found.commit, found.exit_code) == (BOTH_STALE, NEWER, NEW, 21)


@pytest.mark.parametrize("state", ["failure", "error", "inactive"])
def test_what_failed_or_ended_is_passed_over(ask: Ask, github: FakeGitHub, state: str) -> None:
    """The build before it is the one that should answer; it is said what became of the newer one."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "in_progress", state)
    found = ask()

    assert (verdicts(found), found.expected_commit) == (BOTH_PASS, NEW)
    assert found.results[0].evidence[-1] == f"GitHub: {NEWER[:12]} is {state}"


def test_a_state_that_is_new_to_us_is_passed_over(ask: Ask, github: FakeGitHub, shop: Deployment) -> None:
    """GitHub may invent one: it is neither success nor on its way there."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "queued")
    body = '[{"id": 9, "state": "waiting"}]'
    github.faults.append(Fault(pattern="deployments/2/statuses", status=200, body=body, times=10))
    old = ask()
    shop.commit = NEWER

    assert (verdicts(old), verdicts(ask())) == (BOTH_PASS, BOTH_STALE)


def test_a_build_whose_deployment_failed_is_not_let_through(ask: Ask, github: FakeGitHub, shop: Deployment) -> None:
    """Half of it landed all the same: that is no build that anybody wants checked."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "in_progress", "failure")
    shop.commit = NEWER

    assert verdicts(ask()) == BOTH_STALE


@pytest.mark.parametrize("states", [[], ["queued"], ["pending"], ["queued", "in_progress"]])
@pytest.mark.parametrize("commit", [NEW, NEWER])
def test_during_a_rollout_either_build_may_answer(
    ask: Ask, github: FakeGitHub, shop: Deployment, states: list[str], commit: str
) -> None:
    """Nobody knows yet how far it is: neither answer is an incident, and the note says which it was."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, *states)
    shop.commit = commit
    found = ask()
    said = f", which is on its way there; {NEW[:12]} came before it" if commit == NEWER else ""

    assert (verdicts(found), found.expected_commit, found.commit) == (BOTH_PASS, commit, commit)
    assert found.results[0].said == f"GET /api/version: {commit} answers{said}"


def test_a_build_that_is_neither_is_stale_during_a_rollout(ask: Ask, github: FakeGitHub, shop: Deployment) -> None:
    """What was there before both of them is still wrong."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "in_progress")
    shop.commit = OLD

    assert (verdicts(ask()), ask().expected_commit) == (BOTH_STALE, NEW)


def test_a_rollout_that_begins_and_ends_while_we_wait_is_noticed(
    ask: Ask, github: FakeGitHub, shop: Deployment
) -> None:
    """What should answer is looked up each time: the new build was there before its deployment was on record."""
    github.deploy(NEW, "success")
    shop.commit = NEWER

    def before(_: str) -> None:
        if len(github.requests) == 3:  # the second time that it is asked
            github.deploy(NEWER, "success")

    github.before = before
    found = ask(give_up="20s")

    assert (verdicts(found), found.expected_commit, found.results[0].attempts) == (BOTH_PASS, NEWER, 2)


def test_a_rollback_is_a_deployment_like_any_other(ask: Ask, github: FakeGitHub, shop: Deployment) -> None:
    """The newest deployment counts, however old its commit is."""
    for commit in (OLD, NEW, OLD):
        github.deploy(commit, "success")
    shop.commit = OLD

    assert verdicts(ask()) == BOTH_PASS


def test_other_environments_do_not_count(ask: Ask, github: FakeGitHub) -> None:
    """A preview of a pull request says nothing about production."""
    github.deploy(NEW, "success")
    github.deploy(NEWER, "success", environment="preview/7 & more")

    assert verdicts(ask()) == BOTH_PASS


def test_an_environment_where_success_ends_the_one_before(github: FakeGitHub) -> None:
    """GitHub makes what came before inactive by itself, where the environment is no production one."""
    github.deploy(OLD, "success", environment="staging")
    github.deploy(NEW, "success", environment="staging")
    github.deploy(NEWER, "failure", environment="staging")

    assert (on_github("staging", github.environ).expected, github.statuses[1][0]["state"]) == (NEW, "inactive")


def test_page_after_page_is_read(ask: Ask, github: FakeGitHub) -> None:
    """The one that succeeded may stand on the third."""
    github.deploy(NEW, "success")
    for _ in range(4):
        github.deploy(NEWER, "failure")
    github.per_page = 2

    assert verdicts(ask()) == BOTH_PASS


def test_no_more_than_thirty_deployments_are_looked_at(ask: Ask, github: FakeGitHub) -> None:
    """A lookup ends; what is older than thirty failures is nothing to rely on."""
    github.deploy(NEW, "success")
    for _ in range(30):
        github.deploy(NEWER, "failure")
    found = ask()

    assert (verdicts(found), len(github.requests)) == (NOBODY_KNOWS, 31)
    assert found.results[0].said == (
        "which commit should answer is not known: GitHub: none of the newest 30 deployments to 'production' succeeded;"
        f" {NEW} answers"
    )


def test_an_environment_without_deployments_is_an_error(ask: Ask, github: FakeGitHub) -> None:
    """Its name may be wrong: a build that cannot be told is not let through, and everything else is still asked."""
    found = ask()

    assert (verdicts(found), found.exit_code, found.expected_commit, found.commit) == (NOBODY_KNOWS, 22, "", NEW)
    assert "GitHub: no deployment to 'production'" in found.results[0].said


@pytest.mark.parametrize(
    ("fault", "said", "line"),
    [
        (Fault(pattern="", status=403), "status 403", "do: in a workflow: permissions: deployments: read"),
        (Fault(pattern="statuses", status=404), "status 404", "do: in a workflow: permissions: deployments: read"),
        (Fault(pattern="", status=200, body="<html>"), "the answer is not JSON", "do: look at githubstatus.com"),
        (Fault(pattern="", status=200, body="[{}]"), "a deployment has an unexpected form", "evidence: its keys: ["),
        (
            Fault(pattern="", status=200, body='[{"id": 1, "sha": "main"}]'),
            "a deployment has an unexpected form",
            "evidence: its keys: ['id', 'sha']",
        ),
    ],
)
def test_a_lookup_that_fails_is_an_error(ask: Ask, github: FakeGitHub, fault: Fault, said: str, line: str) -> None:
    """Not known is not green: why, and what to do, stand in the report; the other checks are asked all the same."""
    github.deploy(NEW, "success")
    github.faults.append(fault)
    found = ask()

    assert (verdicts(found), said in found.results[0].said) == (NOBODY_KNOWS, True)
    assert any(told.startswith(line) for told in found.results[0].evidence)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_REPOSITORY": ""}, "GITHUB_REPOSITORY: '' is not owner/name"),
    ],
)
def test_without_access_nobody_knows(ask: Ask, github: FakeGitHub, environ: dict[str, str], said: str) -> None:
    """What is missing is named, and nothing is asked."""
    found = ask(**environ)

    assert (verdicts(found), github.requests) == (NOBODY_KNOWS, [])
    assert found.results[0].said == f"which commit should answer is not known: {said}; {NEW} answers"


def test_a_lookup_that_fails_for_a_moment_is_done_again(ask: Ask, github: FakeGitHub) -> None:
    """A gateway that is busy is no incident."""
    github.deploy(NEW, "success")
    github.faults.append(Fault(pattern="statuses"))

    assert verdicts(ask()) == BOTH_PASS


def test_a_github_that_is_down_is_given_up(github: FakeGitHub) -> None:
    """In the time there is, and with its last answer, which keeps the token to itself."""
    waits: list[float] = []
    github.faults.append(Fault(pattern="", status=503, body=f"no {TOKEN}", times=10**6))
    patience = Patience(30, clock=lambda: sum(waits), sleep=waits.append)
    found = on_github("production", github.environ, patience)

    assert (found.expected, found.said) == ("", "GitHub: GET /repos/acme/shop/deployments: status 503")
    assert found.evidence == ("do: look at githubstatus.com, then run it again", "evidence: no ***")


@pytest.mark.parametrize(
    ("phase", "commit", "sha"), [("scheduled", NEW, ""), ("post-deploy", NEW, NEWER), ("post-deploy", None, NEW)]
)
def test_who_knows_the_commit_asks_nobody(
    ask: Ask, github: FakeGitHub, phase: str, commit: str | None, sha: str
) -> None:
    """`--commit` beats everything; after a deploy the workflow's own commit is the one."""
    found = ask(phase=phase, commit=commit, GITHUB_SHA=sha, GITHUB_TOKEN="")

    assert (verdicts(found), github.requests) == (BOTH_PASS, [])


def test_whoever_interrupts_a_lookup_need_not_wait_for_github(bay: Bay, github: FakeGitHub) -> None:
    """The command ends when it is told to, whatever hangs."""
    asked, answers = threading.Event(), threading.Event()

    def before(_: str) -> None:
        asked.set()
        answers.wait(40)

    github.before = before
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(MANIFEST.replace('service = "shop"', "").replace("GIVE_UP", "1s"))
    child = bay.start("check", "--phase", "scheduled", PORT="9", **github.environ)
    try:
        assert asked.wait(40)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    finally:
        answers.set()
    assert child.returncode == 130

"""The scheduled workflow as it stands, run again and again: what becomes of issues and history, never in silence."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest
from tests.stepper.actions import PUBLISHED
from tests.system.fakes.fake_github import FakeGitHub, Fault
from tests.system.fakes.fake_slack import KEY, FakeSlack
from tests.system.fakes.production import WORKFLOW, Production, production
from tests.system.production.test_metrics import Gateway

GREEN = dict.fromkeys(["list", "check", "incidents", "history", "page"], "success")
GREEN |= dict.fromkeys(["metrics", "publish"], "skipped")
RED = GREEN | {"check": "failure"}
BAD = "health"

pytestmark = pytest.mark.timeout(600)  # up to six runs of a whole workflow each: minutes beside other suites


@pytest.fixture
def shop(tmp_path: Path, github: FakeGitHub) -> Iterator[Production]:
    with production(tmp_path, github) as made:
        yield made


def test_a_fault_is_one_issue_until_it_is_repaired(shop: Production) -> None:
    """The first bad run opens it, the second says nothing new, the second good one closes it. The history has all."""
    runs = [shop.run(*wrong) for wrong in ([BAD], [BAD], [], [])]

    assert [run.results for run in runs] == [RED, RED, GREEN, GREEN]
    assert {number: issue["state"] for number, issue in shop.github.issues.items()} == {1: "closed"}
    assert [len(shop.github.comments[1]), shop.github.most_open] == [1, 1]  # the one that says how long it was
    assert [title.partition(",")[0] for title in shop.history()] == ["shop on production"] * 4
    assert list(runs[0].artifacts) == ["checks-shop-production", "github-pages"]


def test_what_was_found_is_seen_at_the_run(shop: Production) -> None:
    """The job's summary has a line for each check, and what is wrong is pinned to the run."""
    check = shop.run(BAD).job("check (shop on production)")

    assert check.summary.startswith("## ❌ shop on production, scheduled: 1 failed, 1 passed")
    assert "| **FAIL** | <code>health</code> | <code>status == 200: 404 is not == 200</code> |" in check.summary
    assert check.output.annotations == ["error: status == 200: 404 is not == 200"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a dozen runs
@pytest.mark.parametrize(
    ("before", "wrong", "fixed"),
    [
        pytest.param([], [BAD], "open", id="opening"),
        pytest.param([[BAD]], [BAD], "open", id="updating"),
        pytest.param([[BAD], []], [], "closed", id="closing"),
    ],
)
def test_a_github_that_fails_makes_it_red_and_the_next_run_mends_it(
    shop: Production, before: list[list[str]], wrong: list[str], fixed: str
) -> None:
    """From each call of the run on, in turn: never two issues for a fault, never a run that is green without them."""
    shop.keep("list", "check", "incidents")
    for found in before:
        shop.run(*found)
    then = deepcopy((shop.github.issues, shop.github.comments))
    for call in count(1):
        shop.github.issues, shop.github.comments = deepcopy(then)
        run, reached = shop.run_without(call, *wrong)
        if not reached:
            break
        assert run.results["incidents"] == "failure", run.log
        assert shop.run(*wrong).results["incidents"] == "success"
        assert state(shop) == fixed
    assert call > 3


def state(shop: Production) -> object:
    """Of all issues: there may be no more than one for each fault, ever."""
    titles = [issue["title"] for issue in shop.github.issues.values()]
    assert len(set(titles)) == len(titles)
    return shop.github.issues[1]["state"]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("import os, sys\nif 'check' in sys.argv: os.kill(os.getpid(), 9)", id="killed"),
        pytest.param("", id="before-it-began"),
    ],
)
def test_checks_that_die_are_red_and_change_nothing(shop: Production, end: str) -> None:
    """Without a whole report nobody knows what is wrong, or over: no issue is opened, none is closed."""
    shop.run(BAD)
    done = shop.github.writes(), shop.history()
    if end:
        shop.forge.bootstrap(end)
    else:  # as if a package could not be had
        shop.forge.bootstrap(first='test "$GITHUB_JOB" != check || exit', warm=True)
        shop.forge.commit()

    assert shop.run().results == GREEN | dict.fromkeys(["check", "incidents", "history"], "failure")
    assert (shop.github.writes(), shop.history()) == done


@pytest.mark.parametrize(
    ("grant", "job"),
    [
        pytest.param("issues: write", "incidents", id="issues"),
        pytest.param("contents: write", "history", id="contents"),
    ],
)
def test_without_its_right_a_job_is_red_and_no_other_can_do_its_work(shop: Production, grant: str, job: str) -> None:
    """GitHub asks each token what it may: those of the other jobs would not do."""
    file = shop.forge.root / ".github/workflows" / WORKFLOW
    text = file.read_text(encoding="utf-8")
    assert text.count(f"      {grant} #") == 1
    file.write_text(
        text.replace(f"      {grant} #", "      contents: read #" if "contents" in grant else "      #"), "utf-8"
    )
    shop.forge.commit()

    assert shop.run(BAD).results == RED | {job: "failure"}
    assert (bool(shop.github.issues), bool(shop.history())) == (job != "incidents", job != "history")


def test_without_an_address_nothing_is_asked_and_that_is_said(shop: Production) -> None:
    """A fresh copy of the repository is not red every six hours; why nothing is checked stands at the run."""
    shop.forge.variables.clear()

    run = shop.run(BAD)

    said = "shop on production is not checked: the variable AGENT_EXECUTOR_URL is not set (docs/ci.md)"
    assert run.results == dict.fromkeys(GREEN, "skipped") | {"list": "success"}
    assert (run.jobs[0].output.annotations, run.jobs[0].summary.strip()) == ([f"notice: {said}"], said)
    assert shop.github.requests == []


def test_the_status_page_is_published_where_that_is_wanted(shop: Production) -> None:
    """From the history, by a job that may do nothing else."""
    shop.forge.variables["TESTBAY_PAGES"] = "true"

    run = shop.run()

    assert run.results == GREEN | {"publish": "success"}, run.log
    assert b"shop" in run.artifacts[PUBLISHED]["index.html"]


def test_metrics_are_pushed_where_there_is_a_place_for_them(shop: Production) -> None:
    """Of each run; a place that does not take them turns the run red."""
    with Gateway() as gateway:
        shop.forge.variables["PUSHGATEWAY_URL"] = gateway.url
        first = shop.run()
        gateway.answers = [(400, "no")]

        assert [first.results, shop.run().results] == [GREEN | {"metrics": end} for end in ("success", "failure")]
        assert list(gateway.groups) == ["/metrics/job/testbay/service/shop/target/production"]


def test_a_channel_hears_of_it_and_nobody_reads_its_address(shop: Production) -> None:
    """Once when it begins and once when it is over. One job is told where to; no log, summary or artifact tells it."""
    shop.keep("list", "check", "incidents")
    shop.forge.environ["GITHUB_SERVER_URL"] = "https://github.com"  # where the links of a message lead
    with FakeSlack() as slack:
        shop.forge.secrets["SLACK_WEBHOOK_URL"] = slack.url
        told = [(shop.run(*wrong).results["incidents"], len(slack.told)) for wrong in ([BAD], [BAD], [], [])]
        slack.faults = [Fault(pattern="", status=404, body="no_service")]

        assert told == [("success", heard) for heard in (1, 1, 1, 2)]
        assert shop.run("page").results["incidents"] == "failure"
        assert shop.forge.leaks(shop.run("page"), KEY) == {"environment"}
        assert len(slack.told) == 3

"""What Railway says of a deployment, while a deploy is waited for and on a schedule."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.samples.reports import verdicts
from tests.system.fakes import deployment
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_github import FakeGitHub
from tests.system.fakes.fake_railway import ACCOUNT_TOKEN, IDS, TOKEN, FakeRailway

from testbay.manifest.rollout import Railway
from testbay.production.checks.report import Report
from testbay.production.remote import railway as client

OLD, NEW, NEWER = "0" * 40, "a" * 40, "b" * 40
MANIFEST = f"""
service = "shop"
[target.production]
base_url = "http://127.0.0.1:${{PORT}}"
live = {{ url = "/api/version", expect = "json.commit == expected_sha", every = "10ms", give_up = "GIVE_UP" }}
railway = {{ project = "{IDS["projectId"]}", environment = "${{RAILWAY_ENVIRONMENT}}", service = "{IDS["serviceId"]}" }}
[[check]]
id = "health"
kind = "http"
get = "/api/health"
expect = ["status == 200"]
"""
BOTH_PASS = {"live": "pass", "health": "pass"}
BOTH_STALE = {"live": "stale", "health": "stale"}
NOBODY_KNOWS = {"live": "error", "health": "error"}
Ask = Callable[..., tuple[Report, str]]


@pytest.fixture
def railway() -> Iterator[FakeRailway]:
    """Railway, on loopback: no query of ours is one that its schema does not know."""
    with FakeRailway() as running:
        yield running
    assert running.violations == []


@pytest.fixture
def shop() -> Iterator[Deployment]:
    """What is deployed: a service that says its commit."""
    with deployed() as made:
        made.commit = OLD
        yield made


@pytest.fixture
def ask(shop: Deployment, railway: FakeRailway, tmp_path: Path) -> Ask:
    """Checks the shop: what was found, and what was said meanwhile. The token is in neither."""

    def start(phase: str, commit: str | None = None, give_up: str = "1ms", **environ: str) -> tuple[Report, str]:
        variables = {"PORT": str(shop.port), **railway.environ, **environ}
        manifest = MANIFEST.replace("GIVE_UP", give_up)
        report, said = deployment.ask(tmp_path, manifest, variables, phase=phase, commit=commit)
        assert not [token for token in (TOKEN, ACCOUNT_TOKEN) if token in report.as_json() + said]
        return report, said

    return start


@pytest.mark.parametrize("status", ["FAILED", "CRASHED"])
def test_a_deployment_that_failed_is_not_waited_for(ask: Ask, railway: FakeRailway, status: str) -> None:
    """At once, in place of ten minutes later; the text says whose word that is, and of which commit."""
    railway.deploy(OLD, "SUCCESS")
    railway.deploy(NEW, status)
    found, _ = ask("post-deploy", NEW, "20s")

    assert (verdicts(found), found.results[0].attempts) == ({"live": "fail", "health": "stale"}, 1)
    assert found.results[0].said == f"Railway: the deployment of {NEW[:12]} {status}: it will not answer"


def test_while_a_deploy_is_waited_for_it_is_said_how_far_it_is(
    ask: Ask, railway: FakeRailway, shop: Deployment
) -> None:
    """In the line that replaces itself; the build that answers in the end is what counts."""
    steps = iter(["REMOVED", "QUEUED", "BUILDING", "DEPLOYING"])

    def before() -> None:
        status = next(steps, "SUCCESS")
        railway.deployments = []
        railway.deploy(OLD if status == "REMOVED" else NEW, status)
        shop.commit = NEW if status == "SUCCESS" else OLD

    railway.before = before
    found, said = ask("post-deploy", NEW, "20s")
    told = [f"no deployment of {NEW[:12]} yet", *(f"{NEW[:12]} is {s}" for s in ("QUEUED", "BUILDING", "DEPLOYING"))]

    assert (verdicts(found), found.results[0].attempts) == (BOTH_PASS, 5)
    waiting = f"/api/version: waiting for {NEW[:12]}, {OLD[:12]} answers; Railway: "
    assert [line for line in told if waiting + line not in said] == []


def test_the_newest_deployment_of_a_commit_counts(ask: Ask, railway: FakeRailway, shop: Deployment) -> None:
    """One that failed was deployed again: it is waited for, and stale in the end."""
    railway.deploy(NEW, "FAILED")
    railway.deploy(NEW, "BUILDING")
    found, _ = ask("post-deploy", NEW[:7])

    assert (verdicts(found), found.results[0].evidence[-1]) == (BOTH_STALE, f"Railway: {NEW[:12]} is BUILDING")


def test_what_answers_beats_what_railway_says(ask: Ask, railway: FakeRailway, shop: Deployment) -> None:
    """A build that answers is live, crashed or not."""
    railway.deploy(NEW, "CRASHED")
    shop.commit = NEW

    assert verdicts(ask("post-deploy", NEW)[0]) == BOTH_PASS


@pytest.mark.parametrize("status", ["SKIPPED", "REMOVED", "A_STATE_OF_TOMORROW"])
def test_another_state_is_told_and_decides_nothing(ask: Ask, railway: FakeRailway, status: str) -> None:
    """Also one that we do not know."""
    node = {"status": status, "meta": {"commitHash": NEW}}
    railway.next = [(200, json.dumps({"data": {"deployments": {"edges": [{"node": node}]}}}))]
    found, _ = ask("post-deploy", NEW)

    assert (verdicts(found), found.results[0].evidence[-1]) == (BOTH_STALE, f"Railway: {NEW[:12]} is {status}")


BAD_ANSWERS = [
    ((200, "<html>"), "Railway: status 200, and no JSON", "do: check RAILWAY_API_URL"),
    ((404, "[" * 9999), "Railway: status 404, and no JSON", "do: check RAILWAY_API_URL"),
    ((429, "{}"), "Railway: status 429", "why: Railway limits the rate of a token's requests"),
    ((502, f"no {TOKEN}"), "Railway: status 502", "evidence: no ***"),
    ((401, "{}"), "Railway: not authorized", "do: set RAILWAY_TOKEN to a token of this project and environment"),
    ((200, '{"errors": [{"message": "Not Authorized"}]}'), "Railway: not authorized", "do: set RAILWAY_TOKEN to"),
    (
        (200, '{"errors": [{"message": "Problem"}], "data": null}'),
        "Railway: status 200, and no answer to the",
        "do: chec",
    ),
    (
        (400, '{"errors": [{"message": "Cannot query field"}]}'),
        "Railway: status 400, and no answer to the",
        "do: check",
    ),
    ((200, '{"errors": ["strange"]}'), "Railway: status 200, and no answer to the query", "do: check the ids"),
    ((301, "{}"), "Railway: status 301, and no answer to the query", "do: check the ids"),
    ((200, "[]"), "Railway: the answer is not what was asked for", "evidence: []"),
    (
        (200, '{"data": {"deployments": null}}'),
        "Railway: the answer is not what was asked for",
        "do: run it again later",
    ),
    (
        (200, '{"data": {"deployments": {"edges": [{"node": {"status": 7, "meta": null}}]}}}'),
        "Railway: the answer is not what was asked for",
        "do: run it again later",
    ),
]


@pytest.mark.parametrize(("answer", "said", "line"), BAD_ANSWERS)
def test_a_railway_without_an_answer_changes_no_verdict_of_a_deploy(
    ask: Ask, railway: FakeRailway, answer: tuple[int, str], said: str, line: str
) -> None:
    """Which build answers can be seen without it. That Railway did not answer stands in the report."""
    railway.next = [answer]
    found, _ = ask("post-deploy", OLD)

    assert (verdicts(found), railway.asked) == (BOTH_PASS, 1)
    assert found.results[0].evidence[0].startswith(said)
    assert any(told.startswith(line) for told in found.results[0].evidence)


@pytest.mark.parametrize(("answer", "said", "line"), BAD_ANSWERS)
def test_a_railway_without_an_answer_is_an_error_on_a_schedule(
    ask: Ask, railway: FakeRailway, answer: tuple[int, str], said: str, line: str
) -> None:
    """There nobody else knows what should answer, so nothing that passes is green; after three tries at most."""
    railway.next = [answer] * 3
    found, _ = ask("scheduled")

    assert (verdicts(found), 1 <= railway.asked <= 3) == (NOBODY_KNOWS, True)
    assert found.results[0].said.startswith(f"which commit should answer is not known: {said}")
    assert any(told.startswith(line) for told in found.results[0].evidence)


def test_an_error_keeps_the_token_to_itself(railway: FakeRailway) -> None:
    """Whoever shows it: an answer that repeats the token is masked before it is evidence."""
    railway.next = [(429, f"no {TOKEN}")]
    service = Railway(project="1", environment="2", service="3")
    with pytest.raises(client.RailwayError) as refused:
        asyncio.run(client.newest(service, railway.environ))

    assert refused.value.evidence == "no ***"


def test_a_proxy_of_no_use_is_told(railway: FakeRailway, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to fix, instead of the end of all checks."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    service = Railway(project="a", environment="b", service="c")
    with pytest.raises(client.RailwayError, match="no request can be sent from here") as refused:
        asyncio.run(client.newest(service, railway.environ | {"RAILWAY_API_URL": "https://127.0.0.1:9"}))

    assert refused.value.why.startswith("ImportError: Using SOCKS proxy")


def test_a_railway_that_stumbles_is_asked_again(ask: Ask, railway: FakeRailway) -> None:
    """A query changes nothing: it is sent three times at most."""
    railway.deploy(OLD, "SUCCESS")
    railway.next = [(503, ""), (200, '{"errors": [{"message": "Problem processing request"}]}')]

    assert (verdicts(ask("scheduled")[0]), railway.asked) == (BOTH_PASS, 3)


def test_a_railway_that_hangs_is_left(ask: Ask, railway: FakeRailway, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds a try."""
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.05)
    railway.hangs.clear()
    found, _ = ask("scheduled")

    assert verdicts(found) == NOBODY_KNOWS
    assert found.results[0].said.startswith("which commit should answer is not known: Railway: no answer within 0.05 s")


def test_an_answer_without_end_is_left(ask: Ask, railway: FakeRailway, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than twenty deployments can have is not read into memory."""
    monkeypatch.setattr(client, "_MAX_ANSWER_BYTES", 1 << 20)
    railway.next = [(200, "x" * (2 << 20))]
    found, _ = ask("scheduled")

    assert "Railway: the answer is larger than 1 MiB" in found.results[0].said


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"RAILWAY_TOKEN": ""}, "RAILWAY_TOKEN is not set"),
        ({"RAILWAY_TOKEN": "two\nlines"}, "RAILWAY_TOKEN is not set"),
        ({"RAILWAY_ENVIRONMENT": " "}, "RAILWAY_ENVIRONMENT is not set"),
        ({"RAILWAY_API_URL": "http://railway.example"}, "RAILWAY_API_URL: 'http://railway.example' is not https"),
        ({"RAILWAY_API_URL": "http://127.0.0.1:9"}, "Railway: no answer"),
        ({"RAILWAY_TOKEN": "no-such-token"}, "Railway: not authorized"),
        ({"RAILWAY_ENVIRONMENT": "another"}, "Railway: not authorized"),
    ],
)
def test_without_access_nobody_knows_on_a_schedule(ask: Ask, environ: dict[str, str], said: str) -> None:
    """What is missing is named; the token is never sent where others can read it."""
    found, _ = ask("scheduled", **environ)

    assert verdicts(found) == NOBODY_KNOWS
    assert found.results[0].said.startswith(f"which commit should answer is not known: {said}; {OLD} answers")


def test_a_token_of_the_account_will_do(ask: Ask, railway: FakeRailway) -> None:
    """It goes into another header."""
    railway.deploy(OLD, "SUCCESS")

    assert verdicts(ask("scheduled", RAILWAY_TOKEN="", RAILWAY_API_TOKEN=ACCOUNT_TOKEN)[0]) == BOTH_PASS


def test_a_token_that_is_answered_is_shown_nowhere(ask: Ask, railway: FakeRailway, shop: Deployment) -> None:
    """Neither in the report nor in the line that replaces itself: `ask` looks for it."""
    railway.deploy(NEW, "SUCCESS")

    def before() -> None:
        shop.commit = TOKEN if railway.asked == 1 else NEW

    railway.before = before
    found, said = ask("scheduled", give_up="20s")

    assert (found.commit, "waiting for aaaaaaaaaaaa, *** answers" in said) == (NEW, True)


@pytest.mark.parametrize("status", ["SUCCESS", "SLEEPING"])
def test_on_a_schedule_the_newest_that_runs_is_expected(ask: Ask, railway: FakeRailway, status: str) -> None:
    """What was removed, skipped or failed is passed over; asleep it answers as well."""
    railway.deploy(NEWER, "REMOVED")
    railway.deploy(OLD, status)
    for passed_over in ("FAILED", "SKIPPED", "REMOVED", "REMOVING"):
        railway.deploy(NEW, passed_over)
    found, _ = ask("scheduled")

    assert (verdicts(found), found.expected_commit) == (BOTH_PASS, OLD)
    assert found.results[0].evidence[0] == f"Railway: {OLD[:12]} is the newest deployment that ran: {status}"


def test_an_old_build_on_a_schedule_is_stale(ask: Ask, railway: FakeRailway) -> None:
    """Railway says success, and something else answers."""
    railway.deploy(NEW, "SUCCESS")
    found, _ = ask("scheduled")

    assert (verdicts(found), found.expected_commit, found.commit) == (BOTH_STALE, NEW, OLD)


@pytest.mark.parametrize("status", ["INITIALIZING", "QUEUED", "WAITING", "NEEDS_APPROVAL", "BUILDING", "DEPLOYING"])
@pytest.mark.parametrize("commit", [OLD, NEW])
def test_during_a_rollout_either_build_may_answer(
    ask: Ask, railway: FakeRailway, shop: Deployment, status: str, commit: str
) -> None:
    """As with GitHub's deployments."""
    railway.deploy(OLD, "SUCCESS")
    railway.deploy(NEW, status)
    shop.commit = commit

    assert verdicts(ask("scheduled")[0]) == BOTH_PASS


def test_a_build_that_crashed_is_a_failure_on_a_schedule(ask: Ask, railway: FakeRailway) -> None:
    """It ran last, and nothing older is there any more: whatever answers is not what was deployed."""
    railway.deploy(OLD, "REMOVED")
    railway.deploy(NEW, "CRASHED")
    found, _ = ask("scheduled", give_up="20s")

    assert verdicts(found) == {"live": "fail", "health": "stale"}
    assert found.results[0].said == f"Railway: the deployment of {NEW[:12]} CRASHED: it will not answer"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], "Railway: no deployment"),
        ([(OLD, "REMOVED"), (NEW, "FAILED")], "Railway: none of the newest 2 deployments runs"),
        ([(OLD, "SUCCESS"), ("", "SUCCESS")], "Railway: the newest deployment that ran has no commit"),
        ([(OLD, "SUCCESS"), *[(NEW, "FAILED")] * 20], "Railway: none of the newest 20 deployments runs"),
    ],
)
def test_where_railway_knows_no_commit_nobody_does(
    ask: Ask, railway: FakeRailway, made: list[tuple[str, str]], said: str
) -> None:
    """What was uploaded has none, and twenty failures are enough: not known is not green."""
    for commit, status in made:
        railway.deploy(commit, status)
    found, _ = ask("scheduled")

    assert (verdicts(found), found.expected_commit) == (NOBODY_KNOWS, "")
    assert found.results[0].said == f"which commit should answer is not known: {said}; {OLD} answers"


def test_github_comes_first_where_both_know(
    railway: FakeRailway, github: FakeGitHub, shop: Deployment, tmp_path: Path
) -> None:
    """Then Railway only says how a deploy is going."""
    github.deploy(OLD, "success")
    manifest = MANIFEST.replace("railway =", 'deployment = { github = "production" }\nrailway =').replace(
        "GIVE_UP", "1s"
    )
    environ = {"PORT": str(shop.port), **github.environ, **railway.environ}
    found, _ = deployment.ask(tmp_path, manifest, environ, phase="scheduled")

    assert (verdicts(found), railway.asked) == (BOTH_PASS, 0)


@pytest.mark.parametrize(
    "query",
    [
        "query deployments { deployments(first: 1) { edges { node { status } } } }",
        'query deployments { deployments(input: { limit: 1, serviceId: "1" }) { edges { node { status } } } }',
        "query deployments { deployments(input: {}) { edges { node { meta { commitHash } } } } }",
        "query deployments($first: String) { deployments(input: {}, first: $first) { edges { cursor } } }",
    ],
)
def test_the_fake_refuses_what_the_schema_does_not_know(query: str) -> None:
    """A stub that takes everything would prove nothing."""
    with FakeRailway() as fake:
        headers = {"Project-Access-Token": TOKEN}
        answer = httpx.post(fake.environ["RAILWAY_API_URL"], json={"query": query}, headers=headers)

    assert (answer.status_code, len(fake.violations)) == (400, 1)

"""GitHub fails, throttles, lags, answers nonsense; several runs come at once.

There are never two issues for one fault, and a run that ends without an error has made the issues match.
"""

import random
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from tests.system.fakes.fake_github import TOKEN, FakeGitHub, Fault, Gate
from tests.system.fakes.fake_slack import FakeSlack
from tests.system.fakes.monitor import Monitor, report, result

from testbay.errors import IncidentsError
from testbay.production.checks.report import Report, Result

BAD = [result("a", "fail", "status 502"), result("b", "pass")]
WORSE = [result("a", "fail", "status 502"), result("b", "fail", "status 502")]
GOOD = [result("a", "pass"), result("b", "pass")]
OUTAGE = [BAD, WORSE, GOOD, GOOD]


def at_call(github: FakeGitHub, at: int, fault: Fault) -> None:
    """Let it happen from this call on, counted from 0."""

    def before(_: str) -> None:
        if len(github.requests) == at + 1:
            github.faults.append(fault)

    github.before = before


def live_through(monitor: Monitor, runs: list[list[Result]]) -> None:
    for found in runs:
        monitor.run(*found)


def calls_of_an_outage() -> int:
    """How many requests it takes when all goes well."""
    with FakeGitHub() as github:
        monitor = Monitor(github)
        live_through(monitor, OUTAGE)
        return len(github.requests)


@pytest.mark.parametrize(
    "fault",
    [{"done": False}, {"done": True}, {"times": 3, "status": 503}],
    ids=["not-done", "done-all-the-same", "for-a-while"],
)
def test_a_gateway_fails_at_each_call_in_turn(fault: dict[str, Any]) -> None:
    """Whichever call it is, and done or not: one issue, each thing told once, and closed in the end."""
    for at in range(calls_of_an_outage()):
        with FakeGitHub() as github:
            monitor = Monitor(github)
            at_call(github, at, Fault(pattern="", **fault))
            live_through(monitor, OUTAGE)

            assert (github.most_open, len(github.issues), github.open_numbers()) == (1, 1, []), f"call {at}"
            assert [text.split()[0] for text in monitor.told(1)] == ["Now", "Over."], f"call {at}"
            assert github.violations == []


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done-all-the-same"])
def test_a_gateway_stays_broken_from_each_call_on(*, done: bool) -> None:
    """The run is red, never green over issues that do not match; there are never two, and the next run fixes it."""
    for at in range(calls_of_an_outage()):
        with FakeGitHub() as github:
            monitor = Monitor(github)
            at_call(github, at, Fault(pattern="", done=done, times=10**6))
            with pytest.raises(IncidentsError):
                live_through(monitor, OUTAGE)
            github.faults.clear()
            live_through(monitor, [WORSE, GOOD, GOOD])

            assert (github.most_open <= 1, github.open_numbers(), github.violations) == (True, [], []), f"call {at}"


def test_a_failed_lookup_opens_nothing(monitor: Monitor) -> None:
    """Who does not know what there is writes nothing."""
    monitor.github.faults.append(Fault(pattern="^GET ", times=10**6))

    with pytest.raises(IncidentsError, match=r"^GitHub: GET /repos/acme/shop/issues: status 502\n"):
        monitor.run(*BAD)

    assert (monitor.github.issues, monitor.github.writes()) == ({}, [])


@pytest.mark.parametrize(
    ("status", "headers", "body", "waited_s"),
    [
        (403, {"Retry-After": "30"}, "{}", 30),
        (429, {"Retry-After": "30"}, "{}", 30),
        (403, {"x-ratelimit-remaining": "0"}, "{}", 60),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "{}", 1),
        (422, {}, '{"errors": [{"message": "was submitted too quickly"}]}', 60),
        (403, {}, '{"message": "You have exceeded a secondary rate limit"}', 60),
    ],
)
def test_who_is_throttled_waits_as_long_as_asked(
    monitor: Monitor, status: int, headers: dict[str, str], body: str, waited_s: int
) -> None:
    """A limit is no failure: what was refused is sent again, a new issue too, after the time GitHub names."""
    monitor.github.faults.append(Fault(pattern="^POST", status=status, headers=headers, body=body))
    began = monitor.github.now
    monitor.run(*BAD)

    took_s = (monitor.github.now - began).total_seconds() - 1800
    assert (len(monitor.github.issues), waited_s <= took_s < waited_s + 5) == (1, True)


@pytest.mark.parametrize("header", ["Retry-After", "x-ratelimit-reset"])
def test_nobody_waits_for_ever(monitor: Monitor, header: str) -> None:
    """A wait longer than the time there is ends the run, at once and red, and it is said when to run it again."""
    until = str(int(time.time()) + 3599 if "reset" in header else 3599)
    monitor.github.faults.append(Fault(pattern="", status=429, headers={header: until, "x-ratelimit-remaining": "0"}))

    with pytest.raises(IncidentsError, match="status 429") as refused:
        monitor.run(*BAD)

    assert refused.value.why == "GitHub limits the rate of requests"
    assert refused.value.todo.startswith("run it again in 59 min ")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_token_without_rights_is_named_not_shown(monitor: Monitor, status: int) -> None:
    """The error says what the token lacks; an answer that repeats the token does not get it into the output."""
    monitor.github.faults.append(Fault(pattern="", status=status, body=f"Bearer {TOKEN} may not"))

    with pytest.raises(IncidentsError) as refused:
        monitor.run(*BAD)

    assert refused.value.todo == "in a workflow: permissions: issues: write"
    assert refused.value.evidence == "Bearer *** may not"


def test_an_issue_that_is_gone_is_not_blamed_on_the_token_alone(monitor: Monitor) -> None:
    """GitHub answers 404 for an issue that was moved to where this token may not look; the list had it a moment ago."""
    monitor.run(*BAD)
    monitor.github.faults.append(Fault(pattern="PATCH", status=404, body='{"message": "Not Found"}'))
    with pytest.raises(IncidentsError) as refused:
        monitor.run(*BAD)

    assert refused.value.why == "the issue was deleted or moved meanwhile, or the token lacks the right issues: write"
    assert refused.value.todo == "look whether #1 is there: if so, permissions: issues: write; if not, run it again"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, "Repository was archived so is read-only.", "the repository is archived, so nothing in it can change"),
        (403, "You have triggered an abuse detection mechanism.", "GitHub limits the rate of requests"),
        (422, "Validation Failed", "GitHub does not accept this request"),
    ],
)
def test_a_refusal_is_not_blamed_on_the_token(monitor: Monitor, status: int, body: str, why: str) -> None:
    """Nor on GitHub's health."""
    monitor.github.faults.append(Fault(pattern="POST", status=status, body=body, times=99))

    with pytest.raises(IncidentsError) as refused:
        monitor.run(*BAD)

    assert (refused.value.why, "githubstatus.com" in refused.value.todo) == (why, False)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(pattern="", status=200, body="<html>"), "the answer is not JSON"),
        (Fault(pattern="", status=200, body="{}"), "the answer is no list of objects"),
        (Fault(pattern="", status=200, body='[{"number": "1"}]'), "an issue has an unexpected form"),
        (Fault(pattern="", status=301, headers={"Location": "https://evil.invalid"}), "status 301"),
        (Fault(pattern="", status=418, body="{}"), "status 418"),
        (
            Fault(pattern="", status=200, body="[]", headers={"Link": '<http://evil.invalid/x>; rel="next"'}),
            "continued on another host: http://evil.invalid/x",
        ),
        (
            Fault(pattern="", status=200, body="[]", headers={"Link": '<http://[x>; rel="next"'}),
            r"continued on another host: http://\[x",
        ),
    ],
)
def test_an_answer_that_is_none_is_refused(monitor: Monitor, fault: Fault, why: str) -> None:
    """Nonsense in place of the list is a failed lookup; the token follows nobody to another host."""
    monitor.github.faults.append(fault)

    with pytest.raises(IncidentsError, match=why):
        monitor.run(*BAD)

    assert (monitor.github.issues, len(monitor.github.requests)) == ({}, 1)


def test_a_list_without_end_is_left(monitor: Monitor) -> None:
    """A next page that leads back to itself is followed so often, and no further."""
    loop = f'<{monitor.github.url}/repos/acme/shop/issues>; rel="next"'
    fault = Fault(pattern="^GET", status=200, body="[]", headers={"Link": loop}, times=10**6)
    monitor.github.faults.append(fault)

    with pytest.raises(IncidentsError, match="longer than 50 pages"):
        monitor.run(*BAD)


def test_a_list_that_lags_is_waited_for(monitor: Monitor) -> None:
    """A new issue that the list does not show yet is neither opened again nor left unswept."""
    monitor.github.lag = lambda: 5
    monitor.run(*BAD)
    monitor.run(*WORSE)

    assert monitor.github.most_open == 1


@pytest.mark.parametrize(("lag", "made"), [(3, 1), (12, 2)])
def test_an_issue_that_was_opened_unseen_is_looked_for(monitor: Monitor, lag: int, made: int) -> None:
    """Its answer was lost and the list lags: it is waited for; if in vain, it is a duplicate's turn to be swept."""
    monitor.github.lag = iter([lag, 0]).__next__
    monitor.github.faults.append(Fault(pattern="^POST", done=True))
    live_through(monitor, [BAD] * 6)

    assert (len(monitor.github.issues), monitor.github.open_numbers()) == (made, [1])


def test_a_list_that_never_shows_it_is_no_green_run(monitor: Monitor) -> None:
    """After a minute the run is red: whether there is a second one is not known. The next run opens none."""
    monitor.github.lag = lambda: 30

    with pytest.raises(IncidentsError, match=r"^GitHub: the issues do not settle: #1\n"):
        monitor.run(*BAD)

    assert monitor.github.open_numbers() == [1]


def compete(github: FakeGitHub, seed: int, clients: int, slack_url: str = "") -> None:
    """So many runs at once, their requests in an order that the seed decides, on a list that lags as it likes.

    They do not all see the same.
    """
    chance = random.Random(seed)
    names = [f"ghs_run_number_{number}" for number in range(clients)]
    gate = Gate(names, chance.choice)
    github.turn, github.lag = gate.turn, lambda: chance.choice([0, 0, 1, 3])
    seen = [report(github.now + timedelta(seconds=n), *chance.choice([BAD, WORSE])) for n in range(clients)]
    errors: list[BaseException] = []

    def run(name: str, found: Report) -> None:
        try:
            Monitor(github, slack_url).hand_in(found, name[-1], token=name)
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            errors.append(error)
        finally:
            gate.leave(name)

    threads = [threading.Thread(target=run, args=both) for both in zip(names, seen, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(24))
def test_however_runs_interleave_one_issue_stays(github: FakeGitHub, seed: int) -> None:
    """Two or three runs at once, however their calls interleave, leave the lowest open; the next one has all in it."""
    compete(github, seed, 2 + seed % 2)
    assert github.open_numbers() == [1], f"seed {seed}"

    github.turn = FakeGitHub().turn
    Monitor(github).run(*WORSE)

    assert (github.open_numbers(), Monitor(github).state(1).checks) == ([1], ("a", "b")), f"seed {seed}"


@pytest.mark.parametrize("seed", range(12))
def test_however_runs_interleave_slack_is_told(github: FakeGitHub, seed: int) -> None:
    """Runs at once may tell an opening more than once; nobody leaves it to the other and then nobody does."""
    with FakeSlack() as slack:
        compete(github, seed, 2 + seed % 2, slack.url)

    assert "*Opened*: #1 " in "".join(slack.told), f"seed {seed}"
    assert Monitor(github).state(1).untold == (), f"seed {seed}"


def test_the_interleavings_do_race(github: FakeGitHub) -> None:
    """Some of them open more than one, or the test above would prove nothing."""
    compete(github, 1, 3)

    assert (len(github.issues) > 1, github.most_open > 1, github.open_numbers()) == (True, True, [1])

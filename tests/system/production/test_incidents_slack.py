"""What Slack hears of incidents: each opening and each end, whatever fails; never a secret, a ping, a strange link."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.system.fakes.fake_github import FakeGitHub, Fault
from tests.system.fakes.fake_slack import KEY, FakeSlack, problem
from tests.system.fakes.monitor import Monitor, result

from testbay.errors import BayError, NotDeliveredError
from testbay.production.checks.report import Verdict
from testbay.production.incidents import slack as webhook

BAD = result("health", "fail", "status is 404")
GOOD = result("health", "pass")
SITE = "https://github.com/acme/shop"
RUN = f"{SITE}/actions/runs/1"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as running:
        yield running


@pytest.fixture
def monitor(github: FakeGitHub, slack: FakeSlack) -> Monitor:
    return Monitor(github, slack.url)


def heads(slack: FakeSlack) -> list[tuple[str, int]]:
    """What was told of which issue, in order."""
    told = re.findall(r"(?m)^:\w+: \*(.*?)\*: #(\d+) ", "\n".join(slack.told))
    return [(re.sub(" after .*", "", words), int(number)) for words, number in told]


def test_an_outage_is_told_when_it_begins_and_when_it_is_over(monitor: Monitor, slack: FakeSlack) -> None:
    """What fails, since when or for how long, and where to read on; nothing for the runs in between."""
    for found in (BAD, BAD, GOOD, GOOD, GOOD):
        monitor.run(found, facts={"run_url": RUN})

    head = f"#1 [{SITE}/issues/1] `shop on production: health fails`"
    begun, over, last = (f"2026-11-21 {time} UTC" for time in ("12:30", "13:30", "14:00"))
    assert slack.told == [
        f":red_circle: *Opened*: {head}\nsince {begun}: `status is 404`\nRun of {begun} [{RUN}]",
        f":large_green_circle: *Over after 1 h 0 min*: {head}\n{begun} to {over}\nRun of {last} [{RUN}]",
    ]
    assert slack.payloads[0]["text"] == "Opened: `shop on production: health fails`"


def test_what_fails_is_quoted_not_what_passes(monitor: Monitor, slack: FakeSlack) -> None:
    """Of a check that is asked for several paths the one that fails."""
    monitor.run(result("docs", "pass", "fine", instance="/a"), result("docs", "fail", "status is 500", instance="/b"))

    assert "since 2026-11-21 12:30 UTC: `status is 500`" in slack.told[0]


def test_what_was_told_is_not_told_again(monitor: Monitor, slack: FakeSlack) -> None:
    """The same workflow run, run again, finds in the issue that it was."""
    for found in (BAD, GOOD):
        for _ in range(3):
            monitor.run(found, run_id=str(found.verdict == "pass"), close_after=1)

    assert heads(slack) == [("Opened", 1), ("Over", 1)]


def test_an_issue_that_is_opened_again_is_told(monitor: Monitor, slack: FakeSlack) -> None:
    """Whoever read that it was over hears that it is not."""
    for found in (BAD, GOOD, BAD):
        monitor.run(found, close_after=1)

    assert heads(slack) == [("Opened", 1), ("Over", 1), ("Opened again", 1)]


def test_an_issue_about_nothing_any_more_is_told(monitor: Monitor, slack: FakeSlack) -> None:
    """Whoever waits for the end of an outage hears that nobody will prove it."""
    monitor.run(BAD)
    monitor.run(result("docs", "pass"), facts={"known": ("docs",)})

    assert heads(slack) == [("Opened", 1), ("Closed, its checks are gone", 1)]


def test_what_is_untold_when_slack_is_set_up_is_told(github: FakeGitHub, slack: FakeSlack) -> None:
    """The incident that lasts, and not the one that came and went before anybody listened."""
    before, after = Monitor(github), Monitor(github, slack.url)
    for found in (result("old", "fail"), result("old", "pass"), BAD):
        before.run(found, close_after=1)
    after.run(BAD)

    assert heads(slack) == [("Opened", 2)]


def test_a_slack_that_is_down_turns_the_run_red_and_is_told_later(monitor: Monitor, slack: FakeSlack) -> None:
    """The issues say what is wrong all the same; the next run makes up for it, with all that happened since."""
    slack.faults = [Fault(pattern="", status=503, body="upstream", times=10**6)]
    for found in (BAD, GOOD, BAD):
        with pytest.raises(NotDeliveredError, match=r"^Slack cannot be reached: status 503\n"):
            monitor.run(found, close_after=1)
    assert (NotDeliveredError.exit_code, monitor.github.open_numbers(), slack.told) == (26, [1], [])

    slack.faults.clear()
    monitor.run(BAD)
    monitor.run(BAD)

    assert heads(slack) == [("Opened, then over, then opened again", 1)]


@pytest.mark.parametrize(
    ("fault", "waited_s"),
    [
        (Fault(pattern="", status=429, headers={"Retry-After": "30"}, body=""), 30),
        (Fault(pattern="", status=500, body="rollup_error", times=2), 1),
        (Fault(pattern="", status=0, times=2), 1),
    ],
)
def test_what_passes_is_waited_for(monitor: Monitor, slack: FakeSlack, fault: Fault, waited_s: int) -> None:
    """A limit as long as it says, an error or a lost connection a little longer each time."""
    slack.faults = [fault]
    began = monitor.github.now
    monitor.run(BAD)

    assert heads(slack) == [("Opened", 1)]
    assert waited_s <= (monitor.github.now - began - timedelta(minutes=30)).total_seconds() < waited_s + 8


REVOKED = "the webhook was revoked, or its channel is gone, archived, or closed to it"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, "<html>log in</html>", "what answers there is not an incoming webhook"),
        (200, '{"ok":true}', "what answers there is not an incoming webhook"),
        (202, "ok", "what answers there is not an incoming webhook"),
        (302, "", REVOKED),
        (400, "invalid_payload", "Slack does not take the message"),
        (403, "action_prohibited", REVOKED),
        (404, "no_service", REVOKED),
        (410, "channel_is_archived", REVOKED),
    ],
)
def test_what_does_not_pass_is_said_at_once(
    monitor: Monitor, slack: FakeSlack, status: int, body: str, why: str
) -> None:
    """Only Slack's own `ok` is a yes. Whatever an answer repeats, the key of the webhook is in no error."""
    slack.faults = [Fault(pattern="", status=status, body=f"{body} {slack.url}", headers={"Location": slack.url})]

    with pytest.raises(NotDeliveredError, match=f"^Slack: status {status} instead of its ok\n") as refused:
        monitor.run(BAD)

    assert (refused.value.why, refused.value.evidence, slack.requests) == (why, f"{body} ***", 1)
    assert KEY not in f"{refused.value}{monitor.said}{webhook.address(slack.url)!r}"


def test_an_answer_that_is_lost_may_be_told_twice(monitor: Monitor, slack: FakeSlack) -> None:
    """Nobody knows whether it was taken: better twice than never."""
    slack.faults = [Fault(pattern="", status=502, done=True)]
    monitor.run(BAD)

    assert heads(slack) == [("Opened", 1), ("Opened", 1)]


def test_what_could_not_be_remembered_is_told_again(monitor: Monitor, slack: FakeSlack) -> None:
    """When GitHub fails after Slack was told, the run is red, and the next one does not know better."""
    monitor.run(result("other", "fail"))
    monitor.github.before = lambda line: monitor.github.faults.extend(
        [Fault(pattern="^PATCH", times=10**6)] if slack.told[1:] and line.startswith("PATCH") else []
    )
    with pytest.raises(BayError, match="status 502"):
        monitor.run(result("other", "fail"), BAD)
    monitor.github.before = lambda _: None
    monitor.github.faults.clear()
    monitor.run(result("other", "fail"), BAD)

    assert heads(slack) == [("Opened", 1), ("Opened", 2), ("Opened", 2)]


@pytest.mark.parametrize("seed", range(18))
def test_each_turn_is_told_whatever_fails(seed: int) -> None:
    """At least once over any faults of GitHub and Slack; exactly once when none was met."""
    chance = random.Random(seed)
    with FakeGitHub() as github, FakeSlack() as slack:
        monitor, happened = Monitor(github, slack.url), Counter[tuple[str, int]]()
        for at in range(12):
            calm = seed % 3 == 0 or at > 9
            github.faults[:] = [] if calm else faults(chance, chance.choice([1, 2, 9]))
            slack.faults[:] = [] if calm else faults(chance, chance.choice([1, 2, 9]))
            happened.update(turns_of(monitor, chance, calm=calm))
        told = Counter((word, number) for words, number in heads(slack) for word in words.lower().split(", then "))

    assert github.violations == []
    assert {turn: told[turn] for turn, times in happened.items() if told[turn] < times} == {}
    assert seed % 3 or told == happened


def faults(chance: random.Random, times: int) -> list[Fault]:
    """Of all kinds, at some request or other, or none."""
    kinds: list[dict[str, Any]] = [
        {"status": 502},
        {"status": 502, "done": True},
        {"status": 429, "headers": {"Retry-After": "50"}},
    ]
    method = chance.choice(["^GET", "^POST", "^PATCH"])
    return [Fault(pattern=method, times=times, **chance.choice(kinds))] * chance.choice([0, 1])


def turns_of(monitor: Monitor, chance: random.Random, *, calm: bool) -> list[tuple[str, int]]:
    """Which issues a run opened, opened again and closed, as GitHub sees it."""
    before = {number: issue["state"] for number, issue in monitor.github.issues.items()}
    found = [result(name, chance.choice(["pass", "fail"]), f"{name} is ill") for name in "ab"]
    try:
        monitor.run(*found, close_after=1, reopen_within_s=chance.choice([0, 86400]))
    except BayError:
        assert not calm
    after = {number: issue["state"] for number, issue in monitor.github.issues.items()}
    words = {(None, "open"): "opened", ("closed", "open"): "opened again", ("open", "closed"): "over"}
    return [(words[before.get(n), now], n) for n, now in after.items() if before.get(n) != now]


HOSTILE = "<!channel> <@U1> @here <https://evil.invalid|log in> &lt; `*_~ https://evil.invalid\n>quote" + "&" * 400


def test_nothing_in_a_report_is_obeyed(monitor: Monitor, slack: FakeSlack) -> None:
    """However long, whatever in: Slack takes the message, and it calls nobody and leads nowhere (see fake_slack.py)."""
    text: dict[str, Any] = {"service": HOSTILE[:500], "target": HOSTILE[:500], "run_url": HOSTILE[:500]}
    verdicts: tuple[Verdict, ...] = ("fail", "pass")
    for verdict in verdicts:
        many = [result(f"{n}{HOSTILE[:400]}", verdict, f"{n} ill {HOSTILE}") for n in "abc"]
        monitor.run(*many, facts=text, close_after=1)

    assert len(heads(slack)) == 6
    assert "https://evil.invalid" not in re.sub(r"`[^`]*`", "", slack.told[0])


def test_a_bad_day_is_one_message(github: FakeGitHub, slack: FakeSlack) -> None:
    """Ten incidents are named, then how many more; those that last before those that are over."""
    monitor = Monitor(github)
    monitor.run(result("old", "fail"))
    monitor.slack_url = slack.url
    kinds: tuple[Verdict, ...] = ("fail", "stale", "error")
    many = [result(f"{kind}-{n}", kind, f"{n} is ill") for kind in kinds for n in "abcdefghi"]
    monitor.run(result("old", "pass"), *many, close_after=1)

    assert (len(slack.told), len(heads(slack)), heads(slack)[-1][0]) == (1, 10, "Opened")
    assert "… and 2 more issues [https://github.com/acme/shop/issues]\n" in slack.told[0]
    assert slack.payloads[0]["text"].endswith(" and 11 more")


def test_a_preview_says_what_would_be_told(monitor: Monitor, slack: FakeSlack) -> None:
    """And tells nobody."""
    monitor.run(BAD, dry_run=True)

    assert [line for line in monitor.said.splitlines() if line[:1].strip()] == [
        "would open shop on production: health fails",
        "would notify Slack: Opened: shop on production: health fails",
    ]
    assert slack.requests == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/x",
        "hooks.slack.com/x",
        "https://[x",
        "https://hooks.invalid:x/",
        "https://hooks.invalid/a b",
    ],
)
def test_an_address_of_no_use_is_said_in_every_run(monitor: Monitor, url: str) -> None:
    """Not in the first outage; without showing it, and after the issues were put right."""
    monitor.run(BAD)
    monitor.slack_url = url
    for _ in range(2):
        with pytest.raises(NotDeliveredError, match=r"^SLACK_WEBHOOK_URL is not an https address\n"):
            monitor.run(GOOD)

    assert monitor.github.open_numbers() == []
    assert monitor.said.splitlines() == [
        "closed #1 shop on production: health fails",
        "the issues match the report: none open",
    ]


SECTION: dict[str, Any] = {"type": "section", "text": {"type": "mrkdwn", "text": "x", "verbatim": True}}
FINE: dict[str, Any] = {"text": "x", "blocks": [SECTION], "unfurl_links": False, "unfurl_media": False}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({}, ""),
        ({"channel": "#ops"}, "invalid_payload"),
        ({"text": " "}, "no_text"),
        ({"blocks": [SECTION] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {**SECTION["text"], "text": "x" * 3001}}]}, "invalid_blocks"),
        ({"text": "x" * 4001}, "msg_too_long"),
        *[({"text": text}, "something in it is obeyed") for text in ("<!channel>", "<@U1>", "R&D", f"<{SITE}.evil|x>")],
    ],
)
def test_the_fake_itself_says_no(change: dict[str, Any], answer: str) -> None:
    """One that takes everything would prove nothing."""
    assert problem({**FINE, **change}) == answer

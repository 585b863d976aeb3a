"""What a report says of a pattern."""

from datetime import UTC, datetime, timedelta

import pytest

from error_monitor.report import bounded, result

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({}, "fail"),
        ({"state": "regressed"}, "fail"),
        ({"severity": "medium"}, "pass"),  # it was high while it came often: its issue has to end
        ({"state": "resolved"}, "pass"),
        ({"last_seen": NOW - timedelta(days=2)}, "pass"),
        ({"state": "ignored"}, "skip"),
    ],
)
def test_a_pattern_fails_while_it_is_seen_and_severe(facts: dict[str, object], verdict: str) -> None:
    """One that falls below the severity passes: an issue whose check is in no report any more would stay open."""
    pattern: dict[str, object] = {
        "fingerprint": "v1:0",
        "type": "KeyError",
        "frame": "/srv/shop/pay.py in charge",
        "message": "'x'",
        "services": ["shop"],
        "example": ["line"],
    }
    pattern |= {"state": "open", "severity": "high", "last_seen": NOW, **facts}
    found = result(pattern, NOW - timedelta(days=1), ["critical", "high"])

    assert (found["verdict"], found["evidence"]) == (verdict, ["line"] if verdict == "fail" else [])


def test_a_pattern_is_called_the_same_in_each_run() -> None:
    """By type, place and message without values: an issue would have a new title with each event."""
    pattern = {"fingerprint": "v1:0", "type": "Declined", "frame": "/srv/shop/pay.py in charge", "state": "open"}
    pattern |= {"severity": "high", "category": "unknown"}
    said = [
        result({**pattern, **one, "example": [], "last_seen": NOW}, NOW, ["high"])["said"]
        for one in (
            {"message": "card 5 declined", "services": ["shop (eu)"]},
            {"message": "card 9 declined\nby bank", "services": ["shop"]},
        )
    ]

    assert [one.rpartition(" (")[0] for one in said] == ["Declined in pay.py in charge: card * declined"] * 2


def test_thousands_of_failing_patterns_are_one_more_check() -> None:
    """Those that came first keep a check of their own; the last one says how many there are beside them."""
    failing = [{"check": f"v1:{number}", "verdict": "fail"} for number in range(302)]
    passing = [{"check": "v1:x", "verdict": "pass"}]
    many, few = bounded([*failing, *passing]), bounded([*failing[:300], *passing])

    assert [one["check"] for one in many[299:]] == ["v1:299", "patterns", "v1:x"]
    assert (many[300]["verdict"], many[300]["said"]) == (
        "fail",
        "more patterns than issues can name (2 or more)",
    )
    assert (len(few), few[300]["verdict"], len(bounded(passing * 9_000))) == (302, "pass", 701)


def test_patterns_of_one_outage_say_the_same() -> None:
    """Twelve places that need the database are one incident when it is down; another host and a bug are not."""
    pattern = {"type": "OperationalError", "state": "open", "severity": "high", "category": "database"}
    down, other, bug = (
        'connection to server at "db-1", port 5432 failed: Connection refused',
        'connection to server at "db-1", port 6379 failed: Connection refused',
        "column x does not exist",
    )
    said = [
        result(
            {
                **pattern,
                "fingerprint": f"v1:{at}",
                "frame": f"/srv/{at}.py in f",
                "message": message,
                "services": [f"{at}"],
            }
            | {"example": [], "last_seen": NOW},
            NOW,
            ["high"],
        )["said"]
        for at, message in enumerate((down, down, other, bug, bug))
    ]

    assert said[0].startswith(
        "OperationalError: connection to server at *, port * failed: Connection refused (database, "
    )
    assert [said.index(one) for one in said] == [0, 0, 2, 3, 4]

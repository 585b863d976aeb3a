"""What a report says of a pattern."""

from datetime import UTC, datetime, timedelta

import pytest

from error_monitor.report import result

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
        "message": "'x'",
        "services": ["shop"],
        "example": ["line"],
    }
    pattern |= {"state": "open", "severity": "high", "last_seen": NOW, **facts}
    found = result(pattern, NOW - timedelta(days=1), ["critical", "high"])

    assert (found["verdict"], found["evidence"]) == (verdict, ["line"] if verdict == "fail" else [])

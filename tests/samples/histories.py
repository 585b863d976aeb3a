"""Runs as a history has them, to be changed as a test needs it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from testbay.production.checks.report import Verdict
from testbay.production.history.entries import Entry, Outcome

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


def run(hours_ago: float, /, *, now: datetime = NOW, ms: dict[str, float] | None = None, **verdicts: Any) -> Entry:
    """A scheduled run of `shop` on `production`; what is no field of a run is a check with its verdict."""
    fields = {name: verdicts.pop(name) for name in Entry.__dataclass_fields__ if name in verdicts}
    outcomes = tuple(outcome(check, verdict, (ms or {}).get(check)) for check, verdict in verdicts.items())
    started = (now - timedelta(hours=hours_ago)).isoformat()
    facts = {"service": "shop", "phase": "scheduled", "target": "production", "commit": f"c{hours_ago:g}"}
    return Entry(**{**facts, "started": started, "outcomes": outcomes, **fields})


def outcome(check: str, verdict: Verdict = "pass", median_ms: float | None = None) -> Outcome:
    return Outcome(check=check, verdict=verdict, median_ms=median_ms, probes=0 if median_ms is None else 10)


def every_six_hours(days: float, /, *, until: float = 0, now: datetime = NOW, **verdicts: Any) -> list[Entry]:
    """Runs with the same verdicts, the oldest first; the newest is `until` hours ago."""
    return [run(until + 6 * at, now=now, **verdicts) for at in range(int(4 * days), -1, -1)]

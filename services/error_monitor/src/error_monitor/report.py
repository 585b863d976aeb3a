"""The patterns as a report that `testbay incidents` takes: one issue per pattern, closed when it stops."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from error_monitor.database import Database
from error_monitor.patterns.masking import shown
from error_monitor.patterns.queries import Queries
from error_monitor.settings import Settings

_VERSION = 1  # of testbay's report
_EXIT_CODES = {"fail": 20, "error": 22, "pass": 0}
_NOTHING = 23
_LATE_SCANS = 3
_MOST_LINES = 20
_OUTAGE = re.compile(
    r"connection (?:\w+ )?(?:refused|reset|closed|lost|failed|timed out)|(?:could not|cannot|can't|failed to) connect"
    r"|name or service not known|name resolution|getaddrinfo|unreachable|no route to host|service unavailable"
    r"|bad gateway|too many connections|no space left on device|read-only file system",
    re.IGNORECASE,
)
"""Something beside the code is down: each place that needs it has a pattern, and all of them have one reason."""
_OBJECT = re.compile(r"0x[0-9a-f]+|(?<= )/\S*")
"""Addresses in memory and requested paths; host and port name what is down."""
_MOST_FAILING, _MOST_OTHERS = 300, 700
"""An issue has room for the names of some thousand checks, and a report for so many examples."""


async def report(settings: Settings, severities: list[str], quiet_after_s: float) -> dict[str, Any]:
    """Report a check for each pattern.

    It fails while the pattern is seen and severe enough, passes when it was resolved, has been quiet for so long or
    comes so seldom that it is not as severe any more, and says nothing of a pattern that a person ignores. Quiet is
    what was scanned to the end: while a source gives no answer, no pattern becomes quiet.
    """
    database = Database(settings)
    await database.open()
    try:
        queries = Queries(database)
        began, ended = await queries.scanned(settings.monitor)
        now = datetime.now(UTC)
        until = ended or began or now  # without a scan, what was imported is all that there is
        since = until - timedelta(seconds=quiet_after_s)
        patterns = await queries.severe(severities, since)
    finally:
        await database.close()
    results = bounded([result(one, since, severities) for one in patterns])
    if began:
        patience = timedelta(seconds=max(quiet_after_s, _LATE_SCANS * settings.interval_s))
        results.append(_scan(ended, is_late=now - until > patience))
    verdicts = {one["verdict"] for one in results}
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "version": _VERSION,
        "exit_code": next((code for verdict, code in _EXIT_CODES.items() if verdict in verdicts), _NOTHING),
        "service": "error-monitor",
        "phase": "scheduled",
        "target": settings.monitor,
        "started": moment,
        "finished": moment,
        "known": [one["check"] for one in results],  # an incident forgets all others
        "results": results,
    }


def bounded(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the failing patterns that were seen first a result each, and all others one together.

    Those with an issue keep their result while more come. Without a bound, a burst of thousands would fit no issue,
    and neither would a flood of new patterns that replace each other for days.
    """
    if not results:
        return []
    failing = [one for one in results if one["verdict"] == "fail"]
    more = len(failing) - _MOST_FAILING
    rest: dict[str, Any] = {
        "check": "patterns",
        "kind": "pattern",
        "verdict": "fail" if more > 0 else "pass",
        "said": f"more patterns than issues can name ({max(more, 0)} or more)",
        "evidence": [],
    }
    others = [one for one in results if one["verdict"] != "fail"]
    return [*failing[:_MOST_FAILING], rest, *others[:_MOST_OTHERS]]


def _scan(ended: datetime | None, *, is_late: bool) -> dict[str, Any]:
    """The result of the monitor's own check: the patterns are as they were when it last read everything."""
    when = f"ended at {ended:%Y-%m-%d %H:%M} UTC" if ended else "has not ended yet"
    verdict, said = ("error", f"nothing new is known: the last complete scan {when}") if is_late else ("pass", when)
    return {"check": "scan", "kind": "pattern", "verdict": verdict, "said": said, "evidence": []}


def result(pattern: Mapping[str, Any], since: datetime, severities: Sequence[str]) -> dict[str, Any]:
    """The result of one pattern's check; the report has room for the examples of those that fail."""
    is_seen = pattern["state"] in {"open", "regressed"} and pattern["last_seen"] >= since
    is_bad = is_seen and pattern["severity"] in severities
    verdict = "skip" if pattern["state"] == "ignored" else "fail" if is_bad else "pass"
    return {
        "check": pattern["fingerprint"],
        "kind": "pattern",
        "verdict": verdict,
        "said": _description(pattern),
        "evidence": [line[:400] for line in pattern["example"][:_MOST_LINES]] if is_bad else [],
    }


def _description(pattern: Mapping[str, Any]) -> str:
    """Say what a pattern is: its title, and in brackets the rest. Equal words are one incident.

    The title is what stays the same: with the newest message, an issue would have a new one in each run. The
    fingerprint keeps two patterns from sharing an issue, but for those of one outage.
    """
    place = pattern["frame"].replace("\\", "/").rpartition("/")[2]
    first = pattern["message"].partition("\n")[0]
    told = f"{pattern['severity']}, {pattern['state']}, {', '.join(pattern['services'][:5])}, {pattern['fingerprint']}"
    if _OUTAGE.search(first):
        place = ""
        told = f"{pattern['category']}, {hashlib.sha256(_OBJECT.sub('', first).encode()).hexdigest()[:8]}"
    what = f"{pattern['type']} in {place}" if place else pattern["type"]
    title = f"{what}: {shown(pattern['message'])}".removeprefix(": ")[:300]
    return f"{title} ({told.replace(' (', ' ')})"


def as_json(found: Mapping[str, Any]) -> str:
    """Write the report for a file or a pipe; GitHub's runner would obey `##[` wherever it stands."""
    return json.dumps(found, indent=1).replace("##[", "##\\u005b")

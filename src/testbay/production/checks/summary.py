"""A report of checks as Markdown for GitHub's job summary: failures first, escaped and bounded."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from testbay.markdown import code, plain, table
from testbay.production.checks.report import Report, Result, Verdict

_ROWS = 100  # with cells that are cut: a quarter of what a step's summary may have, at worst
_CELL = 200
# In the order in which they are shown.
_WORDS: Mapping[Verdict, str] = {
    "fail": "failed",
    "stale": "stale",
    "error": "could not run",
    "skip": "skipped",
    "pass": "passed",
}


def headline(report: Report) -> str:
    """The counts in words: `2 failed, 14 passed`."""
    counts = Counter(result.verdict for result in report.results)
    return ", ".join(f"{counts[verdict]} {word}" for verdict, word in _WORDS.items() if counts[verdict])


def markdown(report: Report) -> str:
    """Summarise a report in Markdown: its verdict, build and time, and a line for each result."""
    mark = "✅" if report.exit_code == 0 else "❌"
    about = f"{report.service} on {report.target}" if report.target else report.service
    order = list(_WORDS)
    rows = [_row(result) for result in sorted(report.results, key=lambda result: order.index(result.verdict))]
    head = f"## {mark} {plain(about)}, {report.phase}: {headline(report) or 'nothing was asked'}"
    parts = [head, _facts(report), table(["Verdict", "Check", "What it said", "Time"], rows, _ROWS) if rows else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(report: Report) -> str:
    facts = [
        f"expected {code(report.expected_commit)}" if report.expected_commit else "",
        f"{code(report.commit)} answers" if report.commit else "",
        _when(report),
    ]
    return " · ".join(filter(None, facts))


def _when(report: Report) -> str:
    try:
        began, ended = datetime.fromisoformat(report.started), datetime.fromisoformat(report.finished)
        return plain(f"began {began:%Y-%m-%d %H:%M:%S %Z}, took {(ended - began).total_seconds():.1f} s")
    except (ValueError, TypeError):  # a report of another writer
        return ""


def _row(result: Result) -> list[str]:
    tries = f", attempt {result.attempts}" if result.attempts > 1 else ""
    mark = result.verdict if result.verdict in ("pass", "skip") else f"**{result.verdict.upper()}**"
    return [mark, code(result.name, _CELL), code(result.said, _CELL), f"{result.duration_s:.2f} s{tries}"]

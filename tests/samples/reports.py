"""Readings of a report of checks."""

from testbay.production.checks.report import Report, Result


def only(report: Report) -> Result:
    """Its one result."""
    assert len(report.results) == 1
    return report.results[0]


def told(report: Report) -> tuple[str, str]:
    """The verdict of its one result, and what it said."""
    return only(report).verdict, only(report).said


def verdicts(report: Report) -> dict[str, str]:
    """Of each check."""
    return {result.check: result.verdict for result in report.results}

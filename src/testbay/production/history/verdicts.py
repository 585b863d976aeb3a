"""The result `<id>/latency`: whether a check that passed was also answered fast enough.

A result of its own keeps "slow" apart from "down". The hard limit is compared with the probes of this run alone. For
the comparison with earlier runs this run is added to the history first.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from testbay.errors import HistoryError
from testbay.manifest.checks import Check
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history.entries import Entry, History, entry
from testbay.production.history.slowness import Rule, Sample, Series, judge, rule, series, summary
from testbay.text import plural

KIND = "latency"


@dataclass(frozen=True, kw_only=True)
class Past:
    """The history that a run is compared with, or the error of reading it, and the option that names it."""

    found: History | HistoryError
    option: str


def judged(report: Report, checks: Sequence[Check], past: Past | None) -> Report:
    """Add a result `<id>/latency` behind each result whose check has the key `latency`."""
    rules = {check.id: rule(check.id, check.latency) for check in checks if check.kind == "http" and check.latency}
    known = series(_with_this_run(past.found, report)) if past and isinstance(past.found, History) else {}
    results: list[Result] = []
    for result in report.results:
        results.append(result)
        if result.check in rules and result.verdict in ("pass", "stale"):
            samples = known.get(Series(report.service, report.target, result.check, result.instance), [])
            results.append(_verdict(result, rules[result.check], past, samples))
    return replace(report, results=tuple(results))


def _with_this_run(past: History, report: Report) -> list[Entry]:
    """Put this run last, once, even if it was recorded already or entries of other clocks are newer."""
    this = entry(report)
    return [*(one for one in past.entries if one.run_id != this.run_id), this]


def _verdict(result: Result, limits: Rule, past: Past | None, samples: list[Sample]) -> Result:
    verdict, said, evidence = _judged(result, limits, past, samples)
    if verdict == "pass" and result.verdict == "stale":
        verdict, said = "stale", f"not on the expected build: {said}"
    return Result(
        check=f"{result.check}/{KIND}",
        instance=result.instance,
        kind=KIND,
        verdict=verdict,
        said=said,
        evidence=tuple(evidence),
        attempts=0,  # it asks nothing
    )


def _judged(result: Result, limits: Rule, past: Past | None, samples: list[Sample]) -> tuple[Verdict, str, list[str]]:
    median_ms = statistics.median(result.latencies_s) * 1000
    measured = f"median of {plural(len(result.latencies_s), 'probe')} is {median_ms:.4g} ms"
    if limits.hard_ms is not None and median_ms > limits.hard_ms:
        return "fail", f"{measured}, more than hard_ms = {limits.hard_ms:g}", []
    if past is None or limits.slower_than is None:
        why = "the others are divided by it" if limits.slower_than is None else "no history (--branch, --history)"
        if limits.hard_ms is None:
            return "skip", f"{measured}; nothing to judge it by: no hard_ms, and {why}", []
        return "pass", f"{measured}, hard_ms is {limits.hard_ms:g}; not compared: {why}", []
    if isinstance(past.found, HistoryError):
        return "error", f"{measured}; {past.found.what}", _why(past.found)
    finding = judge(samples, limits)
    if finding.is_bad:
        look = f"each run: testbay latency {result.check} {past.option}"
        return "fail", finding.said, [*(line.strip() for line in summary(finding)), look]
    strange = f"; lines that testbay did not write, ignored: {past.found.skipped}" if past.found.skipped else ""
    return "pass", finding.said + strange, []


def _why(error: HistoryError) -> list[str]:
    return [line for text in (error.why, error.evidence, error.todo) if text for line in text.splitlines()]

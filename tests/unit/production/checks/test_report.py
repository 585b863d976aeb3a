"""What a run of checks found, as a record that travels."""

import json
import sys
from typing import Any

import pytest

from testbay.errors import ManifestError
from testbay.production.checks.report import NOTHING_ASKED, Report, Result, Verdict, from_json

DEEP = "maximum recursion depth" if sys.version_info < (3, 14) else "Stack overflow"  # Python's words


def result(verdict: Verdict, **more: Any) -> Result:
    """One that says little."""
    return Result(**({"check": "health", "kind": "http", "verdict": verdict, "said": "status 200"} | more))


def report(*results: Result) -> Report:
    """A run that found these."""
    when = "2026-11-21T15:00:00+00:00"
    return Report(service="shop", phase="scheduled", started=when, finished=when, results=results)


FULL = report(
    result("pass", instance="/docs", evidence=("a", "b"), duration_s=0.5, attempts=2, latencies_s=(0.1, 0.2)),
    result("fail"),
)


def test_a_report_comes_back_as_it_was() -> None:
    """Who reads a report has the record that was written, whatever it holds."""
    assert from_json(FULL.as_json()) == FULL


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], NOTHING_ASKED),
        (["skip"], NOTHING_ASKED),
        (["pass", "skip"], 0),
        (["pass", "error"], 22),
        (["error", "stale", "pass"], 21),
        (["stale", "error", "fail"], 20),
    ],
)
def test_the_worst_verdict_is_the_exit_code(verdicts: list[Verdict], code: int) -> None:
    """Green means asked and fine: a run that only skipped is not."""
    assert report(*map(result, verdicts)).exit_code == code


def test_a_report_in_a_log_commands_no_runner() -> None:
    """GitHub's obeys `##[name]` wherever it stands in a line; the record is the same."""
    hostile = report(result("fail", said="500: ##[stop-commands]x"))

    assert "##[" not in hostile.as_json()
    assert from_json(hostile.as_json()) == hostile


def test_what_an_answer_says_cannot_move_the_cursor() -> None:
    """A line break, an escape sequence or a flood in an answer is spelled out and cut."""
    said = result("fail", said="a\nb\x1b[2J\u202e", evidence=("x" * 9000,) * 99)

    assert said.said == "a\\nb\\x1b[2J\\u202e"
    assert [len(line) for line in said.evidence] == [500] * 40


def spoiled(**changes: Any) -> str:
    """A report with other values, or without a key."""
    document = json.loads(FULL.as_json()) | changes
    return json.dumps({key: value for key, value in document.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * (17 << 20), "larger than 16 MiB"),
        ("{", "not JSON: Expecting property name"),
        ("[" * 100_000, f"not JSON: {DEEP}"),
        ("\n", "it is empty: testbay check ended before it wrote one"),
        ("[]", "not of version 1"),
        (spoiled(version=2), "not of version 1"),
        (spoiled(exit_code=0), "exit_code 0 with verdicts that make it 20"),
        (spoiled(service=...), "service: Field required"),
        (spoiled(colour="red"), "colour: Unexpected keyword argument"),
        (spoiled(phase="never"), "phase: Input should be 'pre-merge', 'pre-deploy', 'post-deploy' or 'scheduled'"),
        (spoiled(results=[{"check": "a", "kind": "http", "verdict": "green", "said": ""}]), "results.0.verdict: Input"),
        (spoiled(results=[{"check": 1, "kind": "http", "verdict": "pass", "said": ""}]), "results.0.check: Input"),
    ],
)
def test_what_is_no_report_is_refused(text: str, why: str) -> None:
    """A report from outside is believed in no detail that does not fit."""
    with pytest.raises(ManifestError) as refused:
        from_json(text)

    assert refused.value.what == "this is not a report of checks"
    assert refused.value.why.startswith(why)

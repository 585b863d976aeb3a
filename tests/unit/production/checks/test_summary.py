"""What a job's summary says of checks."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.harness.run.report.test_summary import HOSTILE, KNOWN, Rendered

from testbay.output import append_summary
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.checks.summary import markdown

SHA = "4f2a91c"


def result(check: str, verdict: Verdict, said: str = "status is 200", **more: Any) -> Result:
    return Result(check=check, kind="http", verdict=verdict, said=said, **more)


def report(*results: Result, **more: Any) -> Report:
    times = {"started": "2026-11-21T15:00:00+00:00", "finished": "2026-11-21T15:00:12.5+00:00"}
    return Report(**{"service": "shop", "target": "production", "phase": "scheduled", **times, **more}, results=results)


def test_what_is_wrong_comes_first_and_the_build_is_named() -> None:
    """The verdict, which commit should answer and which does, when it was asked, and every result in a line."""
    found = (
        result("health", "pass", duration_s=0.02, attempts=2),
        result("routes", "stale"),
        result("pay", "fail", "no", instance="/x"),
    )
    assert markdown(report(*found, commit="0ld", expected_commit=SHA)).splitlines() == [
        "## ❌ shop on production, scheduled: 1 failed, 1 stale, 1 passed",
        "",
        f"expected <code>{SHA}</code> · <code>0ld</code> answers · began 2026-11-21 15:00:00 UTC, took 12.5 s",
        "",
        "| Verdict | Check | What it said | Time |",
        "| --- | --- | --- | --- |",
        "| **FAIL** | <code>pay /x</code> | <code>no</code> | 0.00 s |",
        "| **STALE** | <code>routes</code> | <code>status is 200</code> | 0.00 s |",
        "| pass | <code>health</code> | <code>status is 200</code> | 0.02 s, attempt 2 |",
    ]


def test_a_run_that_asked_nothing_is_not_green() -> None:
    """Nor one of which nobody knows when it was."""
    assert markdown(report(target="", started="soon")) == "## ❌ shop, scheduled: nothing was asked\n"


@pytest.mark.parametrize("field", ["service", "target", "commit", "expected_commit", "check", "instance", "said"])
def test_text_of_others_is_shown_as_it_is_and_never_obeyed(field: str) -> None:
    """No tag, link, image, mention or further cell: whatever a deployment answers, or calls itself."""
    facts = {field: HOSTILE} if field in Report.__dataclass_fields__ else {}
    one = {"check": "health", "said": "no", "instance": "x"} | ({} if facts else {field: HOSTILE})
    page = Rendered(markdown(report(result(one.pop("check"), "fail", **one), **facts)))

    assert set(page.tags) <= KNOWN
    assert page.tags.count("td") == 4
    assert HOSTILE in page.text


def test_the_worst_report_leaves_room_for_others(tmp_path: Path) -> None:
    """More results than fit, each as long and as hostile as it can be: three such reports fit into a summary."""
    worst = [result("|" * 500, "fail", "<" * 500, instance="&" * 500) for _ in range(2_000)]
    text = markdown(report(*worst))

    assert text.splitlines()[-1] == "… and 1900 more"
    assert [append_summary(text, tmp_path / "summary") for _ in range(3)] == ["", "", ""]
    assert text in (tmp_path / "summary").read_text(encoding="utf-8")

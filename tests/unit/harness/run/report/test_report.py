import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.samples.records import STARTED_S, attempt, failed, record

from testbay.errors import ManifestError
from testbay.harness.run import report
from testbay.harness.run.report import timeline
from testbay.harness.run.report.recorded import RecordedRun

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(1)>'"><b>&amp; {{ 7 * 7 }} {% raw %} ]]>"""


class Page(HTMLParser):
    """What a browser would find: the tags with their attributes, and the text between them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(source)
        self.close()
        self.text = " ".join(self.said)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def having(self, **wanted: str) -> list[str]:
        """The tags with this attribute."""
        return [tag for tag, attributes in self.tags if attributes.items() >= wanted.items()]


def parsed(*tests: dict[str, Any], **more: Any) -> RecordedRun:
    return RecordedRun.of(record(*tests, **more))


def page(*tests: dict[str, Any], **more: Any) -> Page:
    return Page(report.html(parsed(*tests, **more)))


def hostile_page() -> Page:
    """Every text of a record is an attack."""
    names = ("service", "engine", "engine_reason", "llm")
    error = {"class": HOSTILE, "what": HOSTILE, "why": HOSTILE, "do": HOSTILE}
    bad = failed(f"a::{HOSTILE}", error=HOSTILE, trace=HOSTILE, sections=[[HOSTILE, HOSTILE]], location=[HOSTILE, 1])
    steps = [{"name": HOSTILE, "start_s": 0, "duration_s": 1}]
    return page(
        bad | {"worker": HOSTILE, "when": HOSTILE},
        attempt(HOSTILE, "skipped", reason=HOSTILE),
        attempt("b", "rerun", error=HOSTILE),
        attempt("b", attempt=2),
        **dict.fromkeys(names, HOSTILE),
        id=HOSTILE,
        error=error,
        steps=steps,
        startup=steps,
        planned=[HOSTILE + "2"],
        migrations=[HOSTILE],
        dependencies=[{"name": HOSTILE, "title": HOSTILE, "version": HOSTILE, "note": HOSTILE}],
        shards=[{"shard": HOSTILE, "id": HOSTILE, "duration_s": 1}],
    )


def test_nothing_in_a_record_becomes_a_tag() -> None:
    """Logs, ids and messages are text, whatever stands in them."""
    found = hostile_page()
    names = {tag for tag, _ in found.tags}
    handlers = [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]

    assert (names & {"img", "iframe", "object", "base", "form"}, handlers) == ({"form"}, [])
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert found.text.count(HOSTILE) > 20


def test_the_policy_allows_our_style_and_script_alone() -> None:
    """By their hashes: what else would get into the page does not run."""
    source = report.html(parsed(attempt("a")))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in re.findall(r"(?s)<(?:style|script)>(.*?)</(?:style|script)>", source)
    ]
    [policy] = [a["content"] for tag, a in Page(source).tags if a.get("http-equiv") == "Content-Security-Policy"]

    assert policy == (
        f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_comes_from_outside() -> None:
    """No address in any attribute but the favicon's own bytes, and places in the page."""
    addresses = [a.get("src") or a.get("href") for _, a in hostile_page().tags if a.get("src") or a.get("href")]

    assert [address for address in addresses if address and not address.startswith(("#", "data:image/svg+xml,"))] == []


def test_a_failure_has_all_that_explains_it() -> None:
    """Error, place, traceback, log and how to look into its state."""
    text = page(failed("t/test_a.py::test_b[x y]")).text

    for part in ("AssertionError: 'lost'", "tests/integration/test_jobs.py:41", "assert job.state", "job 7 taken"):
        assert part in text
    assert "testbay open 't/test_a.py::test_b[x y]'" in text


def test_a_state_that_was_not_kept_is_not_offered() -> None:
    """A command that cannot work helps nobody."""
    assert "testbay open" not in page(failed("a", kept=None)).text


def test_a_run_that_broke_before_its_tests_says_why() -> None:
    """The error is the failure, and there are no empty tables."""
    error = {"class": "NotReadyError", "what": "nats did not answer", "why": "its port is taken", "do": "free it"}
    found = page(exit_code=12, error=error, tests=[], steps=[], startup=[])

    assert [part for part in ("nats did not answer", "its port is taken", "free it") if part not in found.text] == []
    assert found.having(role="table") == []


def test_a_record_that_has_almost_nothing_is_a_page() -> None:
    """That of a run that was killed at once, or is of an older testbay."""
    text = Page(report.html(RecordedRun.of({"id": "r1"}))).text

    assert "Not finished: 0 tests ended so far" in text


def test_a_flaky_test_shows_what_it_said_before() -> None:
    """It is no failure, and it is not hidden either."""
    found = page(attempt("a", "rerun", error="TimeoutError", trace="E   slow"), attempt("a", attempt=2))

    assert ("1 flaky" in found.text, "TimeoutError" in found.text, "E   slow" in found.text) == (True, True, True)
    assert found.having(id="failures") == []


def test_a_thousand_failures_are_one_page() -> None:
    """The first hundred have their evidence as far as there is room; every other is in the table."""
    found = page(*[failed(f"t{n}", trace="x" * 60_000, sections=[["log", "y" * 60_000]]) for n in range(1000)])

    assert len(found.text) < 10_000_000
    assert len([tag for tag, a in found.tags if tag == "article"]) == 100
    assert len([tag for tag, a in found.tags if tag == "tr" and "data-seconds" in a]) == 1000
    assert "900 more failed tests are in the table of tests" in found.text
    assert "this page had no more room for them" in found.text


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """With the system's own reason."""
    with pytest.raises(ManifestError) as error:
        report.write(parsed(attempt("a")), tmp_path / "none" / "r.html")

    assert error.value.what == f"{tmp_path}/none/r.html: No such file or directory"


def test_start_up_is_drawn_against_its_budget() -> None:
    """The line is where the budget ends, and what is over it has its own colour."""
    startup = [{"name": "postgres", "start_s": 1, "duration_s": 1}, {"name": "nats", "start_s": 1, "duration_s": 4}]
    chart = timeline.startup(parsed(startup=startup, startup_budget_s=2))

    assert chart is not None
    assert [(row.name, row.note, [bar.kind for bar in row.bars]) for row in chart.rows] == [
        ("postgres", "1.00 s", ["start"]),
        ("nats", "4.00 s", ["over"]),
        ("all together", "4.00 s", ["over"]),
    ]
    assert chart.limit == pytest.approx(100 * 2 / (4 * 1.04))


def test_start_up_without_a_budget_has_no_line() -> None:
    """Nothing is promised, nothing is broken."""
    chart = timeline.startup(parsed(startup_budget_s=None))

    assert chart is not None
    assert (chart.limit, {bar.kind for row in chart.rows for bar in row.bars}) == (None, {"start"})


def test_each_worker_has_its_lane() -> None:
    """Steps above, workers below, each with its tests where they ran."""
    tests = [attempt("a", worker="gw1", start=STARTED_S + 2), failed("b", worker="gw0", start=STARTED_S + 4)]
    chart = timeline.whole_run(parsed(*tests))

    assert chart is not None
    assert [(row.name, [bar.kind for bar in row.bars]) for row in chart.rows] == [
        ("Start postgres, dragonfly, nats", ["step"]),
        ("Run the tests", ["step"]),
        ("gw0", ["failed"]),
        ("gw1", ["passed"]),
    ]
    assert chart.rows[2].bars[0].left == pytest.approx(100 * 4 / (9.5 * 1.01), abs=0.01)


def test_a_merged_run_has_a_lane_for_what_ran_at_once() -> None:
    """Each shard has a gw0; each server's start is told from its own shard's."""
    tests = [attempt(f"t{n}", start=STARTED_S + n, duration_s=2) for n in range(4)]
    startup = [
        {"name": "nats", "start_s": 1, "duration_s": 0.5},
        {"name": "postgres", "start_s": 60, "duration_s": 0.4},
    ]
    run = parsed(*tests, startup=startup, shards=[{"shard": "1/2"}, {"shard": "2/2"}])
    chart = timeline.whole_run(run)

    assert chart is not None
    assert [row.name for row in chart.rows[2:]] == ["gw0", "gw0 (2)", "gw0 (3)"]
    assert run.startup_s == 0.5


def test_a_lane_of_thousands_stays_a_few_hundred_bars() -> None:
    """Those a screen cannot tell apart are one, and a failure among them shows."""
    brief: dict[str, Any] = {"setup_s": 0, "duration_s": 0.001, "teardown_s": 0}
    tests = [attempt(f"t{n}", start=STARTED_S + n / 1000, **brief) for n in range(9000)]
    tests[4500] |= {"outcome": "failed"}
    chart = timeline.whole_run(parsed(*tests))

    assert chart is not None
    assert len(chart.rows[-1].bars) < 700
    assert [bar.kind for bar in chart.rows[-1].bars].count("failed") == 1
    assert chart.rows[-1].note.startswith("9000 tests")


def test_no_bar_leaves_its_chart() -> None:
    """Whatever the clocks said."""
    odd = [attempt("a", start=STARTED_S - 100), attempt("b", start=STARTED_S + 1e6, duration_s=1e9)]
    odd += [attempt("c", start=None), attempt("d", start=STARTED_S, duration_s=0)]
    chart = timeline.whole_run(parsed(*odd))

    assert chart is not None
    bars = [bar for row in chart.rows for bar in row.bars]
    assert [bar for bar in bars if not 0 <= bar.left <= bar.left + bar.width <= 100.001] == []
    assert len(bars) == 4


def test_shards_are_compared() -> None:
    """How even they were."""
    shards = [{"shard": "1/2", "duration_s": 4, "planned": 3}]
    shards += [{"shard": "2/2", "duration_s": 8, "planned": 1, "failed": 1}]
    chart = timeline.shards(parsed(shards=shards))

    assert chart is not None
    assert [(row.name, row.note, round(row.bars[0].width)) for row in chart.rows] == [
        ("1/2", "3 tests, 4.00 s", 50),
        ("2/2", "1 test, 1 failed, 8.00 s", 99),
    ]


def test_the_ten_slowest_are_shown() -> None:
    """The slowest first, and as wide as there is room."""
    chart = timeline.slowest(parsed(*[attempt(f"t{n}", duration_s=n) for n in range(20)]))

    assert chart is not None
    assert [row.name for row in chart.rows] == [f"t{n}" for n in range(19, 9, -1)]
    assert chart.rows[0].bars[0].width == 100

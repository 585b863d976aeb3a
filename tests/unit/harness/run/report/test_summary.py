from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tests.samples.records import LOG, attempt, failed, record

from testbay import output
from testbay.harness.run.report import summary
from testbay.harness.run.report.recorded import RecordedRun

HOSTILE = (
    "`` ``` </details></code> | **b** _i_ [l](http://x) ![p](//x) <img src=x> &amp; # $x$ @me :x: www.x.org ~~~ \\"
)
KNOWN = {
    "h2",
    "h3",
    "p",
    "strong",
    "code",
    "br",
    "details",
    "summary",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}


class Rendered(HTMLParser):
    """A summary as GitHub shows it: the names of its tags, and all its text."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))
        self.close()

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def markdown(*tests: dict[str, Any], **more: Any) -> str:
    return summary.markdown(RecordedRun.of(record(*tests, **more)))


def test_a_green_run_is_told_in_a_screenful() -> None:
    """The verdict first; what it ran on, what took how long."""
    lines = markdown(attempt("t.py::a"), attempt("t.py::b", "skipped", reason="no GPU")).splitlines()

    assert lines[0] == "## ✅ shop: 1 test passed, 1 skipped"
    assert lines[2].split(" · ") == [
        "1 passed, 1 skipped",
        "coverage 85 %",
        "9.50 s",
        "start-up 0.40 s of 0.60 s",
        "embedded: Docker does not answer",
        "LLM: replay",
    ]
    assert "| Dragonfly | 6.2.14 | redis 6.2 stand-in |" in lines
    assert "- <code>t.py::b</code> no GPU" in lines
    assert len(lines) < 40


def test_a_failure_comes_first_with_its_evidence_folded() -> None:
    """Its first error line is seen, its traceback and the logs are one click away."""
    text = markdown(attempt("t.py::a"), failed("t.py::b[x y]"))

    assert text.index("### Failures") < text.index("| Dependency |")
    assert text.partition("### Failures\n\n")[2].startswith(
        "**<code>t.py::b&#91;x y&#93;</code>**<br>\n"
        "<code>AssertionError: 'lost'</code> at <code>tests/integration/test_jobs.py:41</code><br>\n"
        "its state was kept: <code>testbay open 't.py::b&#91;x y&#93;'</code>\n\n"
        "<details><summary>traceback</summary>\n\n```text\n"
    )
    assert f"<details><summary>service log</summary>\n\n```text\n{LOG}```\n\n</details>" in text


def test_nothing_in_a_record_means_anything_to_markdown() -> None:
    """Ids, messages and logs are text: no tag, no link, no emphasis, no end of a fold or a table's cell."""
    names = ("service", "engine", "engine_reason", "llm")
    bad = failed(HOSTILE, error=HOSTILE, trace=HOSTILE, sections=[[HOSTILE, HOSTILE]], location=[HOSTILE, 1])
    error = {"class": HOSTILE, "what": HOSTILE, "why": HOSTILE, "do": HOSTILE}
    more: dict[str, Any] = dict.fromkeys(names, HOSTILE) | {"id": HOSTILE, "error": error, "planned": ["p" + HOSTILE]}
    more |= {"dependencies": [{"name": HOSTILE, "title": HOSTILE, "version": HOSTILE, "note": HOSTILE}]}
    more |= {"startup": [{"name": HOSTILE}], "shards": [{"shard": HOSTILE}]}
    flaky = [attempt("b", "rerun", error=HOSTILE), attempt("b"), attempt("c" + HOSTILE, "skipped", reason=HOSTILE)]
    shown = Rendered(markdown(bad, *flaky, **more))

    assert set(shown.tags) == KNOWN | {"ul", "li"}
    assert shown.tags.count("details") == 2
    assert shown.text.count(HOSTILE) == 27


@pytest.mark.parametrize("ticks", ["```", "`````", "~~~", "```text\n\n</details>\n\n# x\n\n```"])
def test_a_log_cannot_end_its_fold(ticks: str) -> None:
    """The fence is longer than any in the log."""
    shown = Rendered(markdown(failed("a", trace=f"before\n{ticks}\nafter <b>", sections=[])))

    assert (shown.tags.count("pre"), "b" in shown.tags, "h1" in shown.tags) == (1, False, False)
    assert f"before\n{ticks}\nafter <b>" in shown.text


def test_a_long_log_is_cut_to_its_end() -> None:
    """The end is where it broke; how much is left out is said."""
    text = markdown(failed("a", trace="", sections=[["log", "\n".join(f"line {n}" for n in range(5000))]]))

    assert "… 4400 lines before this are in the report\nline 4400\n" in text
    assert "line 4999\n```" in text


def test_five_thousand_failures_stay_below_the_limit() -> None:
    """The first have evidence, then come bare ones, then a number; what follows is still there."""
    tests = [failed(f"t.py::test_{n}", trace="y" * 5000) for n in range(5000)]
    text = markdown(*tests)

    assert len(text.encode()) < 200 << 10
    assert text.count("<summary>traceback</summary>") < 50
    assert " more failed, see the report" in text
    assert "### Slowest" in text


def test_no_record_makes_a_summary_too_large() -> None:
    """Whatever is longest in it: the last parts go."""
    long = "|" * 2000
    tests = [attempt(f"{long}{n}", "skipped", reason=long) for n in range(200)]
    text = markdown(*tests, dependencies=[{"name": long, "title": long, "note": long}] * 500)

    assert 0 < len(text.encode()) <= 200 << 10
    assert text.startswith("## ✅ shop: 0 tests passed, 200 skipped")


def test_more_of_a_kind_than_twenty_is_a_number() -> None:
    """A summary is read by people."""
    text = markdown(*[attempt(f"t{n}", "skipped", reason="r") for n in range(30)])

    assert (text.count("</code> r\n"), "- … and 10 more" in text) == (20, True)


def test_services_append_to_one_file(tmp_path: Path) -> None:
    """Each adds its own, below what is there."""
    target = tmp_path / "summary"
    said = [output.append_summary(text, target) for text in ("## one\n", "## two\n")]

    assert (said, target.read_text()) == (["", ""], "## one\n\n## two\n\n")


def test_a_full_file_gets_the_verdict_alone(tmp_path: Path) -> None:
    """Above 1 MiB GitHub shows nothing at all."""
    target = tmp_path / "summary"
    target.write_text("x" * 1_000_000)

    assert output.append_summary("## ❌ shop: 1 of 2 tests failed\n\n" + "y" * 100_000, target) == ""
    assert target.read_text().lstrip("x") == (
        "## ❌ shop: 1 of 2 tests failed\n\nMore is in this run's `summary.md`: the step's summary is full.\n\n"
    )


def test_a_file_that_is_too_large_stays_as_it_is(tmp_path: Path) -> None:
    """And that nothing was added is said."""
    target = tmp_path / "summary"
    target.write_text("x" * 1_040_000)

    assert output.append_summary("## shop\n", target) == "nothing was added to the step's summary: it has 1040000 bytes"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """It is no reason to fail a green run."""
    said = output.append_summary("x", tmp_path / "none" / "summary")

    assert said == f"the step's summary could not be written: {tmp_path}/none/summary: No such file or directory"


def test_failures_are_pinned_to_their_lines(recording: Any) -> None:
    """The path starts at the repository's root, which may lie above the project."""
    heard = recording(GITHUB_ACTIONS="true")
    outside = failed("t.py::c", location=["../../lib/python3.11/re.py", 7])
    tests = [failed("t.py::a, b"), failed("t.py", when="collect", location=None), outside, attempt("d")]
    summary.annotate(RecordedRun.of(record(*tests)), heard.voice, Path("services/shop"))

    at = "file=services/shop/tests/integration/test_jobs.py,line=41,title=t.py%3A%3Aa%2C b"
    assert heard.text.splitlines() == [
        f"::error {at}::AssertionError: 'lost'",
        "::error title=t.py::AssertionError: 'lost'",
        "::error title=t.py%3A%3Ac::AssertionError: 'lost'",
    ]

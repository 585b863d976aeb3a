"""`testbay report`, and what a run leaves for people to read: a page, a summary, annotations."""

import shutil
from pathlib import Path

import pytest
from tests.system.conftest import Bay, Done
from tests.system.fakes.pages import write

pytestmark = pytest.mark.xdist_group("report")  # one run for the tests that only look at what it left

FAILING = "def test_sum():\n    assert 1 + 1 == 3\n\n\ndef test_fine():\n    pass\n"


def newest(bay: Bay) -> Path:
    return max((bay.project / ".testbay" / "runs").iterdir())


def test_failure_is_told_to_people_and_to_github(bay: Bay, tmp_path: Path) -> None:
    """Page and summary have what happened; in GitHub the step's summary too, and the failure is pinned to its test."""
    bay.tests(FAILING)
    target = tmp_path / "step-summary"
    target.write_text("before\n")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path), "GITHUB_STEP_SUMMARY": str(target)}

    done = bay.run("run", "shop", **github)
    plain = bay.run("run", "shop")

    assert target.read_text(encoding="utf-8").startswith("before\n## ❌ shop: 1 of 2 tests failed\n")
    place = "file=a project/services/shop/tests/integration/test_it.py,line=2"
    pinned = f"::error {place},title=tests/integration/test_it.py%3A%3Atest_sum::assert (1 + 1) == 3"
    assert (done.lines.count(pinned), "::error" in plain.out) == (1, False), done.out
    page = (newest(bay) / "report.html").read_text(encoding="utf-8")
    text = (newest(bay) / "summary.md").read_text(encoding="utf-8")
    for part in ("1 of 2 tests failed", "assert (1 + 1) == 3", "PostgreSQL", "embedded"):
        assert (part in page, part.replace("+", "&#43;") in text) == (True, True), part


def test_report_is_written_again(ran: tuple[Bay, Done]) -> None:
    """Of the newest run, of one that is named, to another file; the path is the only output."""
    bay = ran[0]
    page = newest(bay) / "report.html"
    page.unlink()
    part = newest(bay).name[-4:]

    assert bay.run("report").lines == [str(page)]
    assert bay.run("report", part, "--output", "of the run.html").lines == ["of the run.html"]
    assert (bay.project / "of the run.html").read_text() == page.read_text()


def test_report_of_a_downloaded_run(ran: tuple[Bay, Done], bay: Bay, tmp_path: Path) -> None:
    """A folder with a run.json is enough; it need not be in a project."""
    artifact = shutil.copytree(newest(ran[0]), tmp_path / "artifact")
    (artifact / "report.html").unlink()
    bay.project = tmp_path

    done = bay.run("report", "artifact")

    assert (done.lines, (artifact / "report.html").is_file()) == (["artifact/report.html"], True)


def test_report_opens_in_the_browser(ran: tuple[Bay, Done]) -> None:
    """The one the user has chosen is given its address."""
    bay = ran[0]
    browser = bay.project / "browser"
    write(browser, f'#!/bin/sh\nprintf "%s" "$1" > "{browser}.asked"\n', executable=True)
    quoted = str(browser).replace(" ", "\\ ")

    done = bay.run("report", "--open", BROWSER=f"{quoted} %s")

    asked = (bay.project / "browser.asked").read_text()
    assert (done.code, asked) == (0, (newest(bay) / "report.html").as_uri())


def test_without_a_browser_the_file_is_named(ran: tuple[Bay, Done]) -> None:
    """On a machine that has no screen."""
    bay = ran[0]
    done = bay.run("report", "--open", PATH="/nowhere", DISPLAY="", BROWSER="")

    assert done.lines == [str(newest(bay) / "report.html"), "no browser was found: open the file above"]


def test_unknown_run_is_an_error(bay: Bay) -> None:
    """With exit code 10, and what to do."""
    done = bay.run("report", "zzz")

    assert (done.code, done.lines[1:]) == (10, ["  do:       make one: testbay run", "  more:     testbay explain 10"])

"""`testbay status-page`: from a history to files, in a folder and on a branch."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.samples.histories import every_six_hours, run
from tests.system.conftest import Done
from tests.system.fakes.pages import page
from tests.system.production.test_history import NOW, call
from tests.system.production.test_history_branch import NAME, branch, clone, git

from testbay.production.history import command as trends
from testbay.production.history import entries
from testbay.production.history.entries import Entry


def keep(folder: Path, *runs: Entry) -> Path:
    folder.mkdir(parents=True)
    for name, text in entries.render(runs).items():
        (folder / name).write_text(text)
    return folder


def test_a_page_from_a_folder(tmp_path: Path) -> None:
    """Three files in a folder that is made; the command says where, and how it is."""
    keep(tmp_path / "kept", *every_six_hours(3, now=NOW, health="pass", docs="fail"))

    done = call(tmp_path, "status-page", "--history", "kept", "--out", "a/site", "--title", "Our services")

    assert done == Done(0, "a/site/index.html: 1 of 2 checks is failing\n")
    assert {file.name for file in (tmp_path / "a/site").iterdir()} == {"index.html", "status.json", "badge.svg"}
    assert "<title>✗ Our services: 1 of 2 checks is failing</title>" in (tmp_path / "a/site/index.html").read_text()
    told = json.loads((tmp_path / "a/site/status.json").read_text())
    assert told["targets"] == [
        {
            "service": "shop",
            "target": "production",
            "state": "fail",
            "is_late": False,
            "newest_run": NOW.isoformat(),
            "last_good_run": None,
            "checks": {"docs": "fail", "health": "pass"},
        }
    ]


def test_a_page_from_a_branch(tmp_path: Path) -> None:
    """As a workflow makes it: from the branch, in any clone; the page of the run before is replaced."""
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    folder = clone(tmp_path / "origin.git", "ours")
    said = []
    for hours, verdict in ((6, "fail"), (0, "pass")):
        branch(folder).append(run(hours, now=NOW, health=verdict), NOW)
        said.append(call(folder, "status-page", "--branch", NAME, "--out", "site").out)

    assert said == [f"site/index.html: {what}\n" for what in ("1 of 1 checks is failing", "All checks are passing")]
    assert re.findall(r"<h3 id=\"incident-1\"><span><bdi>(\w+)", (folder / "site/index.html").read_text()) == ["health"]


def test_a_page_before_the_first_run(tmp_path: Path) -> None:
    """Nothing was asked: the page says so, so that it can be published first."""
    done = call(tmp_path, "status-page", "--out", "site")

    assert done == Done(0, "site/index.html: No check has run yet\n")
    assert "<h1>" in (tmp_path / "site/index.html").read_text()
    assert json.loads((tmp_path / "site/status.json").read_text())["state"] == "unknown"


def test_a_schedule_that_stopped_is_not_well(tmp_path: Path) -> None:
    """The runs that are there were all good, and still nobody says that all is well."""
    keep(tmp_path / trends.FOLDER, *every_six_hours(3, until=31, now=NOW, health="pass"))

    done = call(tmp_path, "status-page", "--out", "site")

    since = NOW - timedelta(hours=31)
    assert done.lines == [f"site/index.html: No data since {since.day} {since:%b %Y, %H:%M} UTC"]
    assert "No scheduled run came for 31 h" in (tmp_path / "site/index.html").read_text()


@pytest.mark.parametrize("path", ["file", "file/site", "taken"])
def test_a_place_that_cannot_be_written_is_code_10(tmp_path: Path, path: str) -> None:
    """A file where the folder should be, or a folder where a file should be; nothing half-written stays behind."""
    (tmp_path / "file").write_text("")
    (tmp_path / "taken/index.html").mkdir(parents=True)

    done = call(tmp_path, "status-page", "--out", path)

    assert (done.code, done.lines[0]) == (10, f"error: {path}: the status page cannot be written")
    assert [file.name for file in (tmp_path / "taken").iterdir()] == ["index.html"]


def test_a_history_that_cannot_be_read_is_code_25(tmp_path: Path) -> None:
    """And no page is made of it."""
    (tmp_path / "kept").write_text("")

    done = call(tmp_path, "status-page", "--history", "kept", "--out", "site")

    assert (done.code, done.lines[0]) == (25, "error: history: kept cannot be used")
    assert not (tmp_path / "site").exists()


def test_every_key_of_the_facts_is_told(tmp_path: Path) -> None:
    """docs/status-page.md has a row for each key of status.json and of a target in it."""
    keep(tmp_path / trends.FOLDER, run(1, now=NOW, health="pass"))
    call(tmp_path, "status-page", "--out", "site")
    told = json.loads((tmp_path / "site/status.json").read_text())
    rows = re.findall(r"(?m)^\| `(\w+)` \|", page("status-page.md").partition("## status.json")[2])

    assert rows == [*told, *told["targets"][0]]

"""The files of the status page as text; how they look in a browser is in tests/system."""

import errno
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import prometheus_client
import pytest
from tests.samples.histories import NOW, every_six_hours, run
from tests.unit.harness.run.report.test_report import HOSTILE, Page

from testbay.errors import BayError
from testbay.output import Voice
from testbay.production import metrics, statuspage
from testbay.production.checks.report import Report
from testbay.production.history import entries
from testbay.production.history.entries import Entry, History, merge
from testbay.production.statuspage import page as pages
from testbay.production.statuspage import wording


def files(*runs: Entry, title: str | None = None, skipped: int = 0) -> dict[str, str]:
    return statuspage.render(pages.draw(History(entries=runs, skipped=skipped), NOW, title))


def page(*runs: Entry, **more: Any) -> Page:
    return Page(files(*runs, **more)["index.html"])


def said(*runs: Entry, **more: Any) -> str:
    """The text of the page, white space made one."""
    return " ".join(page(*runs, **more).text.split())


def headline(*runs: Entry) -> str:
    return pages.draw(History(entries=merge(runs)), NOW, None).headline


def test_the_headline_is_the_first_thing_to_know() -> None:
    """How it is now, in some words."""
    bad, good = run(1, target="b", a="fail", c="pass"), run(1, a="pass")

    assert headline() == "No check has run yet"
    assert headline(good) == "All checks are passing"
    assert headline(bad) == "1 of 2 checks is failing"
    assert headline(run(1, a="stale")) == "An old build answers"
    assert headline(run(1, a="error")) == "1 of 1 checks cannot run"
    assert headline(run(1, a="skip")) == "No data yet"
    assert headline(*every_six_hours(3, until=13, a="pass")) == "No data since 21 Nov 2026, 05:00 UTC"
    asked_on = every_six_hours(3, until=1, a="pass", b="skip")
    old = "No data of 1 of 2 checks since 21 Nov 2026, 05:00 UTC"
    assert headline(*every_six_hours(3, until=13, a="pass", b="pass"), *asked_on) == old
    assert headline(good, bad) == "shop on b: 1 of 2 checks is failing"
    assert headline(good, bad, run(1, target="c", a="stale")) == "2 of 3 targets have problems"
    assert headline(good, run(1, target="c", a="pass")) == "All checks are passing"


def test_the_age_of_the_last_good_run_is_said() -> None:
    """As a time and as a distance from the time that the page was made; the newest run has its own."""
    text = said(run(30, a="pass"), run(0.5, a="fail"))

    assert "This page was generated 21 Nov 2026, 18:00 UTC" in text
    assert "Last good run 20 Nov 2026, 12:00 UTC 30 h before this page was generated, commit c30" in text
    assert "Newest run 21 Nov 2026, 17:30 UTC 30 min before this page was generated, commit c0.5" in text


def test_the_page_says_until_when_it_can_be_believed() -> None:
    """It cannot know when it is read: it names the time from which two runs of the schedule are missing."""
    assert "After 22 Nov 2026, 05:00 UTC it is out of date" in said(*every_six_hours(3, until=1, a="pass"))
    assert "After 23 Nov 2026, 17:00 UTC it is out of date" in said(run(1, a="pass"))


def test_a_late_schedule_is_said_aloud() -> None:
    """What is missing, since when, and what usual is."""
    text = said(*every_six_hours(3, until=30, a="pass"))

    assert "No scheduled run came for 30 h. Usually there is one every 6 h" in text
    assert "it is out of date" not in text


def test_the_same_history_makes_the_same_bytes() -> None:
    """At the same time."""
    runs = every_six_hours(40, a="pass", b="fail", ms={"a": 12.5})

    assert files(*runs) == files(*runs)


def test_nothing_in_a_history_becomes_markup() -> None:
    """Every text of a run is an attack; none becomes a tag, an attribute or an address."""
    names: dict[str, Any] = dict.fromkeys(("service", "target", "commit"), HOSTILE)
    names |= {HOSTILE: "fail"}
    hostile, tame = (
        page(run(1, **facts), title=facts["service"])
        for facts in (names | {"run_url": f"https://x{HOSTILE}"}, {"service": "a", "target": "b", "c": "fail"})
    )

    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in tame.tags]
    assert {name for _, attributes in hostile.tags for name in attributes if name.startswith("on")} == set()
    assert hostile.text.count("onerror") >= 4


def test_nothing_but_its_own_style_and_script_is_allowed() -> None:
    """No request; the policy says so to the browser, too, and names both by their hashes."""
    tags = page(*every_six_hours(3, a="pass")).tags
    [policy] = [attributes["content"] for _, attributes in tags if "http-equiv" in attributes]

    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; "
        r"img-src data:; base-uri 'none'; form-action 'none'",
        policy,
    )
    assert [attributes for tag, attributes in tags if tag == "script"] == [{}]
    assert not {"img", "iframe", "object", "embed"} & {tag for tag, _ in tags}


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://github.com/a/b/actions/runs/1", "github.com"),
        ("http://localhost:8080/x", "localhost"),
        ("javascript:alert(1)//https://x", ""),
        ("https://evil.invalid\\@github.com/", ""),
        ("https://github.com@evil.invalid/", ""),
        ("https://[::1/", ""),
        ("//x.invalid/", ""),
        ("https://x.invalid/\n", ""),
        ("", ""),
    ],
)
def test_a_link_goes_where_it_says(address: str, host: str) -> None:
    """An address that a browser could read otherwise than we do is no link."""
    found = page(run(1, a="fail", run_url=address))
    links = {attributes["href"] for tag, attributes in found.tags if tag == "a"}

    assert links == ({address} if host else set())
    assert (f"log on {host}" in found.text) is bool(host)


def test_what_has_no_room_is_counted() -> None:
    """Thousands of checks, targets and incidents are a page that can be opened, and it says what is not in it."""
    every: dict[str, Any] = {f"c{number}": "pass" for number in range(3000)}
    targets = [run(1, target=f"t{number}", a="pass") for number in range(60)]
    flapping = [run(hours, a="fail" if hours % 2 else "pass") for hours in range(400, 0, -1)]
    checks = said(run(1, **every))

    assert "1880 more checks had no room on this page" in checks
    assert "1000 more checks, without a picture" in checks
    assert "10 more targets had no room on this page" in said(*targets)
    assert "150 older incidents had no room on this page" in said(*flapping)
    assert "3 lines of the history could not be used" in said(skipped=3)


def test_an_incident_that_is_over_is_told_of_in_the_past() -> None:
    """Nothing fails any more, and its head does not say so; one that goes on does."""
    over = said(run(3, a="pass"), run(2, a="fail"), run(1, a="pass"))
    now = said(run(3, a="pass"), run(2, a="pass"), run(1, a="fail"))

    assert "a failed Lasted" in over
    assert "a failing Ongoing" in now


def test_the_badge_is_a_picture_of_its_own() -> None:
    """Well-formed, with the state and the time of the newest run in words; a title is cut and escaped."""
    badge = ET.fromstring(files(run(1, a="fail"), title=f"<&{'x' * 90}")["badge.svg"])

    assert badge.attrib["aria-label"] == f"<&{'x' * 38}: failing · 21 Nov 2026, 17:00 UTC"
    assert ET.fromstring(files()["badge.svg"]).attrib["aria-label"] == "Status: no data"


def test_programs_get_the_same_facts() -> None:
    """status.json says of each target what the page says."""
    told = json.loads(files(run(7, a="pass"), run(1, a="fail", b="skip"))["status.json"])

    assert told == {
        "version": 1,
        "made": "2026-11-21T18:00:00+00:00",
        "state": "fail",
        "headline": "1 of 1 checks is failing",
        "targets": [
            {
                "service": "shop",
                "target": "production",
                "state": "fail",
                "is_late": False,
                "newest_run": "2026-11-21T17:00:00+00:00",
                "last_good_run": "2026-11-21T11:00:00+00:00",
                "checks": {"a": "fail"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("minutes", "told", "rough"),
    [(-5, "0 min", "0 min"), (45, "45 min", "45 min"), (358, "5 h 58 min", "6 h"), (4600, "3 days 5 h", "3 days 5 h")],
)
def test_lengths_are_told_as_people_do(minutes: int, told: str, rough: str) -> None:
    """A clock that was wrong makes no negative time; a schedule of six hours is one of six hours."""
    span = timedelta(minutes=minutes)

    assert (wording.length(span), wording.roughly(span)) == (told, rough)


def exported(file: Path) -> None:
    found = Report(service="shop", phase="scheduled", target="t", started=NOW.isoformat(), finished="", results=())
    entry = run(1, health="pass")
    shown = metrics.Exposition(report=found, results=(), entry=entry, last_good=None)
    metrics.write(shown, file, Voice(io.StringIO()))


@pytest.mark.parametrize(
    ("module", "function", "write"),
    [
        (statuspage, "write_whole", lambda folder: statuspage.make(History(), NOW, folder, None)),
        (entries, "write_whole", lambda folder: entries.append(folder, [run(1, health="pass")], NOW)),
        (prometheus_client, "write_to_textfile", lambda folder: exported(folder / "shop.prom")),
    ],
)
def test_a_full_disk_is_told_as_such(
    module: ModuleType,
    function: str,
    write: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The folder that was named is not at fault: that of the page, of the history, or of the metrics."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, function, refuse)
    with pytest.raises(BayError) as refused:
        write(tmp_path / "site")

    assert refused.value.todo == "make room on the disk"

"""What is kept of reports of checks, and what is believed of it later."""

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import HistoryError
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history import entries
from testbay.production.history.entries import Entry, Outcome

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def entry(days_ago: float = 0, **more: Any) -> Entry:
    facts = {"service": "shop", "phase": "scheduled", "target": "production", "commit": "abc1234"}
    started = (NOW - timedelta(days=days_ago)).isoformat()
    return Entry(**{**facts, "started": started, **more})


def report(**more: Any) -> Report:
    facts = {"service": "shop", "phase": "scheduled", "target": "production", "commit": "abc1234"}
    return Report(**{**facts, "started": NOW.isoformat(), "finished": NOW.isoformat(), **more})


def test_a_report_becomes_a_line() -> None:
    """Verdicts, medians and the control's median are kept; what was said is not."""
    results = [
        Result(check="control", kind="http", verdict="pass", said="", latencies_s=(0.01, 0.02, 0.03)),
        Result(check="docs", instance="/a", kind="http", verdict="fail", said="a secret", evidence=("too",)),
    ]

    line = entries.entry(report(results=tuple(results), run_url="https://x/1")).line

    assert line == (
        '{"commit":"abc1234","control_ms":20.0,"outcomes":[{"check":"control","median_ms":20.0,"probes":3,'
        '"verdict":"pass"},{"check":"docs","instance":"/a","verdict":"fail"}],"phase":"scheduled",'
        '"run_url":"https://x/1","service":"shop","started":"2026-11-20T12:00:00+00:00","target":"production",'
        '"version":1}\n'
    )


@pytest.mark.parametrize("started", ["soon", "2026-11-20T12:00:00", "0001-01-01T00:00:00+14:00"])
def test_a_run_at_no_time_is_refused(started: str) -> None:
    """The history is a matter of time; a time without a zone is none."""
    with pytest.raises(HistoryError) as refused:
        entries.entry(report(started=started))

    assert refused.value.what == f"the run started at {started!r}, which is not a time in a zone"


def test_what_was_written_is_read() -> None:
    """A line says all that the record does."""
    full = entry(
        control_ms=1.5,
        run_url="https://x",
        outcomes=(Outcome(check="a", instance="/é", verdict="pass", median_ms=2.25, probes=3),),
    )

    assert entries.parse(entries.render([full, entry(40)]), NOW).entries == (entry(40), full)
    assert list(entries.render([full, entry(40)])) == ["2026-11.jsonl", "2026-10.jsonl"]


def test_merging_does_not_depend_on_the_order() -> None:
    """Two histories make one: every run once, the oldest first, whoever comes first and however often."""
    runs = [entry(day) for day in range(20)] + [entry(3, commit="fedcba9"), entry(3, target="staging")]
    expected = entries.merge(runs)
    for seed in range(20):
        chance = random.Random(seed)
        parts = [chance.sample(runs, len(runs)), chance.sample(runs, 9)]

        assert entries.merge(*chance.sample(parts, 2)) == expected

    assert [len(expected), expected[-1]] == [21, entry(0)]


def found(days_ago: float, *verdicts: Verdict) -> Entry:
    return entry(days_ago, outcomes=tuple(Outcome(check="a", instance=v, verdict=v) for v in verdicts))


def test_the_last_good_run() -> None:
    """The newest that asked something and found nothing wrong, in whatever order; a skip alone is not good."""
    good = found(3, "pass", "skip")
    runs = [found(1, "skip"), found(0), good, found(4, "pass"), found(2, "pass", "error"), found(2, "pass", "stale")]

    assert entries.last_good(runs) == good
    assert entries.last_good([found(1, "pass", "fail")]) is None


HOSTILE = [
    "no json",
    "[]",
    "null",
    "[" * 100_000,
    "1" * 5000,
    '{"version":2}',
    json.dumps({**json.loads(entry().line), "version": 2}),
    json.dumps({**json.loads(entry().line), "colour": "red"}),
    json.dumps({**json.loads(entry().line), "control_ms": -1}),
    json.dumps({**json.loads(entry().line), "control_ms": float("nan")}),
    json.dumps({**json.loads(entry().line), "started": "9999-12-31T00:00:00+00:00"}),
    json.dumps({**json.loads(entry().line), "started": "0001-01-01T00:00:00+14:00"}),
    json.dumps({**json.loads(entry().line), "started": "2026-11-20"}),
    json.dumps({**json.loads(entry().line), "service": "x" * 501}),
    json.dumps({**json.loads(entry().line), "service": "\ud800"}),
    entry().line[: len(entry().line) // 2],
]


@pytest.mark.parametrize("line", HOSTILE)
def test_a_line_that_is_none_of_ours_is_left_out_and_counted(line: str) -> None:
    """Cut off, of another version, from the future, or made to hurt: the lines around it are read."""
    text = f"{entry(2).line}{line}\n\n{entry(1).line}"

    read = entries.parse({"2026-11.jsonl": text}, NOW)

    assert (read.entries, read.skipped) == ((entry(2), entry(1)), 1)


def test_what_is_too_old_goes() -> None:
    """The newest 400 days are kept."""
    runs = [entry(401), entry(399), entry(0)]

    assert entries.bounded(runs, NOW) == (entry(399), entry(0))


def test_what_is_too_much_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first."""
    runs = [entry(3), entry(2), entry(1)]
    monkeypatch.setattr(entries, "KEPT_BYTES", sum(len(run.line) for run in runs) - 1)

    assert entries.bounded(runs, NOW) == (entry(2), entry(1))


def test_a_folder_keeps_each_run_once(tmp_path: Path) -> None:
    """It is made when it is not there; what is recorded twice is there once; an old month's file goes."""
    folder = tmp_path / "a" / "history"
    folder.mkdir(parents=True)
    (folder / "2020-01.jsonl").write_text("old\n")
    (folder / "notes.txt").write_text("mine")
    for run in (entry(40), entry(0), entry(40)):
        entries.append(folder, [run], NOW)

    assert entries.read(folder, NOW).entries == (entry(40), entry(0))
    assert sorted(file.name for file in folder.iterdir()) == ["2026-10.jsonl", "2026-11.jsonl", "notes.txt"]
    assert entries.read(tmp_path / "none", NOW) == entries.History()


def test_a_clock_that_is_behind_takes_nothing_away(tmp_path: Path) -> None:
    """A machine that wakes up in the past must not delete what it takes for made up; nobody reads that there."""
    early = NOW - timedelta(days=60)
    entries.append(tmp_path, [entry(0)], NOW)
    entries.append(tmp_path, [entry(60)], early)

    assert entries.read(tmp_path, early).entries == (entry(60),)
    assert entries.read(tmp_path, NOW).entries == (entry(60), entry(0))


def link(file: Path) -> None:
    secret = file.with_name("secret")
    secret.write_text(entry().line)
    file.symlink_to(secret)


def huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(entries.KEPT_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (link, "Too many levels of symbolic links"),
        (os.mkfifo, "2026-11.jsonl: no ordinary file"),
        (Path.mkdir, "2026-11.jsonl: Is a directory"),
        (huge, "2026-11.jsonl: larger than 20 MiB"),
    ],
)
@pytest.mark.parametrize("call", [entries.read, lambda folder, now: entries.append(folder, [entry()], now)])
def test_nothing_is_followed(
    tmp_path: Path, make: Callable[[Path], None], why: str, call: Callable[[Path, datetime], Any]
) -> None:
    """A link, a pipe that never ends, a giant: named, neither read nor replaced."""
    make(tmp_path / "2026-11.jsonl")

    with pytest.raises(HistoryError) as refused:
        call(tmp_path, NOW)

    assert (refused.value.what, why in refused.value.why) == (f"history: {tmp_path} cannot be used", True)

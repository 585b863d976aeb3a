"""`testbay history` and `testbay latency`, in a folder."""

import os
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import REPOSITORY, WARM, Done
from tests.system.fakes.pages import write

from testbay.production.checks.report import Report, Result, read
from testbay.production.history import command as trends
from testbay.production.history import entries
from testbay.production.history.entries import Entry
from testbay.production.history.slowness import Rule, Series

NOW = datetime.now(UTC).replace(microsecond=0)
# Nothing of this machine's own git.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("GIT", "TESTBAY_"))}
CLEAN |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def entry(hours_ago: float, **more: Any) -> Entry:
    facts = {"service": "shop", "phase": "scheduled", "target": "production"}
    return Entry(**{**facts, "started": (NOW - timedelta(hours=hours_ago)).isoformat(), **more})


def report(folder: Path, hours_ago: float, *, health_s: float = 0.1, control_s: float = 0.02) -> Path:
    """A report on disk, with the times of two checks."""
    started = (NOW - timedelta(hours=hours_ago)).isoformat()
    results = [
        Result(check=check, kind="http", verdict="pass", said="", latencies_s=(seconds,) * 10)
        for check, seconds in (("health", health_s), ("control", control_s))
    ]
    made = Report(
        service="shop",
        phase="scheduled",
        target="production",
        started=started,
        finished=started,
        results=tuple(results),
    )
    file = folder / f"report-{hours_ago:g}.json"
    file.write_text(made.as_json())
    return file


def call(folder: Path, *argv: str | Path) -> Done:
    done = WARM.run([*map(str, argv)], cwd=folder, environ=CLEAN, apart=True)
    return Done(done.returncode, done.stdout + done.stderr)


def test_writers_at_once_in_a_folder(tmp_path: Path) -> None:
    """Each run is there, whoever wrote when."""
    runs = [entry(hours) for hours in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: entries.append(tmp_path, [run], NOW), runs))

    assert entries.read(tmp_path, NOW).entries == entries.merge(runs)


def test_a_slowdown_is_told_and_explained(tmp_path: Path) -> None:
    """From reports to the verdict: a slower service is code 20, with a line for each run."""
    source = random.Random(1)
    for run in range(34):
        health_s = source.uniform(0.09, 0.11) * (1.5 if run >= 28 else 1)
        made = read(report(tmp_path, 6 * (34 - run), health_s=health_s))
        entries.append(tmp_path / "kept", [entries.entry(made)], NOW)

    every, one = (
        call(tmp_path, "latency", "--history", "kept"),
        call(tmp_path, "latency", "health", "--history", "kept"),
    )

    assert (every.code, one.code, len(every.lines), len(one.lines)) == (20, 20, 2, 40), one.out
    assert re.match(r"shop on production: control: not judged: the last 6 runs are 0% slower", every.lines[0])
    assert one.lines[0] == every.lines[1]
    assert re.match(
        r"shop on production: health: slower: the last 6 runs are \d\d% slower .* not by chance", one.lines[0]
    )


def test_the_manifest_says_what_is_too_slow(tmp_path: Path) -> None:
    """The keys of the page's example are used, and the command line beats them."""
    page = (REPOSITORY / "docs/latency.md").read_text(encoding="utf-8")
    [example] = re.findall(r"(?ms)^```toml\n(.*?)^```", page)
    write(tmp_path / "services/shop/testbay.toml", 'service = "shop"\n' + example.replace("20%", "30%"))
    of_page = trends.limits(tmp_path, slower_than=None, hard_ms=None)
    asked = trends.limits(tmp_path, slower_than="50%", hard_ms=7)

    health, other = Series("shop", "production", "health"), Series("shop", "production", "docs")
    assert [of_page.of(health), of_page.of(other)] == [Rule(slower_than=0.3, hard_ms=2000), Rule()]
    assert asked.of(health) == asked.of(other) == Rule(slower_than=0.5, hard_ms=7)


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    """Nobody is surprised later."""
    kept = tmp_path / trends.FOLDER
    kept.mkdir(parents=True)
    (kept / f"{NOW:%Y-%m}.jsonl").write_text("damaged\n")

    done = call(tmp_path, "history", report(tmp_path, 0))

    said = f".testbay/history: 1 run since {NOW:%Y-%m-%d}; lines that testbay did not write, ignored: 1\n"
    assert done == Done(0, said)


def test_a_run_that_is_too_old_is_not_kept(tmp_path: Path) -> None:
    """And that is said."""
    done = call(tmp_path, "history", report(tmp_path, 24 * 401), "--to", "kept")

    assert done == Done(0, "kept: the run is too old to be kept; 0 runs\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["history", "none.json"], "error: none.json: cannot be read"),
        (["history", "empty.json"], "error: this is not a report of checks"),
        (["history", "x.json", "--to", "a", "--branch", "b"], "error: a history is in a folder or on a branch"),
        (["latency"], "error: no check was timed yet"),
        (["latency", "health"], "error: no check was timed yet"),
        (["latency", "heath", "--history", "kept"], "error: no check 'heath' was timed; did you mean 'health'?"),
        (["latency", "--slower-than", "0%"], "error: --slower-than: '0%' is not a percentage above zero"),
        (["latency", "--slower-than", "some"], "error: --slower-than: 'some' is not a percentage above zero"),
        (["latency", "--hard-ms", "nan"], "error: --hard-ms: nan is not a time above zero"),
    ],
)
def test_what_cannot_be_used_is_code_10(tmp_path: Path, argv: list[str], message: str) -> None:
    """It is named, with what could be meant."""
    (tmp_path / "empty.json").write_text("{}")
    entries.append(tmp_path / "kept", [entries.entry(read(report(tmp_path, 1)))], NOW)

    done = call(tmp_path, *argv)

    assert (done.code, done.lines[0]) == (10, message)


def test_a_history_that_cannot_be_used_is_code_25(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "kept").write_text("")

    done = call(tmp_path, "history", report(tmp_path, 1), "--to", "kept")

    assert (done.code, done.lines[0]) == (25, "error: history: kept cannot be used")


def test_every_field_of_a_line_is_told() -> None:
    """docs/latency.md has a row for each key of a run and of a check in it."""
    page = (REPOSITORY / "docs/latency.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \|", page.partition("## What is kept")[2])

    assert rows == ["version", *entries.Entry.__dataclass_fields__, *entries.Outcome.__dataclass_fields__]

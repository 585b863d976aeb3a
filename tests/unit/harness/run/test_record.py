import json
from pathlib import Path
from typing import Any

import pytest
from tests.samples.records import failed, record

from testbay.harness.run import record as records
from testbay.harness.run.record import Record
from testbay.harness.run.report import html, runfile
from testbay.harness.run.shards import artifacts

BEGAN = "2026-11-21T08:30:15.250000+00:00"
FIRST: dict[str, Any] = {  # as the first testbay wrote it: without a format, with a fact for each phase that decided
    "id": "20261121-083015-shop-5b1c",
    "service": "shop",
    "started": BEGAN,
    "engine": "embedded",
    "engine_reason": "Docker does not answer",
    "llm": "",
    "dependencies": [{"name": "nats", "title": "NATS", "host": "localhost", "port": 14222, "version": "2.15.1"}],
    "migrations": ["0001_items.sql"],
    "steps": [{"name": "Run the tests", "start_s": 0.7, "outcome": "ok", "duration_s": 8.5}],
    "planned": ["a", "b"],
    "tests": [
        {"id": "a", "when": "call", "outcome": "passed", "duration_s": 0.2, "start": 1795271465.25},
        {"id": "b", "when": "setup", "outcome": "failed", "duration_s": 0.1, "start": 1795271466.0, "error": "E"},
    ],
    "coverage_percent": 84.6,
    "exit_code": 1,
    "error": None,
}
SHARD: dict[str, Any] = FIRST | {  # as the first one that could be merged wrote it
    "finished": BEGAN,
    "duration_s": 9.5,
    "startup": [{"name": "nats", "start_s": 0.1, "duration_s": 0.2}],
    "startup_budget_s": 0.6,
    "shard": {"number": 1, "of": 2, "durations": "0", "source": "/there/src"},
    "collected": ["a", "b", "c"],
    "shards": [],
}
MERGED: dict[str, Any] = FIRST | {
    "shards": [{"shard": "1/2", "id": "i", "duration_s": 9.5, "tests_s": 8.5, "planned": 2}]
}


def saved(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("old", [FIRST, SHARD, MERGED], ids=["first", "shard", "merged"])
def test_old_records_are_read(tmp_path: Path, old: dict[str, Any]) -> None:
    """Each form that a testbay wrote, by every reader, without a loss."""
    saved(tmp_path, old)

    Record.read(tmp_path).save(tmp_path)

    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert {name: written[name] for name in old} == old
    run = runfile.read(tmp_path)
    assert (run.headline, [test.id for test in run.tests], "1 of 2 tests failed" in html(run)) == (
        "1 of 2 tests failed",
        ["a", "b"],
        True,
    )
    if run.shard:
        [shard] = artifacts.find([tmp_path])
        assert (shard.name, shard.started.isoformat(), shard.seconds("Run the tests")) == ("1/2", BEGAN, 8.5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every field, and those that a newer testbay of the same format has added; null is as good as absent."""
    content = record(failed("a", colour="blue"), counts={"failed": 1}, finished=BEGAN, engine=None)
    first = Record.read(saved(tmp_path, content))

    first.save(tmp_path)

    assert (Record.read(tmp_path), first.engine, first.attempts[0].model_extra) == (first, "", {"colour": "blue"})


def test_half_a_character_is_escaped(tmp_path: Path) -> None:
    """A file's name need not be UTF-8; a record is."""
    Record(id="r", migrations=["0001_\udcff.sql"]).save(tmp_path)

    assert Record.read(tmp_path).migrations == ["0001_\\udcff.sql"]


def test_a_time_without_a_zone_is_in_utc(tmp_path: Path) -> None:
    """As all times of a record are."""
    read = Record.read(saved(tmp_path, FIRST | {"started": "2026-11-21T08:30:15.250000"}))

    assert read.started is not None
    assert read.started.isoformat() == BEGAN


def test_a_record_keeps_what_tests_said_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tests fail: no record is too large for its readers."""
    monkeypatch.setattr(records, "_EVIDENCE_BYTES", 300)
    tests = [failed(name, trace="x" * 100, sections=[]) for name in "abc"]

    Record.model_validate({"id": "r", "tests": tests}).save(tmp_path)

    told = [test["trace"] for test in json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["tests"]]
    assert told == ["x" * 100, "x" * 100, "the record has no more room for it: see tests.jsonl beside it"]

import json
from pathlib import Path

import pytest
from tests.samples.records import failed

from testbay.harness.run import record as records
from testbay.harness.run.record import Record


def test_a_record_keeps_what_tests_said_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tests fail: no record is too large for its readers."""
    monkeypatch.setattr(records, "_EVIDENCE_BYTES", 300)
    tests = [failed(name, trace="x" * 100, sections=[]) for name in "abc"]

    Record(id="r", service="shop", started="", tests=tests).save(tmp_path)

    told = [test["trace"] for test in json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["tests"]]
    assert told == ["x" * 100, "x" * 100, "the record has no more room for it: see tests.jsonl beside it"]

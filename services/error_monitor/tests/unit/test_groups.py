"""What a person calls one error, in logs of many programs: groups.jsonl holds text and the blocks of each error."""

import json
from pathlib import Path
from typing import Any

import pytest

from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader

LOGS = [json.loads(line) for line in (Path(__file__).parent / "groups.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_groups(log: dict[str, Any]) -> None:
    """The same error twice is one pattern, two errors are two, and what is no error is none."""
    reader = Reader()
    blocks = [(first, last, at) for at, group in enumerate(log["groups"]) for first, last in group]
    found: dict[str, set[int]] = {}
    events = sorted([*reader.feed(log["text"].split("\n")), *reader.flush()], key=lambda one: one.first_line)
    for event in events:
        inside = [at for first, last, at in blocks if first <= event.first_line and event.last_line <= last]
        found.setdefault(fingerprint(event).key, set()).update(inside or {-event.first_line})

    assert len(events) == len(blocks)
    assert list(found.values()) == [{at} for at in range(len(log["groups"]))]

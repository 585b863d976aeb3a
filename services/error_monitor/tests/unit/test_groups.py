"""What a person calls one error, in logs of many programs: groups.jsonl holds text and the blocks of each error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader

LOGS = [json.loads(line) for line in (Path(__file__).parent / "groups.jsonl").read_text("utf-8").splitlines()]
WRAPPED: dict[str, Callable[[str], str]] = {
    "coloured, CRLF": lambda line: f"\x1b[31m{line}\x1b[0m\r",
    "compose": lambda line: f"api-1  | {line}",
    "CRI": lambda line: f"2024-06-12T10:00:00.123456789Z stderr F {line}",
    "docker logs -t": lambda line: f"2024-06-12T10:00:00.123456789Z {line}",
    "docker's file": lambda line: json.dumps({"log": f"{line}\n", "stream": "stderr", "time": "2024-06-12T10:00:00Z"}),
    "journald": lambda line: json.dumps({"MESSAGE": line, "PRIORITY": "6", "SYSLOG_IDENTIFIER": "shop", "_PID": "12"}),
    "syslog": lambda line: f"Jun 12 10:00:00 host shop[12]: {line}",
}


def groups(log: dict[str, Any], lines: list[str]) -> dict[str, list[int]]:
    """List the groups that each fingerprint's events are in; a negative number is a line that should be dropped."""
    reader = Reader()
    blocks = [(first, last, at) for at, group in enumerate(log["groups"]) for first, last in group]
    found: dict[str, list[int]] = {}
    for event in sorted([*reader.feed(lines), *reader.flush()], key=lambda one: one.first_line):
        inside = [at for first, last, at in blocks if first <= event.first_line and event.last_line <= last]
        found.setdefault(fingerprint(event).key, []).append(inside[0] if inside else -event.first_line)
    return found


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_groups(log: dict[str, Any]) -> None:
    """The same error twice is one pattern, two errors are two, and lines that report no error form none."""
    found = groups(log, log["text"].split("\n"))

    assert list(found.values()) == [[at] * len(group) for at, group in enumerate(log["groups"])]


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_groups_whatever_wraps_the_lines(log: dict[str, Any]) -> None:
    """And each has the same name; exports of a journal or of CloudWatch are formats of whole files."""
    lines = log["text"].split("\n")
    found = {name: groups(log, [wrap(line) for line in lines]) for name, wrap in WRAPPED.items()}

    assert {name for name, one in found.items() if one != groups(log, lines)} <= set(
        set(WRAPPED) - {"coloured, CRLF"}
        if log["name"] in ("journald-export", "cloudwatch-csv", "cloudwatch-get-log-events", "pg-csvlog")
        else ()
    )


def read(lines: list[str], count: int) -> list[str]:
    """What is read in two scans, of which the first ends after so many lines."""
    first = Reader()
    found = first.feed(lines[:count])
    second = Reader.restore(json.loads(json.dumps(first.state())))
    return sorted(
        f"{event.first_line} {event.last_line} {event.level} {fingerprint(event).key}"
        for event in (*found, *second.feed(lines[count:]), *second.flush())
    )


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_groups_wherever_a_scan_ends(log: dict[str, Any]) -> None:
    """A record that goes on in the next scan is the same one."""
    lines = log["text"].split("\n")

    assert read(lines, len(lines) // 2) == read(lines, 1) == read(lines, len(lines))

"""What holds for every input of the reader, however hostile."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from error_monitor.patterns.classify import classify
from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader
from error_monitor.redaction import redact

TEXTS = [json.loads(line)["text"] for line in (Path(__file__).parent / "forms.jsonl").read_text("utf-8").splitlines()]
PIECES = [line.encode() for text in TEXTS for line in text.split("\n")]
LINES = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=60)), max_size=40)
BUNDLES = tuple(opening.encode() for opening in ('{"resourceLogs":', '{"messageType":', '{"records":[{'))
COMMON = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def described(event: Any) -> tuple[Any, ...]:
    """What of an event must not depend on where a scan ended."""
    return (event.first_line, event.last_line, event.type, event.message, event.level, fingerprint(event).key)


APP = b"<11>1 2024-06-12T10:00:00.123Z host app 12 - - "
CUT_OFF = [APP + b"    raise ValueError()", b"[ERROR] of another", APP + b'  File "/a.py", line 7, in run']


@COMMON
@given(LINES)
@example(CUT_OFF)
@example([line for line in PIECES if line.startswith(BUNDLES)])
def test_any_bytes(lines: list[bytes]) -> None:
    """The reader takes any bytes; events lie within them and no line belongs to two.

    A line with carriage returns inside is several, as AWS Lambda writes them, and a bundle holds several records.
    """
    reader = Reader()
    events = [*reader.feed(lines), *reader.flush()]

    taken = [set(event.lines or range(event.first_line, event.last_line + 1)) for event in events]
    assert all(numbers <= set(range(1, len(lines) + 1)) for numbers in taken)
    whole = [number for number, line in enumerate(lines, 1) if not line.startswith(BUNDLES)]
    single = {number for number in whole if b"\r" not in lines[number - 1].rstrip(b"\r\n")}
    assert sum(len(numbers & single) for numbers in taken) == len(set().union(*taken) & single)
    assert all(classify(event).reason for event in events)


def cut_after(lines: list[str], count: int) -> list[Any]:
    """The events of two scans; the first one ends after so many lines."""
    first = Reader()
    events = first.feed(lines[:count])
    second = Reader.restore(json.loads(json.dumps(first.state())))
    if not second.number:
        second.number = count
    return [described(event) for event in (*events, *second.feed(lines[count:]), *second.flush())]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_cut(text: str) -> None:
    """A scan may end after any line: the state is JSON, and the events are those of one scan."""
    lines = text.removesuffix("\n").split("\n")
    whole = cut_after(lines, 0)

    assert [cut_after(lines, count) for count in range(len(lines) + 1)] == [whole] * (len(lines) + 1)


@COMMON
@given(st.one_of(st.sampled_from(TEXTS), st.text(max_size=200)))
def test_redacting_twice(text: str) -> None:
    """What is redacted stays as it is, and keeps its lines."""
    once = redact(text)

    assert redact(once) == once
    assert once.count("\n") == text.count("\n")

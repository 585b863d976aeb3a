"""The reader: from raw lines to events."""

import time

import pytest

from error_monitor.reading.event import Event
from error_monitor.reading.reader import Reader
from error_monitor.reading.times import iso

TRACEBACK = """\
Traceback (most recent call last):
  File "/app/shop/jobs.py", line 7, in run
    raise ValueError("feed 'a' is empty")
ValueError: feed 'a' is empty"""


def read(text: str) -> list[Event]:
    """All events of a text."""
    reader = Reader()
    return [*reader.feed(text.split("\n")), *reader.flush()]


def test_record_with_traceback() -> None:
    """A header and the traceback below it are one event; the record after it is none of it."""
    (event,) = read(
        f"2024-01-02 03:04:05,678Z ERROR shop: job failed\n{TRACEBACK}\n2024-01-02 03:04:06,000 INFO shop: on"
    )

    assert (event.first_line, event.last_line, event.lines) == (1, 5, ())
    assert (event.type, event.message, event.level) == ("ValueError", "feed 'a' is empty", "error")
    assert [(frame.file, frame.function, frame.in_app) for frame in event.frames] == [
        ("/app/shop/jobs.py", "run", True)
    ]
    assert event.time == "2024-01-02T03:04:05.678000+00:00"


def test_state_carries_an_open_traceback() -> None:
    """A traceback that a scan cut in two is one event after the next scan."""
    lines = TRACEBACK.split("\n")
    reader = Reader()
    assert reader.feed(lines[:2]) == []

    later = Reader.restore(reader.state())
    assert later.feed(lines[2:]) == []
    (event,) = later.flush()

    assert (event.text, event.first_line, event.last_line) == (TRACEBACK, 1, 4)
    assert later.state() == {}


def test_interleaved_workers() -> None:
    """Lines of two workers in one pipe are told apart by their prefix."""
    one, two = TRACEBACK.split("\n"), TRACEBACK.replace("'a'", "'b'").split("\n")
    mixed = [
        f"{name} | {line}"
        for pair in zip(one, two, strict=True)
        for name, line in zip(("a-1", "b-1"), pair, strict=True)
    ]

    events = read("\n".join(mixed))

    assert [(event.service, event.message, event.lines) for event in events] == [
        ("a-1", "feed 'a' is empty", (1, 3, 5, 7)),
        ("b-1", "feed 'b' is empty", (2, 4, 6, 8)),
    ]


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("2026-01-01 10:00:00,123", "2026-01-01T15:00:00.123000+00:00"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000000+00:00"),
        ("01/Jan/2026:10:00:00", "2026-01-01T15:00:00.000000+00:00"),
        ("2026-07-01 10:00:00 CEST", "2026-07-01T08:00:00.000000+00:00"),
        ("1-Jan-2026::10:00:00.5", "2026-01-01T15:00:00.500000+00:00"),
        ("01-Jan-2026 10:00:00 +0000", "2026-01-01T10:00:00.000000+00:00"),
        ("Thu Jan  1 10:00:00 2026", "2026-01-01T15:00:00.000000+00:00"),
        ("Thu, 01 Jan 2026 10:00:00 +0100", "2026-01-01T09:00:00.000000+00:00"),
        ("Thu Jan  1 10:00:00.25 2026", "2026-01-01T15:00:00.250000+00:00"),
        ("[2026.01.02-10.00.00:123]", "2026-01-02T15:00:00.123000+00:00"),
        ("date=2026-01-02 time=10:00:00", "2026-01-02T15:00:00.000000+00:00"),
        ("26/01/02 10:00:00", "2026-01-02T15:00:00.000000+00:00"),
        ("[1/2/2026] [10:00:00 PM]", "2026-01-03T03:00:00.000000+00:00"),
        ("E20260102 10:00:00.5 UTC", "2026-01-02T10:00:00.500000+00:00"),
        ("2 January 2026 10:00:00 GMT", "2026-01-02T10:00:00.000000+00:00"),
        ("31/31/2026 10:00:00", None),
    ],
)
def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch, printed: str, expected: str | None) -> None:
    """As Python's logging writes it: taken for UTC, an error after a deploy would count as one before it."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    found = iso(printed)
    monkeypatch.undo()
    time.tzset()

    assert found == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("level=error ts=2026-01-02T10:00:00Z caller=a.go:1 msg=lost", "2026-01-02T10:00:00.000000+00:00"),
        ('{"level":"error","msg":"lost","eventTime":"2026-01-02T10:00:00Z"}', "2026-01-02T10:00:00.000000+00:00"),
        ('{"level":"error","msg":"lost","instant":{"epochSecond":1767348000}}', "2026-01-02T10:00:00.000000+00:00"),
        ("ERROR: [1767348000.5]: lost", "2026-01-02T10:00:00.500000+00:00"),
        ("ERROR: the certificate expired 2026-01-02T10:00:00Z", None),
        ("ERROR: lost at [1767348000]", None),
        ("ERROR: lost", None),
    ],
)
def test_the_time_of_an_event(line: str, expected: str | None) -> None:
    """It stands in a field that names it, or in the head of the line; what a sentence says is another time."""
    (event,) = read(line)

    assert event.time == expected

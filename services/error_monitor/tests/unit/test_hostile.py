"""Lines that try to stop the reader: what is quadratic here runs into the time-out of the tests."""

import json
from pathlib import Path

import pytest

from error_monitor import cli_read
from error_monitor.patterns.classify import classify
from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.patterns.store import as_jsonb, rows
from error_monitor.reading.reader import Reader
from error_monitor.scanning.reader import Readers
from error_monitor.sources.records import Batch

CHARS = 64_000
UNITS = [
    "a", "1", "-", "'", '"',
    "a=", "a://b:", "{", "[", "|", "a.", "password=", "\\", 'a="x" ', " ", "*", "/a",
    "user for ", "@a", "cookie", "╭─", ": ", "é", "eyJaaaaaaaa.", "(", "x1-", "Jun ", "\x1b[", "'api_key', ",
    "-----BEGIN PRIVATE KEY-----",
    "Uncaught A: in ", "A::", "A (", ".rb:1:in `", "** (A) ",
    "#1 a (", "#1  ", "{a,b,1,[{file,", " in function  a:b", " at x.pm line 1", " exception error: ", "Aa: ", '"":"",',
    "  at a(b)", "{\n", "x failed ", "<a>",
    "FAILED a::", ": line 1: ", " - panic: ", "a.c:1: ", ", called at ", "[1:1/1:ERROR:", "Error in ", "] [",
]  # fmt: skip


@pytest.mark.parametrize(
    "prefix", ["2024-01-01 00:00:00,000 ERROR x: ", "", "web-1 | ", '{"level":"error","message":"']
)
@pytest.mark.parametrize("unit", UNITS)
def test_repeated(unit: str, prefix: str) -> None:
    """A long line of one thing again and again is read, named and classified in time."""
    line = prefix + (unit * CHARS)[:CHARS]
    reader = Reader()
    stacks = ["a.rb:1:in `f'", "    #0 0x1 in f /a.c:1", "#0  f (a.dart:1)", '  File "x", line 1, in f']
    texts = [line, *stacks, f"Foo: {line}", line, f"{line}.", "== WARN: Foo", line, *stacks]
    events = [*reader.feed(texts), *reader.flush()]

    assert all(fingerprint(event).key and classify(event).category for event in events)


@pytest.mark.parametrize(("before", "unit"), [([], "{\n"), (["web-1 | {"], '  "a": {\n')])
def test_a_text_of_many_lines_is_in_no_record_that_goes_on(before: list[str], unit: str) -> None:
    """A collector ships a text of several lines whole: each of its lines would be put behind all those before."""
    reader = Reader()
    reader.feed([*before, f"web-1 | {unit * 1000}"])

    assert reader.state().get("pieces", []) == []


@pytest.mark.parametrize("unit", ["<a><![CDATA[", "<a>x<b>", ' a="', " ", "</a>"])
def test_repeated_in_a_record_of_xml(unit: str) -> None:
    """It is read in time too, and is one event."""
    reader = Reader()
    events = reader.feed([f'<Event level="ERROR">{(unit * CHARS)[:CHARS]}', "</Event>"])

    assert [(event.first_line, event.last_line) for event in events] == [(1, 2)]


def test_hundred_thousand_frames() -> None:
    """A traceback of 100 000 frames is one event; text, frames and state are bounded."""
    lines = ["Traceback (most recent call last):", *['  File "/app/a.py", line 1, in f', "    f()"] * 100_000]
    reader = Reader()
    reader.feed([*lines, "RecursionError: maximum recursion depth exceeded"])
    state = json.dumps(reader.state())
    (event,) = reader.flush()

    assert (event.first_line, event.last_line, event.lines) == (1, 200_002, ())
    assert (event.type, event.message) == ("RecursionError", "maximum recursion depth exceeded")
    assert len(state) < 65_536
    assert len(event.text) < 70_000


def test_state_of_a_long_traceback() -> None:
    """The state leaves out the middle; the event after the next scan is still one block with its end."""
    lines = ["Traceback (most recent call last):", *['  File "/app/a.py", line 1, in f', "    f()"] * 5_000]
    first = Reader()
    first.feed(lines)
    second = Reader.restore(json.loads(json.dumps(first.state())))
    (event,) = [*second.feed(["KeyError: 'x'"]), *second.flush()]

    assert (event.first_line, event.last_line, event.lines, event.type) == (1, 10_002, (), "KeyError")


def test_line_without_end(tmp_path: Path) -> None:
    """Of a line that is too long, the beginning is read, and the next line has the next number."""
    path = tmp_path / "long.log"
    path.write_bytes(b"ERROR: " + b"x" * 3_000_000 + b"\nERROR: next\n")

    assert [event.first_line for event in cli_read.events(path)] == [1, 2]


def test_a_banner_without_end() -> None:
    """A line of stars, as Spring Boot's failure to start begins, is read in time."""
    assert len([*(reader := Reader()).feed(["ERROR: ", "*" * 900_000]), *reader.flush()]) == 1


def test_many_streams() -> None:
    """A file in which every line has another worker keeps a bounded number of them in mind."""
    reader = Reader()
    events = reader.feed([f"[pid {number}] ERROR: failed {number}" for number in range(2_000)])

    assert len(events + reader.flush()) == 2_000
    assert len(reader.joiners) == 0


def test_what_json_spells_is_stored() -> None:
    """A NUL or half of a surrogate pair in a log's JSON reaches no table: PostgreSQL would refuse the whole scan."""
    spelled = r'"\u0000\ud800"'
    pending = rf'{{"log": "Traceback (most recent call last): " , "stream": {spelled}, "time": ""}}'
    lines = [rf'{{"level": "error", "message": {spelled}, "service": {spelled}}}'.encode(), pending.encode()]
    readers = Readers({})
    seen = readers.feed([Batch(origin="", service="", lines=lines)])
    stored = [as_jsonb(one).obj for one in (*rows("files", seen), readers.kept)]

    assert seen
    assert not any(bad in json.dumps(stored) for bad in (r"\u0000", r"\ud8"))

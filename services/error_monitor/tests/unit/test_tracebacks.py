"""Tracebacks that are easily misread."""

import pytest

from error_monitor.reading import foreign
from error_monitor.reading.reader import Reader
from error_monitor.reading.tracebacks import frame, read

BOX = """\
╭──────── Traceback (most recent call last) ────────╮
│ /app/clinic/booking.py:111 in check               │
│ ❱ 111 │   raise ExceptionGroup("checks", found)   │
╰───────────────────────────────────────────────────╯
ExceptionGroup: checks (2 sub-exceptions)

╭─────────────── Sub-exception #1 ──────────────────╮
│ ValueError: check 7 failed                        │
╰───────────────────────────────────────────────────╯

╭─────────────── Sub-exception #2 ──────────────────╮
│ OSError: [Errno 28] No space left on device       │
╰───────────────────────────────────────────────────╯"""
TRACEBACK = "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in f\n    g()\nKeyError: 'x'"


def test_group_in_boxes() -> None:
    """The members of a group stand in boxes of their own, and are no part of its message."""
    found = read(BOX.split("\n"))

    assert found is not None
    assert (found.type, found.message) == ("ExceptionGroup", "checks (2 sub-exceptions)")
    assert [(member.type, member.message) for member in found.members] == [
        ("ValueError", "check 7 failed"),
        ("OSError", "[Errno 28] No space left on device"),
    ]


def test_compiled_frames_are_not_ours() -> None:
    """Cython prints where it was built: such a frame belongs to a package."""
    frames = [
        frame("asyncpg/protocol/protocol.pyx", "bind_execute", 1),
        frame("lib/sqlalchemy/engine/_result_cy.py", "sqlalchemy.engine._result_cy.BaseResult._one", 1),
        frame("/usr/lib/python3.11/json/__init__.py", "loads", 1),
        frame("/app/shop/jobs.py", "run", 1),
        frame("jobs.py", "<module>", 1),
    ]

    assert [one.in_app for one in frames] == [False, False, False, True, True]


def test_stream_whose_tracebacks_have_no_header() -> None:
    """Where tracebacks come without a header, an error line before one is an event of its own."""
    lines = f"INFO: a\n{TRACEBACK}\nINFO: b\n{TRACEBACK}\nERROR: disk full\n{TRACEBACK}\nINFO: c".split("\n")
    reader = Reader()

    events = [*reader.feed(lines), *reader.flush()]
    assert [(event.first_line, event.last_line, event.type) for event in events] == [
        (2, 5, "KeyError"),
        (7, 10, "KeyError"),
        (11, 11, None),
        (12, 15, "KeyError"),
    ]


def test_record_within_a_traceback() -> None:
    """A record of another thread stands within a traceback: both are read whole."""
    first, *rest = TRACEBACK.split("\n")
    lines = [
        first,
        rest[0],
        "2024-01-01 10:00:00,000 ERROR x: disk full",
        *rest[1:],
        "2024-01-01 10:00:01,000 INFO x: on",
    ]
    reader = Reader()

    events = [*reader.feed(lines), *reader.flush()]
    assert sorted((event.first_line, event.lines, event.type) for event in events) == [
        (1, (1, 2, 4, 5), "KeyError"),
        (3, (), None),
    ]


@pytest.mark.parametrize(
    ("lines", "own"),
    [
        (
            ["Error: outer", "    at a (/app/a.js:1:1) {", "  [cause]: Error: no", "      at b (/app/b.js:2:2)", "}"],
            "a",
        ),
        (["panic: no", "", "goroutine 1 [running]:", "main.f(0x1)", "\t/app/main.go:7 +0x1"], "main.f"),
        (["/app/x.rb:12:in 'S#o': no (NameError)", "", "    x", "    ^", "\tfrom bin/shop:3:in '<main>'"], "S#o"),
    ],
)
def test_the_frame_of_another_language_is_that_of_the_exception(lines: list[str], own: str) -> None:
    """Not of its cause, and not that of what it prints beside its stack."""
    failure = foreign.read(lines)

    assert failure
    assert failure.frames[-1].function == own

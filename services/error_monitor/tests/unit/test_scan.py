"""A scan goes on with all other streams where one cannot be read or stored."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from error_monitor.patterns.records import Cursor
from error_monitor.scanning.reader import Readers
from error_monitor.scanning.scan import Scanner
from error_monitor.sources.records import Batch, Chunk


class Lines:
    """A stream of one line."""

    def __init__(self, key: str) -> None:
        self.key = key

    async def read(self, _: object) -> Chunk:
        """Always the same."""
        return Chunk(position={"at": 1}, batches=[Batch(origin="", service="shop", lines=[b"ERROR no pay"])])


class Files:
    """A source of two streams."""

    name = "files"

    async def streams(self) -> list[Lines]:
        """The first one holds what the store does not take."""
        return [Lines("bad"), Lines("good")]


class Picky:
    """A store that takes nothing of one stream; `kept` are those of which it took something."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    async def cursor(self, stream: str, source: str) -> Cursor:
        """From the beginning."""
        return Cursor(stream=stream, source=source)

    async def write(self, _writer: object, _scan: int, step: Any) -> tuple[int, int]:
        """What is written is kept."""
        if step.cursor.stream == "bad":
            raise ValueError("of ours")
        self.kept.append(step.cursor.stream)
        return 1, 0

    async def begin_scan(self, *_: object) -> int:
        """The first."""
        return 1

    async def end_scan(self, *_: object, is_complete: bool) -> dict[str, int]:
        """A scan with an error is not complete."""
        assert not is_complete
        return {"lines": 1, "events": 0, "new_patterns": 0}

    async def source_failed(self, *_: object) -> None:
        """It is told by the outcome."""


def test_what_one_stream_holds_ends_no_other() -> None:
    """It is an error of its source, by name."""
    store, settings = Picky(), SimpleNamespace(scan_deadline_s=60.0, settle_s=0.0, backoff_s=1.0)
    metrics, writer = SimpleNamespace(scanned=lambda *_: None), SimpleNamespace(fence=1)
    scanner = Scanner(*cast("Any", (settings, store, [Files()], metrics)))
    outcome = asyncio.run(scanner.scan(cast("Any", writer), "manual"))

    assert outcome.errors == {"files": "what bad holds cannot be stored: ValueError"}
    assert store.kept == ["good"]


def test_a_pattern_says_what_its_error_came_from() -> None:
    """A wrapper says little to those on call; what it repeats is not said twice."""
    wrapped = "ERROR: a\n{}\n\tat a.B.c(B.java:1)\nCaused by: d.EException: {}\n\t... 1 more\n"
    log = wrapped.format("a.XException: no job", "refused") + wrapped.format("a.YException: d.E: too late", "too late")
    readers = Readers({})
    found = [*readers.feed([Batch(origin="", service="", lines=log.encode().splitlines())]), *readers.flush(0)]

    assert [one.message for one in found] == ["no job (from d.EException: refused)", "d.E: too late"]


def test_an_event_of_a_clock_that_was_never_set_is_of_now() -> None:
    """Dated 1970, a pattern would be neither new nor seen within a day, and no one would hear of it."""
    readers = Readers({}, clock=lambda: 1_800_000_000.0)
    lines = [b"1970-01-01 00:00:09,000 ERROR no disk", b"2002-01-01 00:00:09,000Z ERROR an old log"]
    found = [*readers.feed([Batch(origin="", service="", lines=lines)]), *readers.flush(0)]

    assert [one.time.year for one in found] == [2027, 2002]

"""One scan: every source from its cursors on, at once; a source that fails is an error of that source alone."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from error_monitor import logs
from error_monitor.database import AWAY, NOT_MIGRATED
from error_monitor.metrics import Metrics
from error_monitor.patterns.records import Cursor, Step, Writer
from error_monitor.patterns.store import CursorMovedError, Store
from error_monitor.redaction import redact
from error_monitor.scanning.lease import LeaseLostError
from error_monitor.scanning.reader import Readers
from error_monitor.settings import Settings
from error_monitor.sources.records import Chunk, Source, SourceError, Stream
from error_monitor.tasks import together

log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a scan."""

    scan_id: int
    lines: int
    events: int
    new_patterns: int
    errors: dict[str, str]
    is_complete: bool


class Scanner:
    """Reads what is there, and stores it."""

    def __init__(self, settings: Settings, store: Store, sources: Sequence[Source], metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._sources = sources
        self._metrics = metrics

    async def scan(self, writer: Writer, trigger: str) -> Outcome:
        """Read every source that is due.

        Raises:
            LeaseLostError: Another instance scans now.
            Exception: One of AWAY: the database is away. What was stored before is right, the rest is read next time.
        """
        began = time.monotonic()
        scan_id = await self._store.begin_scan(writer, trigger)
        waits = {} if trigger == "manual" else await self._store.waits(writer)
        due = [source for source in self._sources if source.name not in waits]
        why = "not asked: it failed {} times and is asked again later"
        pending = {name: why.format(count) for name, count in waits.items()}
        job = _Job(self._settings, self._store, writer, scan_id, began + self._settings.scan_deadline_s)
        said = await together(*(self._source(job, source) for source in due))
        errors = pending | {source.name: error for source, error in zip(due, said, strict=True) if error}
        is_complete = not errors and not job.is_late
        row = await self._store.end_scan(writer, scan_id, errors, is_complete=is_complete)
        outcome = Outcome(
            scan_id=scan_id,
            lines=row["lines"],
            events=row["events"],
            new_patterns=row["new_patterns"],
            errors=errors,
            is_complete=is_complete,
        )
        self._metrics.scanned(outcome.lines, outcome.events, time.monotonic() - began, errors)
        log.info("scan_ended", trigger=trigger, fence=writer.fence, lines=outcome.lines, events=outcome.events)
        return outcome

    async def _source(self, job: "_Job", source: Source) -> str:
        """Read one source; what went wrong with it, or nothing."""
        errors = []
        try:
            streams = await source.streams()
            for stream in streams:
                try:
                    await job.read(source.name, stream)
                except SourceError as exc:
                    errors.append(str(exc))
                except (*AWAY, *NOT_MIGRATED, LeaseLostError):
                    raise
                except Exception as exc:  # noqa: BLE001 -- what one stream holds must not end the reading of all others
                    log.error("stream_failed", stream=stream.key, error=logs.trace(exc))  # noqa: TRY400 -- one line: a traceback would become a pattern
                    errors.append(f"what {stream.key} holds cannot be stored: {type(exc).__name__}")
            await job.settle()
        except SourceError as exc:
            errors.append(str(exc))
        if not errors:
            await self._store.source_answered(job.writer, source.name)
            return ""
        error = redact("; ".join(errors[:3]))[:500]
        log.warning("source_failed", source=source.name, streams=len(errors))
        await self._store.source_failed(job.writer, source.name, error, self._settings.backoff_s)
        return error


class _Job:
    """The streams of one scan."""

    def __init__(self, settings: Settings, store: Store, writer: Writer, scan_id: int, ends: float) -> None:
        self.writer = writer
        self.is_late = False
        self._settings = settings
        self._store = store
        self._scan_id = scan_id
        self._ends = ends
        self._open: list[tuple[str, Stream]] = []

    async def read(self, source: str, stream: Stream) -> None:
        """Read a stream to its end, or to the scan's."""
        cursor = await self._store.cursor(stream.key, source)
        while True:
            if time.monotonic() > self._ends:
                self.is_late = True
                return
            chunk = await stream.read(cursor.position)
            try:
                cursor = await self._write(cursor, chunk)
            except CursorMovedError:
                log.warning("cursor_moved", stream=stream.key)
                cursor = await self._store.cursor(stream.key, source)
                continue
            if not chunk.has_more:
                break
        if cursor.readers:
            self._open.append((source, stream))

    async def settle(self) -> None:
        """Look once more at what had begun: after a moment of quiet it has ended, and is stored in this scan."""
        pending, self._open = self._open, []
        if pending and time.monotonic() + self._settings.settle_s < self._ends:
            await asyncio.sleep(self._settings.settle_s)
            for source, stream in pending:
                await self.read(source, stream)

    async def _write(self, cursor: Cursor, chunk: Chunk) -> Cursor:
        readers = Readers(cursor.readers)
        lines = sum(len(batch.lines) for batch in chunk.batches)
        seen = await asyncio.to_thread(readers.feed, chunk.batches) if lines else []
        if not chunk.has_more:
            seen += readers.flush(self._settings.settle_s)
        moved = replace(cursor, position=chunk.position, readers=readers.kept)
        if not lines and not seen and not chunk.gaps and chunk.position == cursor.position:
            return cursor
        step = Step(cursor=moved, lines=lines, seen=seen, gaps=chunk.gaps)
        version, _ = await self._store.write(self.writer, self._scan_id, step)
        return replace(moved, version=version)

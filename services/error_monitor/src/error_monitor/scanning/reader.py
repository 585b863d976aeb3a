"""The stored events of lines: the readers of a stream, one for each origin, and the events that they find."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from error_monitor.logs import OWN
from error_monitor.patterns.classify import classify
from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.patterns.records import Seen
from error_monitor.patterns.store import storable
from error_monitor.reading.event import Event, Frame
from error_monitor.reading.reader import Reader
from error_monitor.sources import services
from error_monitor.sources.records import Batch

_OWN = OWN.encode()
_MOST_LINES, _MOST_CHARACTERS = 80, 500  # of an example
_MESSAGE_CHARACTERS = 2000
_MOST_ORIGINS = 1000
_AHEAD = timedelta(minutes=10)  # a time that is farther in the future is a clock's mistake
_FIRST_YEAR = 2001  # a machine without a clock of its own starts in 1970 or 2000


class Readers:
    """Everything that has begun and not ended yet in one stream; what the cursor keeps beside its position."""

    def __init__(self, kept: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._open: dict[str, dict[str, Any]] = {origin: dict(one) for origin, one in kept.items()}

    def feed(self, batches: Sequence[Batch]) -> list[Seen]:
        """The events that ended with these lines."""
        seen = []
        for batch in batches:
            lines, times = _without_own(batch)
            kept = self._open.pop(batch.origin, {})
            reader = Reader.restore(kept.get("state"))
            before = int(kept.get("lines", 0))
            events = reader.feed(lines)
            seen += [self._seen(event, batch.service, times, before) for event in events]
            if state := reader.state():
                self._open[batch.origin] = {
                    "state": state,
                    "service": batch.service,
                    "fed_at": self._clock(),
                    "lines": before + len(lines),
                    "time": times[-1] if times else None,
                }
        while len(self._open) > _MOST_ORIGINS:  # the oldest has waited longest
            seen += self._flushed(next(iter(self._open)))
        return seen

    def flush(self, settle_s: float) -> list[Seen]:
        """The events of origins that have been quiet for so long: nothing more belongs to them."""
        now = self._clock()
        # A clock that was set back must not keep an event open for ever.
        quiet = [origin for origin, one in self._open.items() if not 0 <= now - one["fed_at"] < settle_s]
        return [event for origin in quiet for event in self._flushed(origin)]

    @property
    def kept(self) -> Mapping[str, Any]:
        """The readers' states, for the cursor."""
        return self._open

    def _flushed(self, origin: str) -> list[Seen]:
        kept = self._open.pop(origin)
        reader = Reader.restore(kept["state"])
        times = [kept["time"]] if kept["time"] else None
        return [self._seen(event, kept["service"], times, int(kept["lines"])) for event in reader.flush()]

    def _seen(self, event: Event, service: str, times: Sequence[float] | None, before: int) -> Seen:
        judged = classify(event)
        return Seen(
            fingerprint=fingerprint(event).key,
            type=event.type or "",
            message=_message(event)[:_MESSAGE_CHARACTERS],
            frame=_frame(event.frames),
            level=event.level,
            category=judged.category,
            severity=judged.severity,
            fixable=judged.fixable,
            reason=judged.reason,
            service=storable(services.plain(event.service) if event.service else service),
            example=tuple(line[:_MOST_CHARACTERS] for line in event.text.split("\n")[:_MOST_LINES]),
            time=self._time(event, times, before),
        )

    def _time(self, event: Event, times: Sequence[float] | None, before: int) -> datetime:
        """Date an event: the source knows best, then the line itself; else the time is now."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        found = now
        if times:
            at = min(max(event.first_line - 1 - before, 0), len(times) - 1)
            found = datetime.fromtimestamp(times[at], UTC)
        elif event.time:
            try:
                written = datetime.fromisoformat(event.time)
                found = written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
            except (ValueError, OverflowError):
                found = now
        return now if found > now + _AHEAD or found.year < _FIRST_YEAR else found


def _without_own(batch: Batch) -> tuple[Sequence[bytes], Sequence[float] | None]:
    if not any(_OWN in line for line in batch.lines):
        return batch.lines, batch.times
    kept = [at for at, line in enumerate(batch.lines) if _OWN not in line]
    return [batch.lines[at] for at in kept], [batch.times[at] for at in kept] if batch.times else None


def _message(event: Event) -> str:
    """Tell what an event says; of an exception that was raised from another one, also what that one said."""
    said = event.message or event.header or event.text
    cause = event.failure.cause if event.failure and event.failure.raised_from else None
    if cause is None or cause.type is None or (cause.message and cause.message in said):
        return said
    first = (cause.message or "").partition("\n")[0]
    return f"{said} (from {cause.type}{': ' if first else ''}{first})"


def _frame(frames: Sequence[Frame]) -> str:
    own = [frame for frame in frames if frame.in_app] or frames
    return f"{own[-1].file} in {own[-1].function}"[:_MOST_CHARACTERS] if own else ""

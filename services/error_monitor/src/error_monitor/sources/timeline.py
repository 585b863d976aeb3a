"""Sources that are asked for a span of time: nothing twice and nothing lost over any spans, caps and overlaps."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from error_monitor.sources.records import MAX_LINE_BYTES, Batch, Chunk, Gap, Position

SECOND_NS = 1_000_000_000
_MOST_SEEN = 5_000
_MOST_ASKED = 200  # times in one read; then what there is so far is stored


class TooMuchError(Exception):
    """The server would not answer for so long a span, though it may for a shorter one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line with its time; `origin` is what may not be mixed with another one's lines."""

    time_ns: int
    origin: str
    service: str
    text: str


class Fetch(Protocol):
    async def __call__(self, start_ns: int, end_ns: int) -> Sequence[Entry]:
        """The entries of a span, its end excluded or not, in any order; a server may leave some out at its cap.

        Raises:
            SourceError: There is no usable answer.
            TooMuchError: The span is too long for the server.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`cap` entries are as many as an answer can hold: then some may be missing. `grain_ns` is the shortest span.

    A span ends `lag_ns` ago, and begins `overlap_ns` before the last one ended, as lines may arrive late.
    """

    cap: int
    grain_ns: int
    lookback_ns: int
    longest_ns: int = 3600 * SECOND_NS
    lag_ns: int = SECOND_NS
    overlap_ns: int = 10 * SECOND_NS


class Timeline:
    """One stream that is read by time.

    The cursor is the time up to which everything was read, and a hash of each line of the last seconds before it. An
    answer at the server's cap proves nothing about the rest: the span is cut until the answer fits, and the next
    spans are of the length that did.
    """

    def __init__(self, key: str, fetch: Fetch, limits: Limits, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.key = key
        self._fetch = fetch
        self._limits = limits
        self._clock_ns = clock_ns

    async def read(self, position: Position | None) -> Chunk:
        """The next spans, as many as bring a server's answer full of lines."""
        limits, newest = self._limits, self._clock_ns() - self._limits.lag_ns
        position = position or {"until": newest - limits.lookback_ns, "span": limits.longest_ns, "seen": {}}
        until, span = int(position["until"]), max(int(position["span"]), limits.grain_ns)
        seen = {str(key): list(value) for key, value in position["seen"].items()}
        if newest <= until:  # the clock went back, or the last read was just now
            return Chunk(position=position)
        # What arrives late is looked for once in a scan, not again behind each full answer of a flood.
        since = int(position.get("since", until))
        start = until if position.get("has_more") else since
        entries, gaps, end, span = await self._collect(start, until, newest, span)
        gaps += self._lost(seen, entries, until, end) if start < until else []
        fresh = _fresh(entries, seen)
        since, remembered = _remembered(entries, seen, start, end, max(since, end - limits.overlap_ns))
        has_more = end < newest
        following = {"until": end, "span": span, "since": since, "has_more": has_more, "seen": remembered}
        return Chunk(position=following, batches=batches(fresh), gaps=gaps, has_more=has_more)

    async def _collect(self, start: int, until: int, newest: int, span: int) -> tuple[list[Entry], list[Gap], int, int]:
        """Everything from `start` to the end that is returned with it; a span whose answer is full is cut."""
        limits = self._limits
        entries: list[Entry] = []
        gaps: list[Gap] = []
        ends: list[int] = []  # of the spans that were cut: the nearest last
        at = start
        for asked in range(_MOST_ASKED):
            if at < until and asked >= _MOST_ASKED // 2:
                at, ends = until, []  # what arrives late in a flood is not looked for
            end = ends[-1] if ends else min(at + span, newest)
            got, why = await self._ask(at, end)
            if why and end - at > limits.grain_ns:
                ends += self._cuts(at, end, got)
                continue
            gaps += [_gap("capped", why, at, end)] if why and end > until else []
            entries += [one for one in got if at <= one.time_ns < end]
            if not why:  # behind a moment that is too full for any answer, spans are as long as before it
                span = max(end - at, limits.grain_ns)
                span = min(span * 2, limits.longest_ns) if len(got) < limits.cap // 2 else span
            at = end
            ends = [one for one in ends if one > at]
            if at >= newest or (at > until and len(entries) >= limits.cap):
                break
        return entries, gaps, at, span

    async def _ask(self, start: int, end: int) -> tuple[Sequence[Entry], str]:
        """The entries of a span, and the reason why some may be missing."""
        try:
            got = await self._fetch(start, end)
        except TooMuchError as exc:
            return (), f"the server refuses the shortest span: {exc}"
        if len(got) < self._limits.cap:
            return got, ""
        return got, f"{self._limits.cap} lines or more within {end - start} ns, which the server cannot list"

    def _cuts(self, start: int, end: int, got: Sequence[Entry]) -> list[int]:
        """The ends of a span's parts, the nearest last: half of it, or up to the one moment that fills the answer."""
        first, last = (pick((one.time_ns for one in got), default=end) for pick in (min, max))
        if first == last < end:
            return [end, max(first, start + self._limits.grain_ns)]
        return [start + max((end - start) // 2, self._limits.grain_ns)]

    def _lost(self, seen: dict[str, list[int]], entries: Sequence[Entry], until: int, end: int) -> list[Gap]:
        """A gap, where none of the lines is left that were there when we last looked: others may be gone, too."""
        if not seen or any(digest(one) in seen for one in entries):
            return []
        first = min((one.time_ns for one in entries), default=end)
        return [_gap("expired", "the source no longer has the lines that were read last", until, first)]


def digest(entry: Entry) -> str:
    """Digest a line: equal for one line of one origin and time."""
    text = f"{entry.time_ns}\0{entry.origin}\0{entry.text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=9).hexdigest()


def batches(entries: Sequence[Entry]) -> list[Batch]:
    """The entries in the order of their times, each origin for itself."""
    by_origin: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda one: one.time_ns):
        by_origin[entry.origin, entry.service].append(entry)
    made = []
    for (origin, service), several in by_origin.items():
        lines: list[bytes] = []
        times: list[float] = []
        for entry in several:
            parts = entry.text.encode("utf-8", "surrogatepass").rstrip(b"\r\n").split(b"\n")
            lines += [part[:MAX_LINE_BYTES] for part in parts]
            times += [entry.time_ns / SECOND_NS] * len(parts)
        made.append(Batch(origin=origin, service=service, lines=lines, times=times))
    return made


def _fresh(entries: Sequence[Entry], seen: dict[str, list[int]]) -> list[Entry]:
    """Select the entries that were not read before; two lines that are equal in everything count as two."""
    left = Counter({key: value[1] for key, value in seen.items()})
    fresh = []
    for entry in entries:
        key = digest(entry)
        if left[key] > 0:
            left[key] -= 1
        else:
            fresh.append(entry)
    return fresh


def _remembered(
    entries: Sequence[Entry], seen: dict[str, list[int]], start: int, end: int, since: int
) -> tuple[int, dict[str, list[int]]]:
    """The lines from a time on, as time and number by their hash; and that time, later where a cursor has no room."""
    kept = {key: value for key, value in seen.items() if since <= value[0] < start}
    found: dict[str, list[int]] = {}
    for entry in entries:
        if since <= entry.time_ns < end:
            found.setdefault(digest(entry), [entry.time_ns, 0])[1] += 1
    newest = sorted((kept | found).items(), key=lambda item: item[1][0])
    if len(newest) > _MOST_SEEN:
        since = newest[-_MOST_SEEN - 1][1][0] + 1
        newest = [item for item in newest if item[1][0] >= since]
    return since, dict(newest)


def moment(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / SECOND_NS, UTC)


def _gap(kind: str, detail: str, since: int, until: int) -> Gap:
    return Gap(kind=kind, detail=detail, since=moment(since), until=moment(until))

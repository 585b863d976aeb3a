"""Response times as SVG paths: medians over time, those of the control, and gaps where nothing was timed."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from testbay.production.statuspage.boards import Point
from testbay.production.statuspage.uptime import since
from testbay.production.statuspage.wording import milliseconds

WIDTH, HEIGHT = 1000, 100  # in units of the drawing, which the page stretches
_SLOTS = 180  # points of a line: a slot is half a day when the line is 90 days long
_GAP = 3  # this many usual intervals without a run are a gap
_CUT = 4  # the axis ends at this many medians at most: one slow run must not flatten the rest


@dataclass(frozen=True, kw_only=True)
class Line:
    """Two SVG paths (`control` is empty if not timed), the label at the top of the axis, and a summary in words."""

    path: str
    control: str
    top: str
    said: str
    is_cut: bool


Levels = Sequence[tuple[float, float | None]]  # the position in the width, and the median if there is one


def line(points: Sequence[Point], start: datetime, now: datetime) -> Line | None:
    """Draw the runs since `start`; None if none was timed."""
    known = since(points, start)
    timed = [point.median_ms for point in known if point.median_ms is not None]
    if not timed:
        return None
    usual, highest = statistics.median(timed), max(timed)
    top = _round_up(min(highest, _CUT * usual))
    span_s = max((now - start).total_seconds(), 1)
    own = _levels(known, start, span_s, lambda point: point.median_ms)
    control = _levels(known, start, span_s, lambda point: point.run.control_ms)
    width = _GAP * _usual_gap(own)
    newest = known[-1].median_ms
    last = milliseconds(newest) if newest is not None else "not timed"
    return Line(
        path=path(own, top, width),
        control="" if control == own else path(control, top, width),
        top=milliseconds(top),
        said=f"newest {last}, median {milliseconds(usual)}, highest {milliseconds(highest)}",
        is_cut=highest > top,
    )


def _levels(
    points: Iterable[Point], start: datetime, span_s: float, value: Callable[[Point], float | None]
) -> list[tuple[float, float | None]]:
    slots: dict[int, list[float]] = {}
    for point in points:
        at = (point.run.moment - start).total_seconds() / span_s
        known = slots.setdefault(min(_SLOTS - 1, int(at * _SLOTS)), [])
        if (found := value(point)) is not None:
            known.append(found)
    return [
        ((slot + 0.5) * WIDTH / _SLOTS, statistics.median(known) if known else None) for slot, known in slots.items()
    ]


def _usual_gap(levels: Levels) -> float:
    gaps = [right - left for (left, _), (right, _) in itertools.pairwise(levels)]
    return statistics.median(gaps) if gaps else WIDTH


def path(levels: Levels, top: float, widest: float) -> str:
    """Draw lines between neighbours; a level without neighbours becomes a dot."""
    parts: list[str] = []
    last: float | None = None
    for x, level in levels:
        if level is None:
            last = None
            continue
        y = HEIGHT * (1 - min(level / top, 1))
        is_joined = last is not None and x - last <= widest
        parts.append(f"{'L' if is_joined else 'M'}{x:.0f} {y:.1f}" + ("" if is_joined else "h.01"))
        last = x
    return "".join(parts)


def _round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    value = max(value, 1.0)
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)

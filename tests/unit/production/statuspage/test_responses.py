"""Response times as a line."""

import re
from datetime import timedelta

import pytest
from tests.samples.histories import NOW, run

from testbay.production.statuspage import responses
from testbay.production.statuspage.boards import Point, boards
from testbay.production.statuspage.responses import Line


def line(medians: dict[float, float | None], control_ms: float | None = None) -> Line | None:
    """Of runs so many hours ago, over four days."""
    runs = [
        run(at, a="pass", ms={} if value is None else {"a": value}, control_ms=control_ms)
        for at, value in sorted(medians.items(), reverse=True)
    ]
    points: list[Point] = [point for board in boards(runs, NOW) for point in board.checks[0].points]
    return responses.line(points, NOW - timedelta(days=4), NOW)


def pieces(path: str) -> list[int]:
    """How many points each connected piece has."""
    return [piece.count("L") + 1 for piece in path.split("M")[1:]]


def test_medians_are_a_line_on_a_round_scale() -> None:
    """The axis ends at a round number above the highest, and the numbers are said."""
    found = line({hours: 60.0 + hours for hours in range(0, 90, 6)})

    assert found is not None
    assert (pieces(found.path), found.top, found.is_cut) == ([15], "200 ms", False)
    assert found.said == "newest 60 ms, median 102 ms, highest 144 ms"


def test_gaps_stay_gaps() -> None:
    """Neither a run without an answer nor a day without runs is bridged; a point alone is a dot."""
    found = line({hours: None if hours == 66 else 50.0 for hours in (90, 84, 78, 72, 66, 60, 54, 18, 12, 6)})

    assert found is not None
    assert pieces(found.path) == [4, 2, 3]
    assert (line({5: 50.0}) or found).path == "M947 0.0h.01"


def test_the_control_path_stands_beside_it() -> None:
    """On the same scale; the control's own line has no second one."""
    found = line(dict.fromkeys(range(0, 90, 6), 40.0), control_ms=10)

    assert found is not None
    assert {float(y) for y in re.findall(r"[ML]\d+ ([\d.]+)", found.control)} == {80.0}
    assert (line({0: 10.0, 6: 10.0}, control_ms=10) or found).control == ""


def test_one_giant_does_not_make_the_rest_flat() -> None:
    """What is far above the usual is cut off, and that is said."""
    found = line({hours: 50.0 if hours != 12 else 9000.0 for hours in range(0, 90, 6)})

    assert found is not None
    assert (found.top, found.is_cut, found.said) == ("200 ms", True, "newest 50 ms, median 50 ms, highest 9 s")


@pytest.mark.parametrize("value", [0.0, 5e-324, 1.7e308])
def test_any_number_can_be_drawn(value: float) -> None:
    """A history may claim what it likes: no path that a browser could not read."""
    found = line({0: value, 0.1: value, 6: value, 12: value})

    assert found is not None
    assert re.fullmatch(r"(M\d+ [\d.]+h\.01|L\d+ [\d.]+)+", found.path)


def test_nothing_timed_is_no_line() -> None:
    """Checks without response times have no empty chart."""
    assert line({0: None, 6: None}) is None

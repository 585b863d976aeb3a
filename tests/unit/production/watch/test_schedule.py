"""When checks are due: in their rhythm, spread, and never twice to make up for lost time."""

import itertools
from collections import Counter

from testbay.production.watch.schedule import Schedule


def taken(schedule: Schedule, until_s: float, step_s: float = 0.01) -> list[tuple[int, float]]:
    """What is due, looked at every hundredth of a second."""
    return [(one.key, one.due_s) for at in range(int(until_s / step_s)) for one in schedule.take(at * step_s)]


def test_a_check_keeps_its_rhythm() -> None:
    """However late it is looked at, it is due at the same distances."""
    moments = [due_s for _, due_s in taken(Schedule([5.0], 0.0), 30, step_s=0.7)]

    assert moments == [0, 5, 10, 15, 20, 25]


def test_checks_are_spread_over_their_rhythm() -> None:
    """A thousand checks each 15 s come one after the other, and none comes in a burst."""
    dues = [due_s for _, due_s in taken(Schedule([15.0] * 1000, 0.0), 15)]
    gaps = [round(later - earlier, 6) for earlier, later in itertools.pairwise(dues)]

    assert (len(dues), set(gaps)) == (1000, {0.015})


def test_checks_of_different_rhythms_begin_apart() -> None:
    """A check of each rhythm is not due at one moment with the others."""
    dues = [due_s for _, due_s in taken(Schedule([5.0, 30.0, 60.0], 0.0), 60)]

    assert max(Counter(dues).values()) == 1


def test_lost_time_is_not_made_up_for() -> None:
    """After a minute in which nothing could be asked each check is due once, and the lost rounds are counted."""
    schedule = Schedule([5.0, 10.0], 0.0)
    schedule.take(0.0)
    late = {one.key: one.skipped for one in schedule.take(61.0)}

    assert (late, schedule.take(61.0)) == ({0: 11, 1: 5}, [])


def test_a_check_that_is_still_asked_is_not_asked_again() -> None:
    """Until it ended."""
    schedule = Schedule([5.0], 0.0)
    began = [schedule.begin(0), schedule.begin(0)]
    schedule.end(0)

    assert (began, schedule.begin(0)) == ([True, False], True)


def test_a_new_build_is_asked_at_once() -> None:
    """Each check of it once, which is not late, and then in its rhythm as before."""
    schedule = Schedule([60.0, 60.0], 0.0)
    taken(schedule, 31)
    schedule.bring_forward([0, 1], 32.0)
    at_once = [(one.key, one.due_s) for one in schedule.take(33.0)]

    assert sorted(at_once) == [(0, 32), (1, 32)]
    assert (schedule.take(59.0), [one.due_s for one in schedule.take(90.0)]) == ([], [60, 90])

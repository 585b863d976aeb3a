"""Five hundred seeds of outages, flaps, deploys, planned work, deaf channels and crashes: all told, nothing twice."""

from pathlib import Path

import pytest
from tests.samples.outages import CHANNELS, Motion, Weather


def motion(folder: Path, seed: int) -> Motion:
    made = Motion(folder / str(seed), Weather(seed, steps=150))
    made.run(calm=40)
    return made


def untold(ran: Motion) -> list[str]:
    """Outages that somebody should have heard of and did not."""
    return [
        f"{channel}: {series.check} from {since:.0f} to {until:.0f}"
        for channel in CHANNELS
        for series, truth in ran.truth.items()
        for since, until in truth.outages
        if not any(
            number in ran.heard_of(channel)
            for number, (members, opened, closed) in ran.announced.items()
            if series in members and opened <= until and closed >= since
        )
    ]


def uncalled(ran: Motion) -> list[int]:
    """Incidents that were told although each of their outages was excused: by a deploy or by planned work."""
    return [
        number
        for number, (members, opened, closed) in ran.announced.items()
        if not any(since <= closed and until >= opened for one in members for since, until in ran.truth[one].outages)
    ]


def problems(folder: Path, seed: int) -> list[str]:
    ran = motion(folder, seed)
    twice = [f"twice: {key}" for key, times in ran.told().items() if times > 1]
    left = [f"waits: {one}" for one in ran.tracker.notices.values()]
    return [*twice, *untold(ran), *(f"uncalled for: {number}" for number in uncalled(ran)), *left]


def test_every_outage_is_told_once_whatever_happens_in_between(tmp_path: Path) -> None:
    """A crash may come between any two acts, and a channel may be deaf for long."""
    found = {seed: wrong for seed in range(8) if (wrong := problems(tmp_path, seed))}

    assert found == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_interleavings(tmp_path: Path) -> None:
    """The same for five hundred seeds."""
    found = {seed: wrong for seed in range(500) if (wrong := problems(tmp_path, seed))}

    assert found == {}


def test_the_weather_is_rough(tmp_path: Path) -> None:
    """The seeds hold what they promise: crashes, outages that are news, and outages that are excused."""
    runs = [motion(tmp_path, seed) for seed in range(3)]
    outages = sum(len(truth.outages) for ran in runs for truth in ran.truth.values())

    assert (sum(ran.crashes for ran in runs) > 3, outages > 12) == (True, True)

"""An hour of rounds in a few bytes."""

import random

import pytest

from testbay.production.watch.packing import PackedRound, packed, unpacked

HOUR_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000


def hour(seed: int, every_ms: int = 60_000) -> list[PackedRound]:
    chance = random.Random(seed)
    return [
        PackedRound(
            HOUR_MS + at + chance.randrange(900),
            chance.choice([0] * 9 + [1, 2, 3, 4]),
            chance.choice([None, chance.randrange(200, 9_000_000)]),
        )
        for at in range(0, 3_600_000 - 1000, every_ms)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_an_hour_comes_back_as_it_was(seed: int) -> None:
    """Verdicts exactly, moments to a tenth of a second, response times to a third of a percent."""
    before = hour(seed)
    after = list(unpacked(packed(before, HOUR_MS), HOUR_MS))

    assert [one.verdict for one in after] == [one.verdict for one in before]
    assert all(abs(one.at_ms - was.at_ms) <= 100 for one, was in zip(after, before, strict=True))
    assert all(
        (one.took_us is None) == (was.took_us is None) and abs((one.took_us or 1) / (was.took_us or 1) - 1) < 0.0034
        for one, was in zip(after, before, strict=True)
    )


def test_a_usual_minute_takes_less_than_two_bytes_and_a_half() -> None:
    """Passed rounds at a steady rhythm, with response times that vary."""
    chance = random.Random(1)
    rounds = [PackedRound(HOUR_MS + at, 0, int(chance.lognormvariate(11, 0.3))) for at in range(0, 3_600_000, 60_000)]

    assert len(packed(rounds, HOUR_MS)) / 60 < 2.5


@pytest.mark.parametrize("data", [b"", b"\x00", b"what is this", packed(hour(1), HOUR_MS)[:-9]])
def test_other_bytes_are_refused(data: bytes) -> None:
    """A damaged hour is no hour."""
    with pytest.raises(ValueError, match="not an hour"):
        list(unpacked(data, HOUR_MS))

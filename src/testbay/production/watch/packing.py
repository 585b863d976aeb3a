"""Packing the rounds of one check in one hour into a few bytes: times, verdicts and response times.

Times are kept to a tenth of a second and response times to a third of a percent, finer than either is measured.
"""

import math
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_args

from testbay.production.checks.report import Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # their places are in files: only add to the end
_STEPS = 288  # of a doubling: 0.24 % each
_LEAST_US = 10.0
_MOST = (1 << 13) - 1  # the longest time that fits is an hour
_TENTH_MS = 100


class PackedRound(NamedTuple):
    """One round: when it began, its verdict as an index of VERDICTS, and its response time, if any."""

    at_ms: int
    verdict: int
    took_us: int | None


def packed(rounds: Iterable[PackedRound], start_ms: int) -> bytes:
    """Pack rounds, the oldest first; `start_ms` is the start of their hour."""
    gaps, values = bytearray(), bytearray()
    last = 0
    for one in rounds:
        at = max(last, (one.at_ms - start_ms) // _TENTH_MS)
        gaps += _varint(at - last)
        values += ((one.verdict << 13) | _level(one.took_us)).to_bytes(2, "little")
        last = at
    whole = _varint(len(values) // 2) + gaps + values[::2] + values[1::2]  # alike beside alike
    return zlib.compress(bytes(whole), 9, wbits=-15)


def unpacked(data: bytes, start_ms: int) -> Iterator[PackedRound]:
    """Unpack the rounds that `packed` wrote.

    Raises:
        ValueError: The bytes are not its.
    """
    try:
        whole = zlib.decompress(data, wbits=-15)
        count, at = _read(whole, 0)
        gaps = []
        for _ in range(count):
            gap, at = _read(whole, at)
            gaps.append(gap)
        low, high = whole[at : at + count], whole[at + count : at + 2 * count]
        moment = 0
        for gap, one, other in zip(gaps, low, high, strict=True):
            moment += gap
            value = one | other << 8
            yield PackedRound(start_ms + moment * _TENTH_MS, value >> 13, _took_us(value & _MOST))
    except (zlib.error, IndexError) as error:
        raise ValueError(f"not an hour of rounds: {error}") from None


def _level(took_us: int | None) -> int:
    if took_us is None:
        return 0
    return min(_MOST, 1 + max(0, round(_STEPS * math.log2(max(took_us, _LEAST_US) / _LEAST_US))))


def _took_us(level: int) -> int | None:
    return round(_LEAST_US * 2 ** ((level - 1) / _STEPS)) if level else None


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes(made) + bytes([value])


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7

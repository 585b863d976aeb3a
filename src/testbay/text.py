"""Text for people: untrusted text made printable; numbers, durations and suggestions in words."""

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

LINE = 500  # characters of one line that is said or is evidence
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 7 * 86400


def visible(text: str) -> str:
    """Return text without anything that a terminal would obey or a reader could not see, such as reversed text.

    Colours are dropped, line ends become newlines, every other control character is spelled out.
    """
    plain = _COLOURS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if plain.isascii() and plain.replace("\n", "").replace("\t", "").isprintable():
        return plain
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else _escaped(c) for c in plain)


def one_line(text: str, limit: int = LINE) -> str:
    """Return text on one line, with unprintable characters spelled out, cut to `limit` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    spelled = "".join(c if c.isprintable() else _escaped(c) for c in text[: limit + 1])
    return spelled if len(spelled) <= limit else spelled[: limit - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def strict_json(text: str | bytes) -> Any:
    """Parse JSON strictly: `NaN`, `Infinity` and duplicate keys, which readers treat differently, are errors.

    Raises:
        ValueError: It is not; RecursionError when it is nested too deeply.
    """
    import json  # imported here, as above

    return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_unique)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a JSON number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} stands twice in an object")
    return found


def nearest(word: str, words: Iterable[str]) -> str:
    """` (did you mean 'postgres'?)` where one of the words is close, else nothing."""
    from difflib import get_close_matches  # imported here: a guard reads logs, and never suggests anything

    close = get_close_matches(word, list(words), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def is_commit(text: str) -> bool:
    """Return whether a text is a commit's id, whole or abbreviated."""
    return re.fullmatch(r"[0-9a-f]{7,64}", text) is not None


def plural(number: int, noun: str) -> str:
    """A number with its noun: `1 test`, `2 tests`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A duration in words: `4 ms`, `0.52 s`, `12.3 s`, `2 min 5 s`."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def age(seconds: float) -> str:
    """A short age: `3d`, `2h`, `5m`, `7s`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def parse_duration(text: str) -> float:
    """Parse a duration into seconds: `500ms`, `90s`, `5m`, `2h`, `1d`, or `90`, which are seconds.

    Raises:
        ValueError: Not a duration, zero, or more than a week.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)(ms|s|m|h|d)?", text, re.ASCII)
    seconds = float(found[1]) * _UNITS_S[found[2] or "s"] if found else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"{text!r} is not a duration: write e.g. 500ms, 90s, 5m or 2h (at most a week)")
    return seconds


def line_ranges(numbers: Iterable[int]) -> str:
    """Line numbers as ranges: `3, 7-9`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def covered(percent: float, precision: int = 0) -> str:
    """Return a percentage as coverage.py shows it: only nothing at all is 0, and only the whole is 100.

    Example:
        assert (covered(84.5), covered(99.7), covered(62.5, 2)) == ("84", "99", "62.50")
    """
    least = 10.0**-precision
    shown = percent if percent in (0.0, 100.0) else min(max(round(percent, precision), least), 100.0 - least)
    return f"{shown:.{precision}f}"

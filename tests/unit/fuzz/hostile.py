"""What strangers write: texts that are spliced and cut, and documents in which one value is not what it should be."""

import copy
import json
import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
BOUNDED = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=_EXAMPLES <= 100,  # a test that is red stays red; FUZZ_EXAMPLES=5000 looks for new ones
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

PIECES = (
    *("\0", "\x1b[2J", "\ud800", "\u202e", "\u2028", "\ufeff", "\r", "\n", "\t", "é", "\U0001d7d8", "²"),
    *(
        "::add-mask::e",
        "::stop-commands::x",
        "##[error]x",
        "</script><script>alert(1)</script>",
        "`" * 9,
        "|",
        "[x](javascript:1)",
    ),
    *(
        "NaN",
        "Infinity",
        "1e999",
        "9" * 400,
        "-0",
        "0x7fffffff",
        "[" * 2000,
        "{" * 2000,
        "((((",
        ")" * 50,
        "&a [*a,*a]",
    ),
    *(
        "${A:-${B:-${C}}}",
        "$$",
        "${",
        "${A:?}",
        "{{",
        "%s%n",
        "../../../etc/passwd",
        "/dev/zero",
        "'",
        '"',
        "\\",
        "#",
        "!!python/object:os.system",
    ),
    *(
        "*x",
        "<<: *a",
        "---\n",
        "? [a]: b\n",
        "- ",
        ": ",
        "= ",
        "[[check]]\n",
        "'''",
        "null",
        "true",
        "~",
        "2026-11-21",
        "include x",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, -1e308, 2**63, 10**400, 1e-320, "", "x", "\ud800", "\0", "9" * 400, "NaN"),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"a": {"a": {}}},
        ["x"] * 50,
        "::error::x",
        "\x1b[31m",
        "0001-01-01T00:00:00+14:00",
    ),
    *("9999-12-31T23:59:59-23:59", "x" * 70_000, "<b>", {"base64": 5}, {"base64": "!"}, float("inf"), float("nan")),
)


@st.composite
def texts(draw: st.DrawFn, seeds: Sequence[str]) -> str:
    """One of the seeds, spliced with another and with hostile pieces, cut and doubled; or nothing like them."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.text(max_size=200))
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        new = draw(st.sampled_from(PIECES) | st.text(max_size=8) | st.sampled_from(seeds))
        text = draw(
            st.sampled_from([text[:at] + new + text[end:], text[:at] + new + text[at:], text[:at], text + text[at:end]])
        )
    return text


@st.composite
def documents(draw: st.DrawFn, seeds: Sequence[Any]) -> Any:
    """One of the seeds, in which up to three values or keys are what nobody expects."""
    document = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(_places(document) or [([None], 0)]))
        value = draw(st.sampled_from(VALUES) | st.text(max_size=12) | st.integers() | st.floats())
        if isinstance(holder, dict) and draw(st.booleans()) and draw(st.booleans()):
            holder[draw(st.sampled_from([text for text in VALUES if isinstance(text, str)]))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(value)
    return document


PAGES = settings(BOUNDED, max_examples=max(10, BOUNDED.max_examples // 8))  # where each example draws a page


def lines(seeds: Sequence[Any]) -> st.SearchStrategy[str]:
    """A file of JSON objects, one a line, some of them no JSON."""
    line = documents(seeds).map(json.dumps) | texts([json.dumps(seed) for seed in seeds])
    return st.lists(line, max_size=8).map("\n".join)


def _places(document: Any) -> list[tuple[Any, Any]]:
    if isinstance(document, dict):
        inner = [place for value in document.values() for place in _places(value)]
        return [(document, key) for key in document] + inner
    if isinstance(document, list):
        inner = [place for value in document for place in _places(value)]
        return [(document, at) for at in range(len(document))] + inner
    return []

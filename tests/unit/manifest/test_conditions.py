"""Conditions fail closed, and say what was there."""

import re
from typing import Any

import pytest

from testbay.manifest.expressions.evaluate import Missing, NotMetError
from testbay.manifest.expressions.parse import condition, expression, unknown

ANSWER: dict[str, Any] = {
    "status": 200,
    "headers": {"content-type": "application/json"},
    "text": Missing("its body is larger than 4 MiB"),
    "json": {
        "status": "ok",
        "ready": True,
        "ratio": 0.9,
        "error": None,
        "ids": [1, 2],
        "mixed": [1, "a"],
        "pool": {"used": 9, "size": 10, "none": 0},
        "huge": 10**400,
        "empty": "",
        "nan": float("nan"),
    },
}


@pytest.mark.parametrize(
    "rule",
    [
        "status == 200",
        "status in (200, 204)",
        "status not in (404, 405, 410) and status < 500",
        "json.status == 'ok'",
        "json['status'] != 'down'",
        "json.ratio > 0.5",
        "json.ratio <= 5",
        "0 < json.ratio < 1",
        "json.pool.used / json.pool.size <= 0.9",
        "json.pool.used + 1 == json.pool.size",
        "json.pool.used - json.pool.size == -1",
        "json.error == None",
        "json.status != None",
        "json.ready",
        "not (json.ready and json.error != None)",
        "json.ids[0] == 1 and json.ids[-1] == 2",
        "json.ids == [1, 2]",
        "2 in json.ids",
        "'status' in json",
        "'missing' not in json or json.missing == 1",
        "'json' in headers['content-type']",
        "status == 200.0",
    ],
)
def test_what_holds_passes(rule: str) -> None:
    """Python's own reading, on JSON's values."""
    condition(rule).require(ANSWER)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("status == 404", "200 is not == 404"),
        ("json.status == 'down'", "'ok' is not == 'down'"),
        (
            "json.queue_depth < 5",
            "json has no 'queue_depth'; it has: status, ready, ratio, error, ids, mixed, pool, huge, empty, nan",
        ),
        ("json.pool.free > 1", "json.pool has no 'free'; it has: used, size, none"),
        ("json.status.code == 1", "json.status has no keys, it is 'ok' (a text)"),
        ("json.ids[7] == 1", "json.ids has no entry 7; it has 2"),
        ("json.status[0] == 'o'", "json.status is not a list, it is 'ok' (a text)"),
        ("json.status == 200", "'ok' (a text) cannot be compared with 200 (a number)"),
        ("json.status < 5", "'ok' (a text) cannot be compared with 5 (a number)"),
        ("json.ready == 1", "True (a boolean) cannot be compared with 1 (a number)"),
        ("json.error < 5", "None (null) cannot be compared with 5 (a number)"),
        ("json.ids < [9]", "(1, 2) (a list) has no order"),
        ("not json.nan > 0.8", "nan and 0.8 have no order: one is not a number"),
        ("json.status in (1, 2)", "'ok' (a text) cannot be in (1, 2)"),
        ("1 not in json.mixed", "1 is in (1, 'a')"),
        ("json.empty in 'abc'", "an empty text is in every text"),
        ("1 in json.ratio", "nothing is in 0.9 (a number)"),
        ("1 not in json", "1 (a number) cannot be compared with '' (a text)"),
        ("json.status", "it is 'ok' (a text), neither true nor false"),
        ("json.ready and json.status", "json.status is 'ok' (a text), neither true nor false"),
        ("json.status + 1 == 2", "json.status is 'ok' (a text), not a number to compute with"),
        ("json.ready + 1 == 2", "json.ready is True (a boolean), not a number to compute with"),
        ("json.pool.used / json.pool.none > 1", "json.pool.used / json.pool.none cannot be computed with 9 and 0"),
        (
            "json.huge * 2 > 1",
            "json.huge is a huge number (a number), not a number to compute with",
        ),
        ("json.ratio * 1e308 * 10 > 1", "json.ratio * 1e+308 * 10 is too large"),
        ("json.pool.used > 9 or status == 500", "not so: json.pool.used = 9; status = 200"),
        ("text == 'x'", "there is no text: its body is larger than 4 MiB"),
        ("elapsed_ms < 5", "there is no elapsed_ms: it has no value here"),
        ("json.pool == {}", None),
    ],
)
def test_what_does_not_hold_says_why(rule: str, why: str | None) -> None:
    """The rule, both sides, and the names that were there."""
    if why is None:
        with pytest.raises(ValueError, match="Dict is not allowed"):
            condition(rule)
        return
    with pytest.raises(NotMetError) as failed:
        condition(rule).require(ANSWER)

    assert str(failed.value) == f"{rule}: {why}"


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("len(json) > 1", "calls are not allowed"),
        ("json.__class__ == 1", "'__class__' is not allowed"),
        ("status ** 2 > 1", "Pow is not allowed"),
        ("'a' if status else 'b'", "IfExp is not allowed"),
        ("[x for x in json] == 1", "ListComp is not allowed"),
        ("f'{status}' == '200'", "JoinedStr is not allowed"),
        ("(lambda: 1) == 1", "Lambda is not allowed"),
        ("(x := 1) == 1", "NamedExpr is not allowed"),
        ("status is 200", "Is is not allowed"),
        ("json[0:2] == 1", "an index is a whole number or a text"),
        ("json[status] == 1", "an index is a whole number or a text"),
        ("b'x' == text", "b'x' is not allowed"),
        ("1e999 < elapsed_ms", "inf is not allowed"),
        ("status == 2j", "2j is not allowed"),
        ("'x' + text", "is neither true nor false"),
        ("200", "is neither true nor false"),
        ("1 == 1", "says nothing about an answer"),
        ("status = 200", "is not a condition"),
        ("status ==", "is not a condition"),
        ("", "is not a condition"),
        ("(" * 300 + ")" * 100, "is not a condition"),
        ("status == " + "9" * 500, "is longer than 500 characters"),
        ("status == '\0'", "is not a condition"),
    ],
)
def test_what_is_not_allowed_is_refused_at_load(rule: str, why: str) -> None:
    """Nothing is ever called, and no text of a manifest runs as code."""
    with pytest.raises(ValueError, match=re.escape(why)):
        condition(rule)


@pytest.mark.parametrize(
    ("rule", "how"),
    [
        ("status = 200", "== compares"),
        ("status: 200", "== compares"),
        ("status === 200", "== compares"),
        ("status is 200", "== compares"),
        ("status == 2xx", "a range is 200 <= status < 300"),
        ("status in 200..299", "a range is 200 <= status < 300"),
        ("status in range(200, 300)", "a range is 200 <= status < 300"),
        ("status >= 200 && status < 300", "it is written with and, or, not"),
        ("!json.error", "it is written with not"),
        ("$.status == 'ok'", "a value of the answer is json.key"),
        (".status == 'ok'", "a value of the answer is json.key"),
        ("text =~ 'a = b'", "whether it holds a text says 'ok' in text"),
        ("text.startswith('<')", "whether it holds a text says 'ok' in text"),
        ("response_ms < 500ms", "a time is a number without a unit, as in response_ms < 500"),
    ],
)
def test_what_other_languages_say_is_met_with_how_it_is_said_here(rule: str, how: str) -> None:
    """The refusal ends with the remedy; what stands in a text of the condition does not count."""
    with pytest.raises(ValueError, match=re.escape(how) + "$"):
        condition(rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("statuss == 200", "'statuss == 200': unknown name 'statuss' (did you mean 'status'?); known: json, status"),
        ("json.a == true", "'json.a == true': unknown name 'true' (did you mean 'True'?); known: json, status"),
        ("zz == 1", "'zz == 1': unknown name 'zz'; known: json, status"),
        ("json.a-b == 1", "'json.a-b == 1': unknown name 'b'; known: json, status"),
        (
            "statuss == json.NOT",
            "'statuss == json.NOT': unknown name 'statuss' (did you mean 'status'?); known: json, status",
        ),
        ("zz == json.matches", "'zz == json.matches': unknown name 'zz'; known: json, status"),
        (
            "headers.content-type == 'a'",
            (
                "\"headers.content-type == 'a'\": unknown name 'headers'; "
                "a name with a dash is headers['content-type']; known: json, status"
            ),
        ),
        ("json.a == status", ""),
    ],
)
def test_an_unknown_name_is_met_with_the_known_ones(rule: str, why: str) -> None:
    """A typing error is found when the manifest is read."""
    assert unknown(condition(rule), ["status", "json"]) == why


def test_a_value_is_shown_short_whatever_was_answered() -> None:
    """A megabyte, a tower of lists, an object of a thousand keys: a line of each."""
    tower: Any = []
    for _ in range(60):
        tower = [tower] * 5
    values = {"json": {"long": "x" * 10**6, "tower": tower, "wide": dict.fromkeys(map(str, range(1000)))}}
    seen = [line for part in ("long", "tower", "wide") for line in expression(f"json.{part}").seen(values)]

    assert [len(line) < 140 for line in seen] == [True] * 3
    assert seen[1:] == ["json.tower = (…, …, …, …, …)", "json.wide = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …}"]


def test_a_tower_of_lists_is_not_compared_for_ever() -> None:
    """What is nested deeper than Python goes fails like any other answer."""
    left: Any = []
    right: Any = []
    for _ in range(5000):
        left, right = [left], [right]
    with pytest.raises(NotMetError, match="what was answered is nested too deeply"):
        condition("json == text").require({"json": left, "text": right})

"""JSON as its standard has it: what readers disagree about is not JSON."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbay.errors import ManifestError
from testbay.manifest.expressions.evaluate import Missing
from testbay.production.checks.context import parsed
from testbay.production.checks.report import from_json
from testbay.production.history import entries
from testbay.text import strict_json

HOSTILE = ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1e999", '{"a": 1, "a": 2}', '[{"b": {"c": 1, "c": 1}}]']
ANYTHING = st.text() | st.binary().map(lambda raw: raw.decode(errors="replace")) | st.sampled_from(HOSTILE)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_readers_disagree_about_is_no_json(text: str) -> None:
    """Neither an answer, nor a report, nor a line of history may be read as one thing here and another there."""
    with pytest.raises(ValueError, match=r"not a JSON number|stands twice"):
        strict_json(text)
    assert isinstance(parsed(text, "the answer"), Missing)


@pytest.mark.parametrize("text", ["1", "[1.5e3]", '{"a": {"a": null}}', '"NaN"', b"[true]"])
def test_all_else_is_as_it_was(text: str | bytes) -> None:
    """Only those."""
    assert strict_json(text) == json.loads(text)


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_foreign_text_is_read_or_refused(text: str) -> None:
    """Whatever it is: an answer, a report, a history."""
    parsed(text, "the answer")
    read = entries.parse({"2026-11.jsonl": text}, datetime.now(UTC))

    assert read.entries == ()
    with pytest.raises(ManifestError):
        from_json(text)

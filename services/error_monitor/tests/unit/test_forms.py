"""Every layout of logs that the reader knows, one example each: forms.jsonl holds text and events."""

import json
from pathlib import Path
from typing import Any

import pytest

from error_monitor.reading.reader import Reader

FORMS = [json.loads(line) for line in (Path(__file__).parent / "forms.jsonl").read_text("utf-8").splitlines()]


def fields(lines: list[str]) -> list[list[Any]]:
    """What the forms say of each event."""
    reader = Reader()
    events = [*reader.feed(lines), *reader.flush()]
    return [[event.first_line, event.last_line, event.level, event.type, event.message] for event in events]


@pytest.mark.parametrize("form", FORMS, ids=[form["name"] for form in FORMS])
def test_form(form: dict[str, Any]) -> None:
    """The events of a layout: lines, level, type and message."""
    assert fields(form["text"].removesuffix("\n").split("\n")) == form["events"]


@pytest.mark.parametrize("form", FORMS, ids=[form["name"] for form in FORMS])
def test_form_with_colours_and_crlf(form: dict[str, Any]) -> None:
    """Colours and carriage returns change nothing."""
    lines = [f"\x1b[31m{line}\x1b[0m\r" for line in form["text"].removesuffix("\n").split("\n")]

    assert fields(lines) == form["events"]

"""The model's API in all its moods, over real HTTP: what is tried again, what is refused, and what is paid for."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import shop
from harness.messages_api import MessagesApi, call, text

from error_monitor.fixes import model as subject
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.model import MOST_TURNS, Model
from error_monitor.fixes.records import LaterError, RefusedError, Usage
from error_monitor.settings import Settings

pytestmark = pytest.mark.xdist_group("model")  # one worker loads its client, which takes a second
GOOD = [[call("submit", shop.answer())]]
BUSY = {429: "rate_limit_error", 500: "api_error", 503: "api_error", 529: "overloaded_error"}


class Booked:
    """A budget that remembers what was booked."""

    def __init__(self) -> None:
        self.reserved = 0
        self.settled: list[Usage] = []

    async def reserve(self, tokens_in: int) -> int:
        self.reserved += bool(tokens_in)
        return self.reserved

    async def settle(self, call_id: int, usage: Usage) -> None:
        assert call_id <= self.reserved
        self.settled.append(usage)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesApi]:
    monkeypatch.setattr(subject, "_pause_s", lambda *_: 0.0)
    with MessagesApi() as server:
        yield server
        assert server.violations == []


def asked(api: MessagesApi, folder: Path, **settings: str) -> tuple[str, Booked]:
    """How the conversation ends, in words, and what was booked."""
    (folder / "a.py").write_text("x = 1\n")
    booked = Booked()

    async def talk() -> Any:
        model = Model(Settings.from_env({**shop.SETTINGS, **api.environ, **settings}).fixes)
        try:
            return await model.answer("why?", Checkout(folder, "0" * 40), booked)
        finally:
            await model.aclose()

    try:
        return f"answer, {asyncio.run(talk()).confidence}", booked
    except (RefusedError, LaterError) as exc:
        return f"{type(exc).__name__}: {exc}", booked


def failing(status: int) -> tuple[int, str]:
    """An error as the API words it."""
    kind = BUSY.get(status, "invalid_request_error")
    return status, json.dumps({"type": "error", "error": {"type": kind, "message": "no"}})


@pytest.mark.parametrize(
    ("replies", "ends"),
    [
        ([("refusal", [text("I will not")])], "RefusedError: the model refused to answer"),
        ([("max_tokens", [text("It is becau")])], "RefusedError: the model's answer was cut off"),
        ([("max_tokens", [call("submit", {"cause": "half"})])], "RefusedError: the model's answer was cut off"),
        ([("model_context_window_exceeded", [text("")])], "RefusedError: the model's answer was cut off"),
        (
            [[call("submit", {"cause": "x", "confidence": "sure"})]],
            "RefusedError: the model's answer does not have the shape that was asked for",
        ),
        ([[text("Let me think.")]], f"RefusedError: the model gave no answer within {MOST_TURNS} turns"),
        ([[call("read_file", {"path": "a.py"})], *GOOD], "answer, high"),
    ],
    ids=["refusal", "cut off", "cut off in a call", "too long", "another shape", "only words", "tools first"],
)
def test_each_way_to_end_a_turn(api: MessagesApi, tmp_path: Path, replies: list[Any], ends: str) -> None:
    """Only a whole answer in the right shape counts, and each call is paid for."""
    api.replies = replies

    said, booked = asked(api, tmp_path)

    assert (said, len(booked.settled)) == (ends, booked.reserved)


@pytest.mark.parametrize("status", sorted(BUSY))
def test_what_may_pass_is_tried_again(api: MessagesApi, tmp_path: Path, status: int) -> None:
    """Rate limits and overload: three calls, each booked; a call without an answer stays booked at its worst."""
    api.replies = GOOD
    api.next = [failing(status)] * 2

    said, booked = asked(api, tmp_path)

    assert (said, booked.reserved, len(booked.settled)) == ("answer, high", 3, 1)


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (429, "LaterError: the model is away or busy: RateLimitError"),
        (529, "LaterError: the model is away or busy: "),
        (400, "RefusedError: the model's API answered 400"),
        (401, "RefusedError: the model's API answered 401: check ANTHROPIC_API_KEY"),
        (404, "RefusedError: the model's API answered 404: check ANTHROPIC_BASE_URL and ERROR_MONITOR_FIX_MODEL"),
    ],
)
def test_what_does_not_pass_ends(api: MessagesApi, tmp_path: Path, status: int, ends: str) -> None:
    """Busy for good is for later; a refusal of the API is a reason."""
    api.next = [failing(status)] * 3

    said, booked = asked(api, tmp_path)

    assert (said[: len(ends)], booked.reserved) == (ends, 3 if status in BUSY else 1)


def test_an_answer_that_does_not_come_is_for_later(api: MessagesApi, tmp_path: Path) -> None:
    """The client's own time-out ends a call; three of them end the try."""
    api.replies, api.is_silent = GOOD, True

    said, booked = asked(api, tmp_path, ERROR_MONITOR_FIX_MODEL_TIMEOUT_S="0.2")

    assert (said, booked.reserved) == ("LaterError: the model is away or busy: APITimeoutError", 3)


@pytest.mark.parametrize("body", ["not json", "{}", '{"type": "message"}'])
def test_an_answer_that_is_none_is_a_reason(api: MessagesApi, tmp_path: Path, body: str) -> None:
    """A proxy that answers 200 with something else ends the try in words."""
    api.next = [(200, body)] * 3

    said, _ = asked(api, tmp_path)

    assert said == "RefusedError: the model's API gave no usable answer: it is no message"


def test_the_last_turn_asks_for_the_answer_in_words(api: MessagesApi, tmp_path: Path) -> None:
    """A model that always thinks takes no forced choice of a tool."""
    api.replies = [[text("Let me think.")]]

    asked(api, tmp_path)

    said = [request["messages"][-1]["content"][-1]["text"] for request in api.asked[1:]]
    assert said == ["Answer with the tool `submit`."] * (MOST_TURNS - 2) + [subject.LAST_TURN["text"]]

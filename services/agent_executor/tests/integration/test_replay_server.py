"""The replay server that stands in for OpenAI, asked over HTTP as the SDK asks it."""

import json
from collections.abc import Iterator
from signal import SIGTERM
from typing import Any

import httpx
import pytest
from harness.environment import REPLAY

from testbay.fixtures import Lease, Leases

Json = dict[str, Any]


@pytest.fixture(scope="module")
def replay(testbay: Leases, bay: Lease) -> Iterator[httpx.Client]:
    """A client of a replay server of our own."""
    server = testbay.service(bay, start=REPLAY, ready="/health")
    server.start()
    yield server.client
    code = server.stop()
    server.close()
    assert code == -SIGTERM


def _ask(text: str, **more: Any) -> Json:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def test_plain_completion(replay: httpx.Client) -> None:
    """An unrecorded message is echoed, with the token counts OpenAI would add."""
    body = replay.post("/v1/chat/completions", json=_ask("one two")).json()

    message = {"role": "assistant", "content": "You said: one two", "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert (body["object"], body["model"]) == ("chat.completion", "gpt-4o-mini")


def test_streamed_completion(replay: httpx.Client) -> None:
    """Streamed, the same answer comes in events, then its usage, then [DONE]."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    text = replay.post("/v1/chat/completions", json=_ask("one two", **options)).text

    *events, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    *chunks, usage = [json.loads(event) for event in events]
    words = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert (done, "".join(words)) == ("[DONE]", "You said: one two")
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 6)


def test_models(replay: httpx.Client) -> None:
    """The list of models has OpenAI's form."""
    body = replay.get("/v1/models").json()

    assert (body["object"], [model["id"] for model in body["data"]]) == ("list", ["gpt-4o-mini", "gpt-4o"])


REFUSED: dict[str, tuple[Any, str | None]] = {
    "not an object": ([], None),
    "no model": ({"messages": []}, "model"),
    "no messages": ({"model": "m", "messages": []}, "messages"),
    "bad role": ({"model": "m", "messages": [{"role": "boss", "content": "x"}]}, "messages.0.role"),
    "no content": ({"model": "m", "messages": [{"role": "user"}]}, "messages.0.content"),
    "tool without id": ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
    "bad stream": (_ask("x", stream="yes"), "stream"),
    "stray options": (_ask("x", stream_options={}), "stream_options"),
    "hot": (_ask("x", temperature=3), "temperature"),
    "bad tool": (_ask("x", tools=[{}]), "tools.0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_request(replay: httpx.Client, name: str) -> None:
    """What OpenAI would refuse is refused with its error body."""
    request, param = REFUSED[name]
    answer = replay.post("/v1/chat/completions", json=request)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert set(error) == {"message", "type", "param", "code"}


def test_unknown_path(replay: httpx.Client) -> None:
    """Other paths are 404 in the same form."""
    answers = [replay.get("/v2"), replay.post("/v1/embeddings", json={})]

    assert [(a.status_code, a.json()["error"]["type"]) for a in answers] == [(404, "invalid_request_error")] * 2


def test_help_has_an_example(testbay: Leases, bay: Lease) -> None:
    """--help shows how to use it."""
    done = testbay.run(bay, REPLAY.replace("--port {port}", "--help"))

    assert "example: replay_server.py --port 8099" in " ".join(done.out.split())

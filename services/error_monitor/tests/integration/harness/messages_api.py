"""A stand-in for the Messages API on loopback: recorded answers over real HTTP, and the ways in which it fails."""

import json
import threading
from typing import Any, Self

from harness import unwatched
from harness.peers import Answer, Peer


def call(name: str, arguments: Any, number: int = 1) -> dict[str, Any]:
    """A tool call of the model."""
    return {"type": "tool_use", "id": f"toolu_{number:02}", "name": name, "input": arguments}


def text(words: str) -> dict[str, Any]:
    """Words of the model."""
    return {"type": "text", "text": words}


class MessagesApi(Peer):
    """`replies` are given out in turn, the last one for ever: a list of blocks, or a stop reason and blocks.

    One that `is_silent` takes every call and never answers.
    """

    KEY = "sk-only-for-tests-000000"

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[Any] = []
        self.violations: list[str] = []
        self.is_silent = False
        self._closing = threading.Event()

    def __exit__(self, *why: object) -> None:
        self._closing.set()
        super().__exit__(*why)

    def __enter__(self) -> Self:
        unwatched.load("anthropic")  # whose 3 300 modules the first question would load
        return super().__enter__()

    @property
    def environ(self) -> dict[str, str]:
        """What leads a monitor here."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": self.KEY}

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        if self.is_silent:
            self._closing.wait()
        asked = json.loads(body)
        self.asked.append(asked)
        if (method, target.partition("?")[0]) != ("POST", "/v1/messages"):
            return 404, json.dumps({"type": "error", "error": {"type": "not_found_error", "message": "no"}})
        # The client sends the key as a bearer since its version 2, and as x-api-key before.
        given = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
        if given != self.KEY:
            return 401, json.dumps({"type": "error", "error": {"type": "authentication_error", "message": "no"}})
        self._check(asked)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        stop, blocks = reply if isinstance(reply, tuple) else ("", reply)
        stop = stop or ("tool_use" if any(one["type"] == "tool_use" for one in blocks) else "end_turn")
        return 200, json.dumps(
            {
                "id": "msg_01", "type": "message", "role": "assistant", "model": asked["model"], "content": blocks,
                "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 1000, "output_tokens": 200},
            }
        )  # fmt: skip

    def _check(self, asked: dict[str, Any]) -> None:
        """Roles take turns, each tool call is answered next, and no setting is one that models refuse."""
        if refused := {"temperature", "top_p", "top_k"} & asked.keys():
            self.violations.append(f"a model that always thinks refuses {sorted(refused)}")
        if asked.get("tool_choice", {"type": "auto"})["type"] != "auto":
            self.violations.append("a model that always thinks refuses a forced choice of a tool")
        roles = [one["role"] for one in asked["messages"]]
        if roles != [("user", "assistant")[at % 2] for at in range(len(roles))]:
            self.violations.append(f"roles {roles}")
        for said, then in zip(asked["messages"][1::2], asked["messages"][2::2], strict=True):
            calls = {one["id"] for one in said["content"] if one["type"] == "tool_use"}
            if calls != {one["tool_use_id"] for one in then["content"] if one["type"] == "tool_result"}:
                self.violations.append("a tool call without its result")

"""An incoming webhook of Slack on loopback. It takes what Slack takes, answers as Slack does, and can be told to fail.

Payloads and limits: Slack's pages on incoming webhooks, blocks and formatting; answers: its note on webhooks' errors.
"""

import json
import re
import threading
from typing import Any, Self

from tests.served import Handler, Served
from tests.system.fakes.fake_github import Fault

KEY = "canaryKey0123456789XYZ"
_LINK = re.compile(r"<(https://github\.com/acme/shop/[^|<>\s]*)\|([^|<>]+)>")


class FakeSlack(Served):
    """`with FakeSlack() as slack:`; `told` are the messages that came to the channel, as a person reads them.

    A fault of status 0 hangs up.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.payloads: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.requests = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.url = f"{self.serve(_handler(self))}/services/T0001/B0001/{KEY}"
        return self

    def answer(self, path: str, content_type: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        """What becomes of one request."""
        with self._lock:
            self.requests += 1
            fault = next((f for f in self.faults if f.times), None)
            if fault:
                fault.times -= 1
            status, text = (0, "") if fault and not fault.done else self._serve(path, content_type, body)
            return (fault.status, fault.body, fault.headers) if fault else (status, text, {})

    def _serve(self, path: str, content_type: str, body: bytes) -> tuple[int, str]:
        if path != f"/services/T0001/B0001/{KEY}":
            return 404, "no_service"
        try:
            payload = json.loads(body) if content_type.startswith("application/json") else None
        except ValueError:
            payload = None
        if not isinstance(payload, dict) or (strange := problem(payload)):
            return 400, "invalid_payload" if not isinstance(payload, dict) else strange
        self.payloads.append(payload)
        self.told.append("\n".join(read(block["text"]["text"]) for block in payload["blocks"]))
        return 200, "ok"


def problem(payload: dict[str, Any]) -> str:
    """What Slack, or whoever reads the channel, has against a message; nothing if it is fine."""
    if set(payload) != {"text", "blocks", "unfurl_links", "unfurl_media"}:
        return "invalid_payload"
    summary, blocks = payload["text"], payload["blocks"]
    if not isinstance(summary, str) or not summary.strip():
        return "no_text"
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= 50 or not all(map(_is_section, blocks)):
        return "invalid_blocks"
    texts = [summary, *(block["text"]["text"] for block in blocks)]
    # A command (<!channel>), a mention (<@U1>) or a link that is not ours; an & that Slack takes for an entity.
    if any(re.search(r"[<>]|&(?!amp;|lt;|gt;)", _LINK.sub("", text)) for text in texts):
        return "something in it is obeyed"
    return "msg_too_long" if len(summary) > 4000 else ""


def _is_section(block: dict[str, Any]) -> bool:
    text = block.get("text", {})
    known = set(block) == {"type", "text"} and set(text) == {"type", "text", "verbatim"}
    fine = known and (block["type"], text["type"], text["verbatim"]) == ("section", "mrkdwn", True)
    return fine and 1 <= len(text["text"]) <= 3000


def read(text: str) -> str:
    """As it looks in the channel: links in brackets behind their words."""
    shown = _LINK.sub(r"\2 [\1]", text)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _handler(slack: FakeSlack) -> type[Handler]:
    class Answering(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, text, headers = slack.answer(self.path, self.headers.get("content-type", ""), self.body())
            if status:
                self.reply(status, text.encode(), {"Content-Type": "text/html", **headers})
            else:
                self.close_connection = True

    return Answering

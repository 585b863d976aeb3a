"""What Slack takes in one message."""

import json

import pytest

from testbay.production.incidents import slack
from testbay.production.remote.delivery import Address, Wait

HOOK = Address(name="Slack", url="https://hooks.slack.com/services/T/B/x", headers={}, secrets=())


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a" * 3000, "a" * 3000),
        ("a" * 3001, "a" * 2999 + "…"),
        ("a" * 2997 + "&amp;" * 3, "a" * 2997 + "…"),
        ("a" * 2990 + "<https://example.org|words>", "a" * 2990 + "…"),
    ],
)
def test_a_section_is_no_longer_than_slack_takes(monkeypatch: pytest.MonkeyPatch, text: str, sent: str) -> None:
    """It refuses the whole message otherwise; what is cut off leaves no half of an entity or a link."""
    posted: list[bytes] = []

    def take(_: Address, __: str, body: bytes, ___: Wait) -> object:
        posted.append(body)
        return type("Answer", (), {"status": 200, "text": "ok"})

    monkeypatch.setattr(slack, "send", take)
    slack.post(HOOK, "summary", [text], lambda *_: False)

    assert [block["text"]["text"] for block in json.loads(posted[0])["blocks"]] == [sent]

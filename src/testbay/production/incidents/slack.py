"""Messages to a channel of Slack, by an incoming webhook."""

import json
import re
from collections.abc import Sequence
from typing import Any

from testbay.errors import NotDeliveredError
from testbay.markdown import issue_code
from testbay.production.remote.delivery import Address, Wait, send
from testbay.production.remote.exchange import is_private

_MOST_CHARACTERS = 3000  # in a section; Slack refuses the whole message for one more


def address(url: str) -> Address:
    """Check the address of a webhook, which is a secret.

    Raises:
        NotDeliveredError: It is not an https address.
    """
    if not (is_private(url) and re.fullmatch(r"[!-~]+", url)):
        raise NotDeliveredError(
            "SLACK_WEBHOOK_URL is not an https address",
            why="anyone who reads it on the way could write to your channel",
            todo="take it as Slack shows it: https://hooks.slack.com/services/…",
        )
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "testbay"}
    return Address(name="Slack", url=url, headers=headers, secrets=(url.rpartition("/")[2],))


def post(hook: Address, summary: str, sections: Sequence[str], wait: Wait) -> None:
    """Post sections of mrkdwn to the channel, at most fifty. The summary is for a phone's lock screen.

    Rocket.Chat confirms in JSON.

    Raises:
        NotDeliveredError: Slack did not confirm the message.
    """
    answer = send(hook, "POST", json.dumps(_message(summary, sections)).encode(), wait)
    said = "".join(answer.text.split())
    if answer.status == 200 and (said == "ok" or said.startswith('{"success":true')):
        return
    if answer.status < 300:
        why, todo = "what answers there is not an incoming webhook", "it looks like https://hooks.slack.com/services/…"
    elif answer.status == 400:
        why, todo = "Slack does not take the message", "this is a defect of testbay: report it with the evidence"
    else:
        why = "the webhook was revoked, or its channel is gone, archived, or closed to it"
        todo = "make a new incoming webhook in Slack, and set the secret SLACK_WEBHOOK_URL to it"
    evidence = hook.hidden(answer.text)
    raise NotDeliveredError(f"Slack: status {answer.status} instead of its ok", why=why, todo=todo, evidence=evidence)


def _message(summary: str, sections: Sequence[str]) -> dict[str, Any]:
    blocks = [{"type": "section", "text": _verbatim(text)} for text in sections]
    return {"text": summary, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _verbatim(text: str) -> dict[str, Any]:
    """Make a text in which Slack makes no links and mentions by itself."""
    return {"type": "mrkdwn", "text": _fitting(text), "verbatim": True}


def _fitting(text: str) -> str:
    """Cut a text to the length of a section, not within an entity or a link."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    return re.sub(r"(?:&\w{0,4}|<[^>]*)\Z", "", text[: _MOST_CHARACTERS - 1]) + "…"


def quoted(text: str) -> str:
    """Quote foreign text as code. Slack reads commands only between < and >, and entities."""
    return issue_code(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(words: str, url: str, prefix: str) -> str:
    """Make a link of words if the address lies below the prefix; otherwise return the words."""
    plain = prefix and re.fullmatch(re.escape(prefix) + r"/[\w./?=%+-]*", url, re.ASCII)
    return f"<{url}|{words}>" if plain else words

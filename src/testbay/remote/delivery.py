"""What has to arrive at an address that is a secret or takes one: sent again while that helps, and shown nowhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from testbay.checks.report import one_line
from testbay.errors import NotDeliveredError
from testbay.masking import masked

if TYPE_CHECKING:
    import httpx

_REQUEST_TIMEOUT_S = 20.0
_MAX_ANSWER_BYTES = 64 << 10
_MOMENTARY = {429, 500, 502, 503, 504}

Wait = Callable[[int, float | None], bool]
"""Waits before another attempt, from 0 on, at least as long as the other side asked; False if that is too long."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the other side said in the end, as a status or as text."""

    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to send to, under a name that may be shown. `secrets` are shown nowhere, nor is the address itself."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    def hidden(self, text: str) -> str:
        """The text on a line, without what nobody may read."""
        return one_line(masked(text, [self.url, *self.secrets]))


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or this machine."""
    with suppress(ValueError):
        parts = urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        return (
            bool(parts.hostname) and parts.port != 0 and (parts.scheme == "https" or (parts.scheme == "http" and local))
        )
    return False


def send(to: Address, method: str, content: bytes, wait: Wait) -> Answer:
    """Send until there is an answer that another attempt would not change.

    What was sent may arrive twice: when an answer is lost nobody knows whether it was taken, and then it is sent again.

    Raises:
        NotDeliveredError: There was none in time, or the other side was busy or out of order to the end.
    """
    attempt = 0
    while True:
        asked_s = None
        try:
            answer, headers = _once(to, method, content)
        except _UnansweredError as error:
            what, evidence = "no answer", to.hidden(str(error))
        else:
            if answer.status not in _MOMENTARY:
                return answer
            what, evidence = f"status {answer.status}", to.hidden(answer.text)
            asked_s = _seconds(headers.get("retry-after", ""))
        if not wait(attempt, asked_s):
            todo = "the next run tries again; look whether it can be reached from here, and at its status page"
            raise NotDeliveredError(f"{to.name} is not reached: {what}", why=_why(what), todo=todo, evidence=evidence)
        attempt += 1


def _why(what: str) -> str:
    return "it limits how often it may be asked" if what == "status 429" else "it is out of order, or out of reach"


class _UnansweredError(Exception):
    """Nothing that could be used came back."""


def _once(to: Address, method: str, content: bytes) -> "tuple[Answer, httpx.Headers]":
    import httpx

    # No proxy gets to read what goes to loopback; nobody is followed to where the address did not lead.
    client = httpx.Client(trust_env=to.url.startswith("https:"), timeout=_REQUEST_TIMEOUT_S)
    try:
        with client, client.stream(method, to.url, content=content, headers=dict(to.headers)) as response:
            return Answer(status=response.status_code, text=_text(response)), response.headers
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _UnansweredError(f"{type(error).__name__}: {error}") from None


def _text(response: "httpx.Response") -> str:
    """The answer, unless it is endless or drips."""
    ends, whole = time.monotonic() + _REQUEST_TIMEOUT_S, bytearray()
    for part in response.iter_bytes():
        whole += part
        if len(whole) > _MAX_ANSWER_BYTES or time.monotonic() > ends:
            raise _UnansweredError(f"an answer of more than {_MAX_ANSWER_BYTES >> 10} KiB, or too slow")
    return whole.decode(errors="replace")


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

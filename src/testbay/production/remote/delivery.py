"""Delivery to an address that is a secret or takes one: sent again while that helps, and shown nowhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbay.errors import NotDeliveredError
from testbay.masking import masked
from testbay.production.remote.exchange import TO_FIX, TooMuchError, UnusableError, exchange
from testbay.text import one_line

if TYPE_CHECKING:
    import httpx

_REQUEST_TIMEOUT_S = 20.0  # for all of it
_MAX_ANSWER_BYTES = 64 << 10
_MOMENTARY = {429, 500, 502, 503, 504}

Wait = Callable[[int, float | None], bool]
"""Waits before another attempt, from 0 on, at least as long as the other side asked; False if that is too long."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The last answer of the other side, as a status or as text."""

    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a receiver, under a name that may be shown. `secrets` and the address are shown nowhere."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    def hidden(self, text: str) -> str:
        """The text on a line, without what is secret."""
        return one_line(masked(text, [self.url, *self.secrets]))


def send(to: Address, method: str, content: bytes, wait: Wait) -> Reply:
    """Send until there is an answer that another attempt would not change.

    What was sent may arrive twice: when an answer is lost the first may have been taken, and it is sent again.

    Raises:
        NotDeliveredError: There was none in time, or the other side was busy or out of order to the end.
    """
    attempt = 0
    while True:
        asked_s = None
        try:
            answer, headers = _once(to, method, content)
        except UnusableError as error:
            what, todo = f"{to.name} is not reached: it cannot be asked from here", TO_FIX
            raise NotDeliveredError(what, why=to.hidden(str(error)), todo=todo) from None
        except _UnansweredError as error:
            what, evidence = "no answer", to.hidden(str(error))
        else:
            if answer.status not in _MOMENTARY:
                return answer
            what, evidence = f"status {answer.status}", to.hidden(answer.text)
            asked_s = retry_after_s(headers)
        if not wait(attempt, asked_s):
            todo = "the next run tries again; look whether it can be reached from here, and at its status page"
            raise NotDeliveredError(f"{to.name} is not reached: {what}", why=_why(what), todo=todo, evidence=evidence)
        attempt += 1


def _why(what: str) -> str:
    return "it limits how often it may be asked" if what == "status 429" else "it is out of order, or out of reach"


class _UnansweredError(Exception):
    """No answer came that could be used."""


def _once(to: Address, method: str, content: bytes) -> "tuple[Reply, httpx.Headers]":
    import httpx

    try:
        response, text = exchange(
            method, to.url, to.headers, content, most_bytes=_MAX_ANSWER_BYTES, within_s=_REQUEST_TIMEOUT_S
        )
    except TooMuchError as error:
        raise _UnansweredError(str(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _UnansweredError(f"{type(error).__name__}: {error}") from None
    return Reply(status=response.status_code, text=text), response.headers


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read the pause that the other side asks for; None unless it is in seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

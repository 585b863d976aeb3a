"""Delivery of messages, with retries, to an address that is secret or takes a secret."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from testbay.errors import NotDeliveredError
from testbay.masking import masked
from testbay.production.remote.exchange import TO_FIX, NoAnswerError, UnusableError, exchange
from testbay.text import one_line

_REQUEST_TIMEOUT_S = 20.0  # for the whole exchange
_MAX_ANSWER_BYTES = 64 << 10
_MOMENTARY = {429, 500, 502, 503, 504}

Wait = Callable[[int, float | None], bool]
"""Called with the number of the attempt, from 0, and the seconds asked for: waits, or returns False if too long."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer of a receiver: its HTTP status and its body."""

    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a receiver, and a name for it that may be shown. `url` and `secrets` must not be shown."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    def hidden(self, text: str) -> str:
        """Mask the address and the secrets in a text, and put it on one line."""
        return one_line(masked(text, [self.url, *self.secrets]))


def send(to: Address, method: str, content: bytes, wait: Wait) -> Reply:
    """Send a request, again after a momentary error, until an answer is final.

    The content may arrive twice: it is sent again when an answer is lost.

    Raises:
        NotDeliveredError: No answer came in time, or the last one was a momentary error.
    """
    attempt = 0
    while True:
        asked_s = None
        try:
            response, text = exchange(
                method, to.url, to.headers, content, most_bytes=_MAX_ANSWER_BYTES, within_s=_REQUEST_TIMEOUT_S
            )
        except UnusableError as error:
            what, todo = f"{to.name} cannot be reached: no request can be sent from here", TO_FIX
            raise NotDeliveredError(what, why=to.hidden(str(error)), todo=todo) from None
        except NoAnswerError as error:
            what, evidence = "no answer", to.hidden(str(error))
        else:
            if response.status_code not in _MOMENTARY:
                return Reply(status=response.status_code, text=text)
            what, evidence = f"status {response.status_code}", to.hidden(text)
            asked_s = retry_after_s(response.headers)
        if not wait(attempt, asked_s):
            todo = "the next run tries again; look whether it can be reached from here, and at its status page"
            refusal = NotDeliveredError(
                f"{to.name} cannot be reached: {what}", why=_why(what), todo=todo, evidence=evidence
            )
            refusal.asked_s = asked_s or 0.0
            raise refusal
        attempt += 1


def _why(what: str) -> str:
    return "it limits the rate of requests" if what == "status 429" else "it is down or cannot be reached"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Parse the header Retry-After; None unless it is a number of seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

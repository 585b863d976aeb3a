"""What has to arrive at an address that is a secret or takes one: sent again while that helps, and shown nowhere."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testbay.errors import InterruptedRunError, NotDeliveredError
from testbay.masking import masked
from testbay.text import one_line

if TYPE_CHECKING:
    import httpx

_REQUEST_TIMEOUT_S = 20.0  # for all of it
_MAX_ANSWER_BYTES = 64 << 10
TO_MEND = "mend the variable that names it: HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"
_MOMENTARY = {429, 500, 502, 503, 504}

Wait = Callable[[int, float | None], bool]
"""Waits before another attempt, from 0 on, at least as long as the other side asked; False if that is too long."""


@dataclass(frozen=True, kw_only=True)
class Reply:
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
        """The text on a line, without what is secret."""
        return one_line(masked(text, [self.url, *self.secrets]))


def is_private(url: str) -> bool:
    """Whether what is sent there is hidden on the way: https, or this machine."""
    with suppress(ValueError):
        parts = urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        return (
            bool(parts.hostname) and parts.port != 0 and (parts.scheme == "https" or (parts.scheme == "http" and local))
        )
    return False


class UnusableError(Exception):
    """Nothing can be asked from here: a proxy or a certificate that the environment names is invalid."""


class TooMuchError(Exception):
    """More, or slower, than we are willing to read."""


def exchange(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, most_bytes: int, within_s: float
) -> "tuple[httpx.Response, str]":
    """One request and its whole answer, whose headers may drip as well; nothing is unpacked, no redirect followed.

    Raises:
        UnusableError: Asking is impossible.
        TooMuchError: The answer is too long, or not there in time.
        httpx.HTTPError, httpx.InvalidURL: No answer came.
    """
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(_interrupted)
        return runner.run(_exchange(method, url, headers, content, most_bytes=most_bytes, within_s=within_s))


def _interrupted(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the loop where SIGTERM was raised in one of its callbacks: asyncio would log it, and wait on."""
    if isinstance(context.get("exception"), InterruptedRunError):
        raise KeyboardInterrupt  # the one kind that leaves a running loop; process.signals_as_errors tells the signal
    loop.default_exception_handler(context)


async def _exchange(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, most_bytes: int, within_s: float
) -> "tuple[httpx.Response, str]":
    import ssl

    import httpx

    plain = {**headers, "Accept-Encoding": "identity"}  # what is packed may unpack to a million times as much
    whole = bytearray()
    secure = url.startswith("https:")
    try:  # no proxy gets to read what goes to loopback, where reading a hundred certificates would be the longest part
        tls = True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts no one
        client = httpx.AsyncClient(trust_env=secure, verify=tls, timeout=_REQUEST_TIMEOUT_S)
    except (OSError, ValueError, ImportError) as error:
        raise UnusableError(f"{type(error).__name__}: {error}") from None
    try:
        async with (
            asyncio.timeout(within_s),
            client,
            client.stream(method, url, content=content, headers=plain) as response,
        ):
            async for part in response.aiter_raw():
                whole += part
                if len(whole) > most_bytes:
                    break
    except TimeoutError:
        raise TooMuchError(_too_much(most_bytes)) from None
    if len(whole) > most_bytes:
        raise TooMuchError(_too_much(most_bytes))
    return response, whole.decode(errors="replace")


def _too_much(most_bytes: int) -> str:
    return f"an answer of more than {most_bytes >> 10} KiB, or too slow"


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
            what, todo = f"{to.name} is not reached: it cannot be asked from here", TO_MEND
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
    """Nothing that could be used came back."""


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
    """How long the other side asks us to wait, if it says so in seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

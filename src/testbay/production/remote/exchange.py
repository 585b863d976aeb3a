"""The HTTP exchange with remote services, limited in size and time. Checks of a target have their own."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testbay import process
from testbay.errors import InterruptedRunError

if TYPE_CHECKING:
    import httpx

TO_FIX = "fix the variable that names it: HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"


def is_private(url: str) -> bool:
    """Return whether a request is safe from being read on the way: the address is https, or this machine."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            return False
        is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        return parts.scheme == "https" or (parts.scheme == "http" and is_local)
    return False


class UnusableError(Exception):
    """No request is possible: a proxy or a certificate that the environment names is invalid."""


class NoAnswerError(Exception):
    """No whole answer came."""


class NoConnectionError(NoAnswerError):
    """Nothing was sent, as no connection came about."""


class TooMuchError(NoAnswerError):
    """The answer is too long or too slow."""


class TooSlowError(TooMuchError):
    """The answer was not complete in time."""


def exchange(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, most_bytes: int, within_s: float
) -> "tuple[httpx.Response, str]":
    """Send a request and read the whole answer. Nothing is decompressed, no redirect is followed.

    Raises:
        UnusableError: Asking is impossible.
        NoAnswerError: No answer came, or one that is too long, or not in time.
    """
    with asyncio.Runner() as runner, process.signals_between_callbacks(runner.get_loop().call_soon_threadsafe):
        runner.get_loop().set_exception_handler(_interrupted)
        return runner.run(ask(method, url, headers, content, most_bytes=most_bytes, within_s=within_s))


def _interrupted(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the loop when SIGTERM was raised in a callback: asyncio would log the error and continue."""
    if isinstance(context.get("exception"), InterruptedRunError):
        raise KeyboardInterrupt  # the one kind that leaves a running loop; process.signals_as_errors tells the signal
    loop.default_exception_handler(context)


async def ask(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, most_bytes: int, within_s: float
) -> "tuple[httpx.Response, str]":
    """Send a request as `exchange` does, inside the caller's event loop.

    Raises:
        UnusableError: Asking is impossible.
        NoAnswerError: No answer came, or one that is too long, or not in time.
    """
    import ssl

    import httpx

    plain = {**headers, "Accept-Encoding": "identity"}  # a compressed answer may unpack to a million times its size
    whole = bytearray()
    secure = url.startswith("https:")
    try:  # no proxy gets to read what goes to loopback, where reading a hundred certificates would be the longest part
        tls = True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts no one
        client = httpx.AsyncClient(trust_env=secure, verify=tls, timeout=within_s)
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
        raise TooSlowError(_too_much(most_bytes)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        raise (NoConnectionError if is_unsent else NoAnswerError)(f"{type(error).__name__}: {error}") from None
    if len(whole) > most_bytes:
        raise TooMuchError(_too_much(most_bytes))
    return response, whole.decode(errors="replace")


def _too_much(most_bytes: int) -> str:
    return f"an answer of more than {most_bytes >> 10} KiB, or too slow"

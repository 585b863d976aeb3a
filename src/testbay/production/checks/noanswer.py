"""Reasons why no answer came, in words: from the errors of aiohttp, httpx, websockets, TLS and sockets."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from testbay.production.checks.context import FoundError, unresolved

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_UNSENDABLE = {"InvalidURL", "InvalidURI"}
_PROXIES = {
    *("ClientProxyConnectionError", "ClientHttpProxyError"),
    *("InvalidProxy", "InvalidProxyMessage", "InvalidProxyStatus", "ProxyError"),
}
_CLEARER = {  # than the library's own words
    "Got more than": "its headers are too long",
    "[None]": "the connection was closed in the handshake",
    "did not receive a valid HTTP response": "the connection was closed, or what came is not HTTP",
    "Server disconnected": "the connection was closed before there was one",
    "Not enough data": "the connection was closed in the middle of it",
    "Data after": "more came than its headers allow",
    "Connection reset": "the connection was reset",
    "Broken pipe": "the connection was reset",
    "<RawResponseMessage": "the connection was closed in the middle of its headers",
    r"b'\x15\x03": "it was in TLS; does the address begin with https://?",
    r"b'\x00\x00": "it was in HTTP/2, and checks ask in HTTP/1.1",
}
_NOT_HTTP = "Bad status line: Expected HTTP/, RTSP/ or ICE/"
_NO_ISSUER = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
_PLAIN = ("wrong version number", "packet length too long", "http request", "record layer failure")
_HINTS = dict.fromkeys(_PLAIN, "does it answer without TLS?") | {
    "sslv3 alert handshake failure": "does it want a certificate of its clients, or only old ciphers?",
    "tlsv1 alert protocol version": "does it know no TLS 1.2 or newer?",
    "tlsv13 alert certificate required": "checks have none",
}


def no_answer(asked: str, error: BaseException, *, host: str | None = None) -> FoundError:
    """Explain why no answer came: `fail` if the target is at fault, `error` if it could not be asked.

    `host` is the target's: where another one was not found, it was that of a proxy.
    """
    causes = list(_causes(error))
    if any(_is_of_proxy(cause) or (host and getattr(cause, "host", host) != host) for cause in causes):
        return no_proxy(asked)
    for cause in causes:
        if unconnected := _unconnected(asked, cause):
            return unconnected
    if isinstance(error, ValueError) or type(error).__name__ in _UNSENDABLE:
        return FoundError("error", f"{asked}: cannot be sent: {_reason(causes)}", reached=False)
    return FoundError("fail", f"{asked}: no answer: {_reason(causes)}")


def _reason(causes: list[BaseException]) -> str:
    """The library's own words, or clearer ones."""
    error = type(causes[0])
    if "InvalidURL" in {base.__name__ for base in error.__mro__}:  # its words may hold a password
        return "invalid address: the target's, or that of the proxy which HTTP_PROXY or HTTPS_PROXY names"
    if error.__name__ == "ClientHttpProxyError":  # with a status that says that the target is at fault
        return f"the proxy answers for it, with status {getattr(causes[0], 'status', 0)}"
    text = next(filter(None, (str(getattr(cause, "message", cause)) for cause in causes)), "")
    text = " ".join(word for word in text.split() if word != "^")  # the parser draws
    text = next((clear for words, clear in _CLEARER.items() if words in text), text)
    text = text.replace(_NOT_HTTP, "what came is not HTTP, or longer than it said") or error.__name__
    return "the connection was reset" if text == "ConnectionResetError" else text


def _unconnected(asked: str, cause: BaseException) -> FoundError | None:
    """Explain why a connection failed; None if something else failed."""
    if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):  # not what the library wraps it in
        return FoundError("fail", f"{asked}: no TLS: {tls_trouble(cause)}", reached=False)
    if isinstance(cause, socket.gaierror):
        if cause.errno == socket.EAI_AGAIN:
            return unresolved(asked, str(cause.strerror))
        return FoundError("fail", f"{asked}: the host's name is not known: {cause.strerror}", reached=False)
    if isinstance(cause, ConnectionRefusedError):
        return FoundError("fail", f"{asked}: connection refused", reached=False)
    return _by_number(asked, cause) if isinstance(cause, OSError) and cause.errno else None


def _by_number(asked: str, cause: OSError) -> FoundError | None:
    said = os.strerror(cause.errno or 0)
    if cause.errno in _UNREACHABLE:
        hint = "no route from here; is it IPv6 only, and this machine is not?"
        return FoundError("error", f"{asked}: {hint} ({cause.strerror})", reached=False)
    if cause.errno in _EXHAUSTED:
        return FoundError("error", f"{asked}: this machine cannot connect: {said}", reached=False)
    # asyncio's words; aiohttp wraps also the error of a port that is closed, and its cause comes next
    if "Connect call failed" in str(cause) and cause.errno != errno.ECONNREFUSED:
        said = "the connection was reset" if cause.errno == errno.ECONNRESET else said  # as where it was a moment later
        return FoundError("fail", f"{asked}: no answer: {said}", reached=False)
    return None


def _is_of_proxy(cause: BaseException) -> bool:
    """Return whether a proxy is at fault: one that answers 5xx says that the target is."""
    status = getattr(cause, "status", 0) or getattr(getattr(cause, "response", None), "status_code", 0)
    return type(cause).__name__ in _PROXIES and not 500 <= int(status) < 600


def no_proxy(asked: str, why: str = "does not connect") -> FoundError:
    """Say that a proxy is at fault, without its address, which may hold a password."""
    return FoundError("error", f"{asked}: the proxy that HTTP_PROXY or HTTPS_PROXY names {why}")


def can_ask(proxy: str) -> bool:
    """Return whether checks can ask this proxy: aiohttp passes others over, and would ask the target itself."""
    with suppress(ValueError):
        parts = urlsplit(proxy)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    return False


def was_hung_up(error: BaseException) -> bool:
    """Return whether the other side ended a connection that was there, before it answered."""
    ended = type(error).__name__ == "ServerDisconnectedError"
    return ended or getattr(error, "errno", 0) in (errno.ECONNRESET, errno.EPIPE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and len(seen) < 10:
        seen.append(error)
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__


def tls_trouble(error: ssl.SSLError) -> str:
    """Explain an error of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; does the server send its intermediate certificates?" if error.verify_code == _NO_ISSUER else ""
        return f"its certificate is not trusted: {error.verify_message}{hint}"
    words = (error.reason or str(error)).replace("_", " ").lower()
    return f"{words}; {_HINTS[words]}" if words in _HINTS else words

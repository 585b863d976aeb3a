"""One HTTP exchange, bounded in size and time, with every error in words."""

import errno
import json
import mimetypes
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from testbay.manifest import placeholders
from testbay.manifest.exchange import Exchange
from testbay.manifest.expressions.evaluate import Missing
from testbay.production.checks.charset import text_of
from testbay.production.checks.context import CheckContext, FoundError, Progress, Scope, parsed
from testbay.production.checks.peer import address, certificate
from testbay.production.checks.report import Verdict

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

MAX_BODY_BYTES = 4 << 20
_URL = "%!#$&'()*+,/:;=?@[]~"  # what stands for itself in one
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_UNSENDABLE = {"InvalidURL", "InvalidURI"}
_PROXIES = {"ClientProxyConnectionError", "ClientHttpProxyError", "InvalidProxy", "ProxyError", "InvalidProxyStatus"}
_CLEARER = {  # than the library's own words
    "Got more than": "its headers are too long",
    "Server disconnected": "the connection was closed before there was one",
    "Not enough data": "the connection was closed in the middle of it",
    "Connection reset": "the connection was reset",
    "Broken pipe": "the connection was reset",
    "<RawResponseMessage": "the connection was closed in the middle of its headers",
    r"b'\x15\x03": "it was in TLS; does the address begin with https://?",
    r"b'\x00\x00": "it was in HTTP/2, and checks ask in HTTP/1.1",
}
_NO_TLS = Missing("it was not asked over TLS")
_NOT_HTTP = "Bad status line: Expected HTTP/, RTSP/ or ICE/"
_PLAIN = ("wrong version number", "packet length too long", "http request", "record layer failure")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response; `trouble` says why its body is unusable, if it is."""

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float
    trouble: str = ""
    moved: str = ""  # where it redirects to, when that was not followed
    peer: Any = None
    tls: Any = None

    @property
    def values(self) -> dict[str, Any]:
        """The values that conditions can use."""
        text: Any = self._text_of(self.body)
        data: Any = Missing(self.trouble) if self.trouble else parsed(text, f"the answer ({self._kind})")
        text = Missing(self.trouble) if self.trouble else text
        elapsed_ms = self.elapsed_s * 1000
        return {
            "status": self.status,
            "headers": self.headers,
            "text": text,
            "json": data,
            "elapsed_ms": elapsed_ms,
            "response_ms": elapsed_ms,
            "ip": address(self.peer),
            "certificate": certificate(self.tls) if self.tls is not None else _NO_TLS,
        }

    def _text_of(self, body: bytes) -> str:
        return text_of(body, self.headers.get("content-type", ""))

    @property
    def _kind(self) -> str:
        return self.headers.get("content-type", "of no type").partition(";")[0]

    def line(self, *, shown: bool = True) -> str:
        """The exchange as evidence; the beginning of the body only if it may be `shown`."""
        begins = " ".join(self._text_of(self.body[:400]).split())[:200]
        said = f"{self.asked} → {self.status} {self._kind}, {len(self.body)} bytes"
        scheme = self.headers.get("www-authenticate", "").partition(" ")[0][:20]
        said += f", asks for {scheme} credentials" if self.status == 401 and scheme else ""
        said += f", redirects to {self.moved}" if shown and self.moved else ""
        return f"{said}: {begins}" if shown and begins and not self.trouble else said


async def exchange(context: CheckContext, table: Exchange, scope: Scope, progress: Progress | None = None) -> Response:
    """Send a request and read the answer up to a limit. The caller sets the deadline.

    `progress` is told how far the exchange got.

    Raises:
        FoundError: No answer came; or a redirect that is not followed or does not end.
    """
    import aiohttp

    path = placeholders.filled_path(table.path, scope)
    asked = f"{table.method.upper()} {path}"
    began, progress = time.monotonic(), progress or Progress()
    try:
        progress.said = ": no answer came"
        response = await _sent(context, table, scope, path)
        body, trouble = await _body(response, progress)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise no_answer(asked, error, host=_host(context.base_url)) from None
    return Response(
        asked=asked,
        status=response.status,
        headers={name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers},
        body=body,
        elapsed_s=time.monotonic() - began,
        trouble=trouble,
        moved=_moved(context, response),
        peer=getattr(response, "peer", None),
        tls=getattr(response, "secure", None),
    )


def _host(url: str) -> str | None:
    from yarl import URL

    with suppress(ValueError):
        return URL(url).raw_host
    return None


async def _sent(context: CheckContext, table: Exchange, scope: Scope, path: str) -> "aiohttp.ClientResponse":
    from yarl import URL

    headers = {**context.headers, **placeholders.filled(table.headers, scope)}
    method, home = table.method.upper(), URL(context.base_url)
    asked = f"{method} {path}"
    url = URL(str(home).rstrip("/") + quote(path, safe=_URL), encoded=True)  # as it was written, not as yarl would
    for _ in range(_MAX_REDIRECTS + 1):
        data = None if method in ("GET", "HEAD") else _content(context.root, table, scope)
        kind = {"content-type": "application/json"} if isinstance(data, bytes) else {}
        response = await context.client.request(method, url, headers=kind | headers, data=data, allow_redirects=False)
        to = response.headers.get("location")
        if not table.follow or response.status not in _REDIRECTS or to is None:
            return response
        response.close()
        if method != "HEAD" and (response.status in (302, 303) or (response.status == 301 and method == "POST")):
            method = "GET"
        try:
            url = url.join(URL(to))
        except ValueError as error:
            raise FoundError("fail", f"{asked} redirects to an invalid address: {error}") from None
        if not _stays(home, url):
            whither = url.origin() if url.host else url
            raise FoundError("fail", f"{asked} redirects to {whither}, which is not the target: not followed")
        url = url.with_user(home.user).with_password(home.password)  # an absolute address has no login
    raise FoundError("fail", f"{asked} redirects more than {_MAX_REDIRECTS} times, last to {url.path}")


def _content(root: Path, table: Exchange, scope: Scope) -> "bytes | aiohttp.FormData | None":
    """Build the content of a request; a form can be sent only once, so each redirect needs a new one."""
    import aiohttp

    if table.has_json:
        return json.dumps(placeholders.filled(table.body, scope)).encode()
    if not table.form and not table.files:
        return None
    form = aiohttp.FormData()
    for name, value in placeholders.filled(table.form, scope).items():
        form.add_field(name, str(value))
    for name, path in table.files.items():
        try:
            content = (root / path).read_bytes()
        except OSError as error:
            said = f"{error.filename}: cannot be sent: {error.strerror}"
            raise FoundError("error", said, reached=False) from None
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        form.add_field(name, content, filename=Path(path).name, content_type=kind)
    return form


def _stays(home: "URL", url: "URL") -> bool:
    """Return whether an address is the target's, also after a change from http to https."""
    if (home.scheme, url.scheme, url.port) == ("http", "https", 443):
        return home.host == url.host
    return (home.scheme, home.host, home.port) == (url.scheme, url.host, url.port)


def _moved(context: CheckContext, response: "aiohttp.ClientResponse") -> str:
    """Describe a redirect that was not followed, without its query, and how to follow it."""
    from yarl import URL

    to = response.headers.get("location")
    if response.status not in _REDIRECTS or to is None:
        return ""
    try:
        url = response.url.join(URL(to))
        stays = _stays(URL(context.base_url), url)
        return f"{url.path[:100]} (follow = true follows it)" if stays else f"{url.origin()}{url.path}"[:100]
    except ValueError:
        return "an invalid address"


async def _body(response: "aiohttp.ClientResponse", progress: Progress) -> tuple[bytes, str]:
    """Read and unpack the body up to the limit; also return why it cannot be used, or an empty string."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        response.close()
        return b"", f"its content-encoding, {coding[:40]!r}, was not asked for"
    unpack = zlib.decompressobj(_GZIP) if "gzip" in coding else None
    body = bytearray()
    try:
        progress.said = f": status {response.status} came, and its body did not end"
        async for chunk in response.content.iter_any():
            room = MAX_BODY_BYTES + 1 - len(body)
            body += unpack.decompress(chunk, room) if unpack else chunk[:room]
            if len(body) > MAX_BODY_BYTES:
                return bytes(body[:400]), f"its body is larger than {MAX_BODY_BYTES >> 20} MiB"
            if unpack and unpack.eof:  # zlib would keep all that follows
                break
    except zlib.error as error:
        return bytes(body), f"its body is not gzip: {error}"
    finally:
        response.close()
    if unpack and body and not unpack.eof:
        return bytes(body), "its gzip body ends in the middle"
    return bytes(body), ""


def no_answer(asked: str, error: BaseException, *, host: str | None = None) -> FoundError:
    """Explain why no answer came: `fail` if the target is at fault, `error` if it could not be asked.

    `host` is the target's: where another one was not found, it was that of a proxy.
    """
    causes = list(_causes(error))
    if any(_is_of_proxy(cause) or (host and getattr(cause, "host", host) != host) for cause in causes):
        return no_proxy(asked)
    if found := next((found for cause in causes if (found := _unconnected(asked, cause))), None):
        return found
    said = next((text for cause in causes if (text := str(getattr(cause, "message", cause)))), "")
    said = " ".join(word for word in said.split() if word != "^")  # the parser draws
    said = next((clear for words, clear in _CLEARER.items() if words in said), said)
    said = said.replace(_NOT_HTTP, "what came is not HTTP")
    name = type(causes[0]).__name__
    if "InvalidURL" in {base.__name__ for base in type(error).__mro__}:  # it may hold a password
        said = "invalid address: the target's, or that of the proxy which HTTP_PROXY or HTTPS_PROXY names"
    if isinstance(error, ValueError) or name in _UNSENDABLE:
        return FoundError("error", f"{asked}: cannot be sent: {said or name}", reached=False)
    return FoundError("fail", f"{asked}: no answer: {said or name}")


def _unconnected(asked: str, cause: BaseException) -> FoundError | None:
    """Explain why there is no connection; None if something else is the matter."""
    if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):  # not what the library wraps it in
        return FoundError("fail", f"{asked}: no TLS: {tls_trouble(cause)}", reached=False)
    if isinstance(cause, socket.gaierror):
        verdict: Verdict = "error" if cause.errno == socket.EAI_AGAIN else "fail"
        return FoundError(verdict, f"{asked}: the host's name is not known: {cause.strerror}", reached=False)
    if isinstance(cause, ConnectionRefusedError):
        return FoundError("fail", f"{asked}: connection refused", reached=False)
    if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
        hint = "no route from here; is it IPv6 only, and this machine is not?"
        return FoundError("error", f"{asked}: {hint} ({cause.strerror})", reached=False)
    return None


def _is_of_proxy(cause: BaseException) -> bool:
    """Return whether a proxy is at fault: one that answers 5xx says that the target is."""
    status = getattr(cause, "status", 0) or getattr(getattr(cause, "response", None), "status_code", 0)
    return type(cause).__name__ in _PROXIES and not 500 <= int(status) < 600


def no_proxy(asked: str) -> FoundError:
    """Say that a proxy is at fault, without its address, which may hold a password."""
    return FoundError("error", f"{asked}: the proxy that HTTP_PROXY or HTTPS_PROXY names does not connect")


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
        return f"its certificate is not trusted: {error.verify_message}"
    words = (error.reason or str(error)).replace("_", " ").lower()
    return f"{words}; does it answer without TLS?" if words in _PLAIN else words

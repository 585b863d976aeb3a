"""One HTTP exchange, bounded in size and time, with every error in words."""

import json
import mimetypes
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from testbay.manifest import placeholders
from testbay.manifest.exchange import Exchange
from testbay.manifest.expressions.evaluate import Missing
from testbay.production.checks.charset import text_of
from testbay.production.checks.context import (
    CONNECTING,
    UNANSWERED,
    CheckContext,
    FoundError,
    Progress,
    Scope,
    parsed,
)
from testbay.production.checks.noanswer import can_ask, no_answer, no_proxy, was_hung_up
from testbay.production.checks.peer import address, certificate

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

MAX_BODY_BYTES = 4 << 20
_URL = "%!#$&'()*+,/:;=?@[]~"  # what stands for itself in one
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_NO_TLS = Missing("it was not asked over TLS")
_GZIP = 16 + zlib.MAX_WBITS
_MEMBER = b"\x1f"  # what each member of gzip begins with


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
    if context.proxy and not can_ask(context.proxy):
        raise no_proxy(asked, "cannot be used: it has to be http://HOST:PORT")
    began, progress, unconnected = time.monotonic(), progress or Progress(), _unconnected(context)
    try:
        progress.said = unconnected
        CONNECTING.set(progress)
        response = await _sent(context, table, scope, path)
        body, trouble = await _body(response, progress)
    except zlib.error as error:
        raise FoundError("fail", f"{asked}: its gzip body is broken: {error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Without TLS the proxy itself takes the request, else only the wish for a way to the target.
        is_with_proxy = progress.said in ((unconnected, UNANSWERED) if context.is_plain else (unconnected,))
        if context.proxy and is_with_proxy and was_hung_up(error):
            raise no_proxy(asked, "closed the connection without an answer") from None
        raise no_answer(asked, error, host=context.host or None) from None
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and context.proxy:
        raise no_proxy(asked)
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


def _unconnected(context: CheckContext) -> str:
    """Say what is missing while there is no connection, for a time-out."""
    way = " by way of the proxy" if context.proxy else ""
    return f": no connection came{way}{'' if context.is_plain else ', or no TLS'}"


async def _sent(context: CheckContext, table: Exchange, scope: Scope, path: str) -> "aiohttp.ClientResponse":
    from yarl import URL

    headers = {**context.headers, **placeholders.filled_headers(table.headers, scope)}
    method, home = table.method.upper(), URL(context.base_url)
    asked = f"{method} {path}"
    url = URL(str(home).rstrip("/") + quote(path, safe=_URL), encoded=True)  # as it was written, not as yarl would
    for _ in range(_MAX_REDIRECTS + 1):
        data = None if method in ("GET", "HEAD") else _content(context.root, table, scope)
        kind = {"content-type": "application/json"} if isinstance(data, bytes) else {}
        response = await context.client.request(method, url, headers=kind | headers, data=data, allow_redirects=False)
        context.cookies.update(map(_cookie, response.headers.getall("set-cookie", ())))
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


def _cookie(header: str) -> str:
    return header.partition(";")[0].partition("=")[2].strip('" ')


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
        if url == response.url and "set-cookie" not in response.headers:  # a cookie may have been all that was missing
            return "itself"
        stays = _stays(URL(context.base_url), url)
        return f"{url.path[:100]} (follow = true follows it)" if stays else f"{url.origin()}{url.path}"[:100]
    except ValueError:
        return "an invalid address"


async def _body(response: "aiohttp.ClientResponse", progress: Progress) -> tuple[bytes, str]:
    """Read and unpack the body up to the limit; also return why it cannot be used, or an empty string.

    Raises:
        zlib.error: It is not gzip, though it says so, or not all of it: no browser would show it.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        response.close()
        return b"", f"its content-encoding, {coding[:40]!r}, was not asked for"
    unpack = zlib.decompressobj(_GZIP) if "gzip" in coding else None
    body = bytearray()
    try:
        progress.said = f": status {response.status} came, and its body did not end"
        async for came in response.content.iter_any():
            chunk = came
            while chunk:
                if unpack and unpack.eof:
                    if not chunk.startswith(_MEMBER):  # zlib would keep all that follows
                        return bytes(body), ""
                    unpack = zlib.decompressobj(_GZIP)  # a gzip body may have several members in a row
                room = MAX_BODY_BYTES + 1 - len(body)
                body += unpack.decompress(chunk, room) if unpack else chunk[:room]
                if len(body) > MAX_BODY_BYTES:
                    return bytes(body[:400]), f"its body is larger than {MAX_BODY_BYTES >> 20} MiB"
                chunk = unpack.unused_data if unpack else b""
    finally:
        response.close()
    if unpack and body and not unpack.eof:
        raise zlib.error("it ends in the middle")
    return bytes(body), ""

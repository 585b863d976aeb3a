"""One HTTP exchange: bounded in size and time whatever the server does, and every way it can go wrong in words."""

import errno
import json
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbay.checks import placeholders
from testbay.checks.asking import Asking, FoundError, Scope, parsed
from testbay.checks.evaluation import Missing
from testbay.checks.report import Verdict
from testbay.checks.tables import Exchange

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 4 << 20
_MAX_REDIRECTS = 5
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_UNSENDABLE = {"InvalidURL", "InvalidURI", "UnsupportedProtocol", "LocalProtocolError"}
_CLEARER = {  # than h11's own words
    "Receive buffer too long": "its headers do not end, or are larger than 100 KB",
    "Server disconnected without sending a response.": "the connection was closed before there was one",
}
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `trouble` is why its body is of no use, if so."""

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float
    trouble: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """What conditions can speak of."""
        text: Any = self.body.decode(errors="replace")
        data: Any = Missing(self.trouble) if self.trouble else parsed(text, f"the answer ({self._kind})")
        text = Missing(self.trouble) if self.trouble else text
        elapsed_ms = self.elapsed_s * 1000
        return {"status": self.status, "headers": self.headers, "text": text, "json": data, "elapsed_ms": elapsed_ms}

    @property
    def _kind(self) -> str:
        return self.headers.get("content-type", "of no type").partition(";")[0]

    def line(self, *, shown: bool = True) -> str:
        """The exchange as evidence; the beginning of the body only if it may be `shown`."""
        begins = " ".join(self.body[:400].decode(errors="replace").split())[:200]
        said = f"{self.asked} → {self.status} {self._kind}, {len(self.body)} bytes"
        return f"{said}: {begins}" if shown and begins and not self.trouble else said


async def exchange(asking: Asking, table: Exchange, scope: Scope) -> Answer:
    """Ask, and read the whole answer or as much of it as anybody needs. The deadline is the caller's.

    Raises:
        FoundError: There is no answer; or a redirect that is not followed or does not end.
    """
    import httpx

    path = placeholders.filled_path(table.path, scope)
    asked = f"{table.method.upper()} {path}"
    began = time.monotonic()
    try:
        request = asking.client.build_request(
            table.method.upper(),
            asking.base_url + path,
            headers={**asking.headers, **_json_type(table), **placeholders.filled(table.headers, scope)},
            content=json.dumps(placeholders.filled(table.body, scope)).encode() if table.has_json else None,
            data=placeholders.filled(table.form, scope) or None,
            files=_files(asking.root, table.files) or None,
        )
        response = await _sent(asking.client, request, asked, follow=table.follow)
        body, trouble = await _body(response)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
        raise no_answer(asked, error) from None
    found = {name.lower(): value for name, value in response.headers.items()}
    elapsed_s = time.monotonic() - began
    return Answer(
        asked=asked, status=response.status_code, headers=found, body=body, elapsed_s=elapsed_s, trouble=trouble
    )


def _json_type(table: Exchange) -> dict[str, str]:
    return {"content-type": "application/json"} if table.has_json else {}


def _files(root: Path, named: Mapping[str, str]) -> dict[str, tuple[str, bytes]]:
    """The files to send, by the name of their field."""
    try:
        return {name: (Path(path).name, (root / path).read_bytes()) for name, path in named.items()}
    except OSError as error:
        said = f"{error.filename}: cannot be sent: {error.strerror}"
        raise FoundError("error", said, reached=False) from None


async def _sent(client: "httpx.AsyncClient", request: "httpx.Request", asked: str, *, follow: bool) -> "httpx.Response":
    home = request.url
    for _ in range(_MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True, follow_redirects=False)
        if not follow or response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
        if not _stays(home, request.url):
            to = f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"
            raise FoundError("fail", f"{asked} redirects to {to}, which is not the target: not followed")
    raise FoundError("fail", f"{asked} redirects more than {_MAX_REDIRECTS} times, last to {request.url.path}")


def _stays(home: "httpx.URL", url: "httpx.URL") -> bool:
    """Whether what is sent there is sent to the target; from http to https it may go."""
    if (home.scheme, url.scheme, url.port) == ("http", "https", None):
        return home.host == url.host
    return (home.scheme, home.host, home.port) == (url.scheme, url.host, url.port)


async def _body(response: "httpx.Response") -> tuple[bytes, str]:
    """The body, unpacked, up to the limit; and why it is of no use, if so."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        await response.aclose()
        return b"", f"its content-encoding, {coding[:40]!r}, was not asked for"
    unpack = zlib.decompressobj(_GZIP) if "gzip" in coding else None
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            room = MAX_BODY_BYTES + 1 - len(body)
            body += unpack.decompress(chunk, room) if unpack else chunk[:room]
            if len(body) > MAX_BODY_BYTES:
                return bytes(body[:400]), f"its body is larger than {MAX_BODY_BYTES >> 20} MiB"
    except zlib.error as error:
        return bytes(body), f"its body is no gzip: {error}"
    finally:
        await response.aclose()
    if unpack and body and not unpack.eof:
        return bytes(body), "its gzip body ends in the middle"
    return bytes(body), ""


def no_answer(asked: str, error: BaseException) -> FoundError:
    """In words, why there is none, and whose fault that is: theirs (fail), or that we cannot ask (error)."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return FoundError("fail", f"{asked}: no TLS: {tls_trouble(cause)}", reached=False)
        if isinstance(cause, socket.gaierror):
            verdict: Verdict = "error" if cause.errno == socket.EAI_AGAIN else "fail"
            return FoundError(verdict, f"{asked}: the host's name is not known: {cause.strerror}", reached=False)
        if isinstance(cause, ConnectionRefusedError):
            return FoundError("fail", f"{asked}: connection refused", reached=False)
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            hint = "no route from here; is it IPv6 only, and this machine is not?"
            return FoundError("error", f"{asked}: {hint} ({cause.strerror})", reached=False)
    said = next((str(cause) for cause in causes if str(cause)), "")
    said = _CLEARER.get(said, said)
    name = type(causes[0]).__name__
    if isinstance(error, ValueError) or name in _UNSENDABLE:
        return FoundError("error", f"{asked}: cannot be sent: {said or name}", reached=False)
    return FoundError("fail", f"{asked}: no answer: {said or name}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and len(seen) < 10:
        seen.append(error)
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__


def tls_trouble(error: ssl.SSLError) -> str:
    """In words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()

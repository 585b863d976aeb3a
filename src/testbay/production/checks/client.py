"""The HTTP client for a target: its address, headers, trusted certificates and secrets."""

import fnmatch
import functools
import logging
import re
import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

from testbay.manifest import placeholders
from testbay.manifest.targets import Target
from testbay.production.checks.context import CONNECTING, UNANSWERED, CheckContext
from testbay.production.checks.noanswer import tls_trouble

if TYPE_CHECKING:
    import aiohttp

_MAX_HEADER_BYTES = 64 << 10
_OLDEST_S = 60.0  # of a connection that is kept
_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s?#]*$")


@dataclass(frozen=True, kw_only=True)
class ContextOptions:
    """The options for the context of a run of checks. `secrets` are names of variables; `*` is allowed.

    `keep_alive_s` is how long an idle connection is kept; with 0 each request has its own.
    """

    target: Target | None = None
    root: Path
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = ()
    expected_commit: str = ""
    within_s: float = 900.0
    keep_alive_s: float = 0.0


def open_context(plan: ContextOptions) -> tuple[CheckContext, str]:
    """Make the context of a run; also return why the target cannot be reached, or an empty string."""
    target = plan.target or Target(base_url="http://127.0.0.1:9", writes=True)  # only one that is named can forbid it
    base_url, absent = placeholders.with_environment(target.base_url, plan.environ)
    headers: dict[str, str] = {}
    for name, text in target.headers.items():
        headers[name], missing = placeholders.with_environment(text, plan.environ)
        absent += missing
    tls, distrust = _tls(plan.environ)
    direct = _is_local(base_url)
    context = CheckContext(
        base_url=base_url.rstrip("/"),
        headers=headers,
        writes=target.writes,
        root=plan.root,
        environ=plan.environ,
        run_id=run_id(),
        expected_sha=plan.expected_commit,
        deadline=time.monotonic() + plan.within_s,
        client=client(_connector(tls, plan.keep_alive_s), direct=direct),
        direct=direct,
        proxy="" if direct else _proxy(base_url),
        tls=tls,
        secrets=_secrets(plan, target, base_url),
    )
    if absent:
        return context, f"{', '.join(absent)} is not set, and the target needs it"
    if not _ADDRESS.match(base_url):  # it may hold a password, so it is not shown
        form = "it begins with http:// or https://, and has no ? or #"
        return context, f"the target's base_url, {target.base_url}, is not an address: {form}"
    return context, distrust


def _secrets(plan: ContextOptions, target: Target, base_url: str) -> set[str]:
    """Collect what no report may show: of the address, of the variables that headers name, and those called secret."""
    named = [name for pattern in plan.secrets for name in fnmatch.filter(plan.environ, pattern)]
    in_headers = [name for text in target.headers.values() for name in placeholders.variables(text)]
    values = {plan.environ[name] for name in named} | {plan.environ.get(name, "").strip() for name in in_headers}
    user = base_url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return values | {form for part in (user, user.partition(":")[2]) if part for form in (part, unquote(part))}


def _is_local(base_url: str) -> bool:
    with suppress(ValueError):  # of brackets without an IPv6 address: the check cannot run, and says so
        return urlsplit(base_url).hostname in ("127.0.0.1", "::1", "localhost")
    return False


def _proxy(url: str) -> str:
    """The address of the proxy that the environment names for an address, or an empty string."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
    return ""


def _connector(tls: ssl.SSLContext, keep_alive_s: float) -> "aiohttp.TCPConnector":
    import aiohttp

    if keep_alive_s:
        return aiohttp.TCPConnector(keepalive_timeout=keep_alive_s, limit=0, ssl=tls)
    # A connection per request: one that the server has just closed must not count against it.
    return aiohttp.TCPConnector(force_close=True, limit=0, ssl=tls)


def client(
    connector: "aiohttp.BaseConnector | None",
    *,
    direct: bool,
    owner: bool = True,
    jar: "aiohttp.abc.AbstractCookieJar | None" = None,
) -> "aiohttp.ClientSession":
    """Make an aiohttp session, with its own cookies unless `jar` is given."""
    import aiohttp

    made = aiohttp.ClientSession(
        connector=connector,
        response_class=_reached(),
        connector_owner=owner,
        cookie_jar=jar or aiohttp.CookieJar(unsafe=True),  # also of a host that is an address
        timeout=aiohttp.ClientTimeout(),  # each check has a deadline over all of it
        trust_env=not direct,  # no proxy leads to this machine
        auto_decompress=False,  # it would be without a limit
        headers={"accept-encoding": "gzip", "user-agent": "testbay"},
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )
    _hush()
    made._retry_connection = False  # noqa: SLF001 - how often a check is asked is ours to say, and is reported
    return made


@functools.cache
def _hush() -> None:
    """Keep aiohttp's log off the terminal: it quotes servers, such as in warnings about cookies."""
    logging.getLogger("aiohttp").addHandler(logging.NullHandler())


@functools.cache
def _reached() -> "type[aiohttp.ClientResponse]":
    """A response class that notes peer and TLS object, as the connection is released before the body is read."""
    import aiohttp

    born: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    class Reached(aiohttp.ClientResponse):
        peer: Any = None
        secure: Any = None

        async def start(self, connection: Any) -> "aiohttp.ClientResponse":
            transport, protocol = connection.transport, connection.protocol
            if progress := CONNECTING.get():
                progress.said = UNANSWERED
            now = time.monotonic()
            if protocol is not None and now - born.setdefault(protocol, now) > _OLDEST_S:
                protocol.force_close()  # when it was answered: the name may lead elsewhere by now, or nowhere
            if transport is not None:
                self.peer = transport.get_extra_info("peername")
                self.secure = transport.get_extra_info("ssl_object")
            return await super().start(connection)

    return Reached


def run_id() -> str:
    """Make an id for one run, for reports and for things that checks create."""
    return f"testbay-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _tls(environ: Mapping[str, str]) -> tuple[ssl.SSLContext, str]:
    """Trust certifi's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR; else no one, and say why."""
    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    try:
        return ssl.create_default_context(cafile=file, capath=folder) if file or folder else _trusting_certifi(), ""
    except OSError as error:
        why = tls_trouble(error) if isinstance(error, ssl.SSLError) else error.strerror
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {why}"


@functools.cache
def _trusting_certifi() -> ssl.SSLContext:
    """Load certifi's file once: that takes longer than a request."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where())

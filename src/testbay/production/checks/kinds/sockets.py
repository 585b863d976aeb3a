"""Checks of TCP ports, certificates and DNS names."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from testbay.manifest import placeholders
from testbay.manifest.expressions import parse
from testbay.manifest.expressions.evaluate import Missing
from testbay.manifest.probes import DnsCheck, TcpCheck, TlsCheck
from testbay.production.checks.context import CheckContext, FoundError, Passed, Progress, deadline, judge
from testbay.production.checks.noanswer import no_answer
from testbay.production.checks.peer import address, certificate

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

_MOST_BYTES = 64 << 10
_NO_CONNECTION = ": no connection came"
_SILENCE_S = 0.5  # the longest gap between the pieces of an answer


async def tcp(context: CheckContext, check: TcpCheck) -> Passed:
    """Connect; read what the server sends if a condition needs it.

    Raises:
        FoundError: No connection, or another answer.
    """
    host, port = _place(context, check.connect)
    async with deadline(check.connect, check.timeout, context.deadline, host=host) as progress:
        progress.said = _NO_CONNECTION
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise no_answer(check.connect, error) from None
        took_s = time.monotonic() - began
        progress.said = ": it takes connections, and says nothing"
        try:
            ip = address(writer.get_extra_info("peername"))
            text = await _received(context, check, reader, writer, progress)
        except OSError as error:
            raise no_answer(check.connect, error) from None
        finally:
            writer.transport.abort()
    judge(check.expect, context.names(response_ms=took_s * 1000, ip=ip, text=text))
    return Passed(said=f"{check.connect} takes connections", latencies_s=(took_s,))


async def _received(
    context: CheckContext,
    check: TcpCheck,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    progress: Progress,
) -> Any:
    if not any("text" in parse.condition(rule).names for rule in check.expect):
        return Missing("nothing was read, as no condition needs it")
    if check.send is not None:
        writer.write(placeholders.filled_text(check.send, context.scope()).encode())
        await writer.drain()
    found = await reader.read(_MOST_BYTES)
    progress.said = f": it goes on sending, with no pause of {_SILENCE_S:g} s, which would end what a condition reads"
    while len(found) < _MOST_BYTES:
        try:
            more = await asyncio.wait_for(reader.read(_MOST_BYTES - len(found)), _SILENCE_S)
        except TimeoutError:
            break
        if not more:
            break
        found += more
    return found.decode(errors="replace")


async def tls(context: CheckContext, check: TlsCheck) -> Passed:
    """Connect as a browser does, and look at the certificate.

    Raises:
        FoundError: No connection, a certificate that is not trusted or is for another name, or a condition that fails.
    """
    host, port = _place(context, check.connect)
    async with deadline(check.connect, check.timeout, context.deadline, host=host) as progress:
        progress.said = _NO_CONNECTION

        def connected() -> asyncio.Protocol:
            progress.said = ": it takes connections, and does not answer in TLS; does it answer without?"
            return asyncio.Protocol()

        began = time.monotonic()
        name, loop = check.server_name or host, asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(connected, host, port, ssl=context.tls, server_hostname=name)
        except OSError as error:
            raise no_answer(check.connect, error) from None
        took_s = time.monotonic() - began
        peer, secure = transport.get_extra_info("peername"), transport.get_extra_info("ssl_object")
        transport.abort()
    found = certificate(secure)
    values = {"certificate": found, "tls_version": secure.version(), "response_ms": took_s * 1000, "ip": address(peer)}
    days = f"{found['days_left']:.1f} days left" if isinstance(found, dict) else ""
    judge(check.expect, context.names(**values), [f"{check.connect}: {days}"])
    return Passed(said=f"{check.connect}: {days}", latencies_s=(took_s,))


def _place(context: CheckContext, text: str) -> tuple[str, int]:
    whole, absent = placeholders.with_environment(text, context.environ)
    if absent:
        raise FoundError("error", f"{', '.join(absent)} is not set, and the check needs it", reached=False)
    host, _, port = whole.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise FoundError("error", f"{text} is not HOST:PORT", reached=False)
    return host.strip("[]"), int(port)


async def name(context: CheckContext, check: DnsCheck) -> Passed:
    """Query the records of a name.

    Raises:
        FoundError: No answer, or another one.
    """
    import dns.exception
    import dns.resolver

    resolver = _resolver(check)
    about = f"{check.record} of {check.name}"
    async with deadline(about, check.timeout, context.deadline):
        began = time.monotonic()
        try:
            answer = await resolver.resolve(check.name, check.record, raise_on_no_answer=False, search=False)
            values: dict[str, Any] = {"rcode": "NOERROR", "answers": _answers(answer), "ttl": _ttl(answer)}
        except dns.resolver.NXDOMAIN:
            values = {"rcode": "NXDOMAIN", "answers": [], "ttl": Missing("the name is not known")}
        except dns.resolver.LifetimeTimeout as error:
            raise FoundError("fail", f"{about}: no answer: {_last(error)}") from None
        except (dns.exception.DNSException, OSError) as error:
            raise FoundError("fail", f"{about}: no answer: {type(error).__name__}: {error}") from None
        took_s = time.monotonic() - began
    values |= {"response_ms": took_s * 1000, "ip": values["answers"][0] if values["answers"] else Missing("no answer")}
    summary = f"{about}: {', '.join(values['answers'][:5]) or values['rcode']}"
    judge(check.expect or ["rcode == 'NOERROR'", "answers != []"], context.names(**values), [summary])
    return Passed(said=summary, latencies_s=(took_s,))


def _resolver(check: DnsCheck) -> "dns.asyncresolver.Resolver":
    import dns.asyncresolver
    import dns.resolver

    try:
        made = dns.asyncresolver.Resolver(configure=check.server is None)
    except dns.resolver.NoResolverConfiguration as error:
        raise FoundError("error", f"the system names no DNS server: {error}", reached=False) from None
    made.cache = None
    made.lifetime = 0.9 * check.timeout  # so that it is heard what each server said, before our time is over
    if check.resolver is not None:
        host, made.port = check.resolver
        made.nameservers = [host]
    return made


def _last(error: "dns.resolver.LifetimeTimeout") -> str:
    """Extract the answer of the last server that was asked."""
    import dns.exception

    asked = error.kwargs.get("errors") or []
    if not asked:
        return "it timed out"
    server, _, _, why, _ = asked[-1]
    if isinstance(why, dns.exception.Timeout):  # it tells of the last attempt alone, which may have had 20 ms
        why = f"silent for {error.kwargs.get('timeout', 0):.1f} s"
    return f"{str(server).removeprefix('Do53:')}: {getattr(why, 'strerror', None) or why}"


def _answers(answer: "dns.resolver.Answer") -> list[str]:
    return sorted(record.to_text() for record in answer.rrset) if answer.rrset is not None else []


def _ttl(answer: "dns.resolver.Answer") -> Any:
    return answer.rrset.ttl if answer.rrset is not None else Missing("there are no records")

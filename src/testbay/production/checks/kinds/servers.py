"""Checks of PostgreSQL, Redis and NATS: log in, send one query, and judge the answer."""

import asyncio
import json
import os
import socket
import ssl
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from testbay.manifest import placeholders
from testbay.manifest.expressions.evaluate import Missing
from testbay.manifest.probes import NatsCheck, PostgresCheck, RedisCheck
from testbay.production.checks.context import CheckContext, FoundError, Passed, deadline, judge, parsed
from testbay.production.checks.noanswer import no_answer
from testbay.text import plural

_MOST_ROWS = 100
_NO_LOGIN, _NO_ANSWER = ": no login came about", ": it took the login, and did not answer"
_GOODBYE_S = 1.0
_NATS_SCHEMES = ("nats", "tls", "ws", "wss")


async def postgres(context: CheckContext, check: PostgresCheck) -> Passed:
    """Log in, and run a query in a transaction, which is read-only unless the check `writes`.

    Raises:
        FoundError: No connection, a query that fails, or another answer.
    """
    import psycopg
    from psycopg.rows import dict_row

    url = _url(context, check.url)
    # Not as options of the login: a pooler such as PgBouncer refuses or drops them, and the address may have its own.
    begin = f"begin{'' if check.writes else ' read only'}; set local statement_timeout = {check.timeout * 1000:.0f}"
    async with deadline("PostgreSQL", check.timeout, context.deadline, host=_host(url)) as progress:
        began, progress.said = time.monotonic(), _NO_LOGIN
        try:
            limit = await _limit_of_each(url, check.timeout)
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row, **limit)
        except psycopg.ProgrammingError as error:
            raise FoundError("error", f"the address of PostgreSQL is not valid: {error}", reached=False) from None
        except (psycopg.Error, OSError, ValueError) as error:
            raise _failed("PostgreSQL", error) from None
        progress.said = ": it took the login, and the query did not end; does it wait for a lock?"
        try:
            rows, count = await _queried(connection, begin, check.query)
        except psycopg.Error as error:
            raise _failed("PostgreSQL", error) from None
        finally:
            await connection.close()
        took_s = time.monotonic() - began
    row = {name: _plain(value) for name, value in rows[0].items()} if rows else Missing("the query has no row")
    value = next(iter(row.values())) if isinstance(row, dict) and row else Missing("the query has no row")
    judge(check.expect, context.names(row=row, value=value, rows=count, response_ms=took_s * 1000))
    return Passed(said=f"PostgreSQL answers, {plural(count, 'row')}", latencies_s=(took_s,))


async def _queried(connection: Any, begin: str, query: str) -> tuple[list[dict[str, Any]], int]:
    """Return the first rows of a query, and their number."""

    async def ask() -> tuple[list[dict[str, Any]], int]:
        async with connection.cursor() as cursor:
            await cursor.execute(begin.encode())
            await cursor.execute(query.encode())
            rows = await cursor.fetchmany(_MOST_ROWS) if cursor.description else []
            count = max(0, cursor.rowcount)  # -1: of what has no rows
            await cursor.execute("commit")
        return rows, count

    asking = asyncio.ensure_future(ask())
    try:
        await asyncio.wait([asking])  # which does not cancel it
        return asking.result()
    except asyncio.CancelledError:
        # Psycopg does not hear of it: it would wait 5 s, or for ever before 3.3, for a server that may be gone. The
        # socket ends, and is closed later: while psycopg watches it, no other connection may get its number. A query
        # that still runs there ends by its statement_timeout.
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(asking, return_exceptions=True)
        raise


async def _limit_of_each(url: str, timeout_s: float) -> dict[str, Any]:
    """Share the time among several addresses: psycopg asks one after the other, each for two minutes."""
    from psycopg.conninfo import conninfo_attempts_async, conninfo_to_dict

    known = conninfo_to_dict(url)
    if "connect_timeout" in known or len(attempts := await conninfo_attempts_async(known)) < 2:
        return {}
    return {"connect_timeout": int(timeout_s / len(attempts))}  # libpq takes less than 2 s for 2


async def redis(context: CheckContext, check: RedisCheck) -> Passed:
    """Log in, and send one command.

    Raises:
        FoundError: No connection, a command that fails, or another answer.
    """
    import redis.asyncio
    from redis.exceptions import RedisError

    url = _url(context, check.url)
    async with deadline("Redis", check.timeout, context.deadline, host=_host(url)) as progress:
        began, progress.said = time.monotonic(), _NO_LOGIN
        try:
            client = redis.asyncio.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=check.timeout,
                single_connection_client=True,
            )
        except ValueError as error:
            raise FoundError("error", f"the address of Redis is not valid: {error}", reached=False) from None
        try:
            async with client:
                progress.said = _NO_ANSWER
                answer = await client.execute_command(*check.ask)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, ValueError) as error:
            raise _failed("Redis", error) from None
        took_s = time.monotonic() - began
    judge(check.expect, context.names(answer=_plain(answer), response_ms=took_s * 1000))
    return Passed(said=f"Redis answers {check.ask[0].upper()}", latencies_s=(took_s,))


async def nats(context: CheckContext, check: NatsCheck) -> Passed:
    """Log in, and wait for the server's answer to a ping, or for a reply to the request.

    Raises:
        FoundError: No connection, no answer, or another answer.
    """
    from nats.aio.client import Client
    from nats.errors import Error, NoServersError

    urls = _url(context, check.url).split(",")
    if wrong := next(filter(None, map(_no_address_of_nats, urls)), ""):
        raise FoundError("error", f"the address of NATS is not valid: {wrong}", reached=False)
    client = Client()
    causes: list[Exception] = []

    async def remember(error: Exception) -> None:
        causes.append(error)

    try:
        async with deadline("NATS", check.timeout, context.deadline, host=_host(urls[0])) as progress:
            began, progress.said = time.monotonic(), _NO_LOGIN
            await client.connect(
                urls,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # or it would go on asking a server that refuses until our time is over
                reconnect_time_wait=0,
                connect_timeout=max(1, round(check.timeout)),
                error_cb=remember,
            )
            progress.said = _NO_ANSWER
            await client.flush(max(1, round(check.timeout)))
            answer = await _requested(context, check, client)
            took_s = time.monotonic() - began
    except (TimeoutError, Error, OSError, ValueError) as error:
        raise _failed("NATS", causes[-1] if causes and isinstance(error, NoServersError) else error) from None
    finally:
        await _left(client)
    text: Any = answer if answer is not None else Missing("nothing was requested")
    found = parsed(answer, "the answer") if answer is not None else text
    version = client.connected_server_version
    server = {"version": str(version), "major": version.major, "max_payload": client.max_payload}
    judge(check.expect, context.names(answer=text, json=found, server=server, response_ms=took_s * 1000))
    return Passed(said=f"NATS answers{f' on {check.request}' if check.request else ''}", latencies_s=(took_s,))


async def _left(client: Any) -> None:
    """Close a connection to NATS: after a handshake that failed the library waits for its end for ever."""
    with suppress(TimeoutError, OSError):
        await asyncio.wait_for(client.close(), _GOODBYE_S)


def _no_address_of_nats(url: str) -> str:
    """Say what is wrong with an address; the client itself would end with an error of its own code."""
    scheme, slashes, rest = url.rpartition("://")
    if slashes and scheme not in _NATS_SCHEMES:
        return f"it begins with {', '.join(f'{name}://' for name in _NATS_SCHEMES)}"
    parts = urlsplit(f"//{rest}")
    try:
        _ = parts.port
    except ValueError as error:
        return str(error)
    return "" if parts.hostname else "it has no host"


async def _requested(context: CheckContext, check: NatsCheck, client: Any) -> str | None:
    if not check.request:
        return None
    payload = placeholders.filled(check.payload, context.scope())
    data = payload if isinstance(payload, str) else json.dumps(payload) if payload is not None else ""
    message = await client.request(check.request, data.encode(), timeout=check.timeout)
    return str(message.data.decode(errors="replace"))


def _url(context: CheckContext, text: str) -> str:
    """The address, which may hold a password and is masked from now on."""
    if text.startswith("${"):
        whole, absent = placeholders.with_environment(text, context.environ)
        if absent:
            raise FoundError("error", f"{absent[0]} is not set, and the check needs it", reached=False)
    else:
        whole = str(placeholders.filled(text, context.scope()))
    context.secrets.add(whole)
    user = whole.partition("://")[2].rpartition("@")[0]
    context.secrets.update(part for part in (user.partition(":")[2],) if part)
    return whole


def _host(url: str) -> str:
    with suppress(ValueError):  # of brackets without an IPv6 address
        return urlsplit(url).hostname or ""
    return ""


def _failed(what: str, error: BaseException) -> FoundError:
    """Explain a failure: without a connection as every other check does, else in the library's words."""
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, ConnectionError | socket.gaierror | ssl.SSLError) for cause in causes):
        return no_answer(what, error)
    said = " ".join(str(error).split()) or type(error).__name__
    return FoundError("fail", f"{what}: {said}")


def _plain(value: Any) -> Any:
    """Convert a value to the types of conditions: null, booleans, numbers, texts, and lists of them."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        is_whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if is_whole else float(value)
    return str(value)

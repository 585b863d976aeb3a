"""The WebSocket check: sends messages, waits for the expected ones, and checks the close code."""

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from testbay.manifest import placeholders
from testbay.manifest.checks import WebSocketCheck
from testbay.manifest.exchange import Message
from testbay.manifest.expressions.evaluate import Missing
from testbay.production.checks.context import CheckContext, FoundError, Passed, Progress, Scope, deadline, judge, parsed
from testbay.production.checks.noanswer import no_answer, no_proxy
from testbay.text import plural

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_MESSAGE_BYTES = 1 << 20
_KEPT = 5  # messages, as evidence
_GOODBYE_S = 1.0
_HANGING_S = 0.2  # for a server to close the connection after its close frame
_LOOK_AGAIN_S = 0.05
_TOO_LARGE = 1009
_NO_CODE = 1005


@dataclass(kw_only=True)
class Conversation:
    """A conversation's steps, and what was received: the count, the last messages, the values of the last one."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    steps: Sequence[Message]
    close: int | None = None
    subprotocols: Sequence[str] = ()
    shown: bool = True
    began: float = field(default_factory=time.monotonic)
    count: int = 0
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    values: dict[str, Any] = field(default_factory=dict)

    def evidence(self) -> list[str]:
        """The last messages, unless one holds a secret."""
        return [f"heard: {text}" for text in self.last] if self.shown else []


async def ask(context: CheckContext, check: WebSocketCheck, instance: str) -> Passed:
    """Hold the conversation.

    Raises:
        FoundError: It did not go as the check says.
    """
    scope = context.scope(each=instance)
    path = placeholders.filled_path(check.url, scope)
    headers = placeholders.filled_headers(check.headers, scope)
    talk = Conversation(
        path=path, headers=headers, steps=check.steps, close=check.close, subprotocols=check.subprotocols
    )
    async with deadline(f"WS {path}", check.timeout, context.deadline, host=context.host) as progress:
        await hold(context, talk, scope, progress)
    return Passed(said=f"{plural(talk.count, 'message')} on {path}", latencies_s=(time.monotonic() - talk.began,))


async def hold(context: CheckContext, talk: Conversation, scope: Scope, progress: Progress | None = None) -> None:
    """Connect, take every step, and close. The caller sets the deadline, and `progress` is told how far it got.

    Raises:
        FoundError: No connection, another message, or none, or another close code.
    """
    import websockets

    progress = progress or Progress()
    progress.said = ": no handshake came"
    async with _connected(context, talk) as socket:
        progress.said = ": the conversation did not end"
        try:
            for step in talk.steps:
                await _take(context, socket, talk, step, scope)
        except websockets.ConnectionClosed as error:
            too_large = error.sent is not None and error.sent.code == _TOO_LARGE
            ended = (
                f"a message of more than {MAX_MESSAGE_BYTES >> 20} MiB" if too_large else f"closed with {_code(socket)}"
            )
            said = f"WS {talk.path}: {ended} after {plural(talk.count, 'message')}"
            raise FoundError("fail", said, talk.evidence()) from None
        if talk.close is None:
            return
        with suppress(websockets.ConnectionClosed):
            while True:  # whatever else comes is read away: a full queue would hold the close frame back
                await socket.recv()
        if socket.close_code != talk.close:
            raise FoundError("fail", f"WS {talk.path}: closed with {_code(socket)}, not {talk.close}", talk.evidence())


def _code(socket: "ClientConnection") -> str:
    heard, sent = socket.protocol.close_rcvd, socket.protocol.close_sent
    if heard is None:
        return f"{socket.close_code} ({'it broke the protocol' if sent else 'the connection broke off'})"
    why = "no code was given" if heard.code == _NO_CODE else heard.reason
    return f"{heard.code} ({why})" if why else str(int(heard.code))


@asynccontextmanager
async def _connected(context: CheckContext, talk: Conversation) -> AsyncIterator["ClientConnection"]:
    import websockets
    from websockets.asyncio.client import connect

    class Straight(connect):
        """Follows no redirect: what we send is for the target only."""

        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    asked = f"WS {talk.path}"
    options: dict[str, Any] = {"open_timeout": None, "close_timeout": _GOODBYE_S, "max_size": MAX_MESSAGE_BYTES}
    url = "ws" + context.base_url.removeprefix("http") + talk.path
    options |= {"proxy": None if context.direct else True, "ssl": context.tls if url.startswith("wss:") else None}
    headers = {**context.headers, **talk.headers}
    try:
        socket = await Straight(url, additional_headers=headers, subprotocols=talk.subprotocols or None, **options)  # type: ignore[arg-type]
    except websockets.InvalidStatus as error:
        status = error.response.status_code
        raise FoundError("fail", f"{asked}: no handshake, status {status}", reached=False) from None
    except (websockets.WebSocketException, OSError, ValueError, EOFError, ImportError) as error:
        raise (no_proxy(asked) if _was_proxy(context, error) else no_answer(asked, error)) from None
    hanging = asyncio.create_task(_disconnect_when_closing(socket))
    try:
        yield socket
    finally:
        hanging.cancel()
        await socket.close()


def _was_proxy(context: CheckContext, error: Exception) -> bool:
    """Return whether a proxy could not be connected to: the library does not say to whom it connects."""
    is_far = not context.direct and not proxy_bypass(urlsplit(context.base_url).hostname or "")
    return (
        is_far
        and bool(getproxies())
        and isinstance(error, OSError | ImportError)
        and not isinstance(error, ssl.SSLError)
    )


async def _disconnect_when_closing(socket: "ClientConnection") -> None:
    """Disconnect from a server that closed the connection or broke the protocol: the library would wait."""
    from websockets.protocol import State

    while socket.protocol.state is State.OPEN:  # noqa: ASYNC110 - the library says it only after it has waited
        await asyncio.sleep(_LOOK_AGAIN_S)
    await asyncio.sleep(_HANGING_S)
    socket.transport.abort()


async def _take(
    context: CheckContext, socket: "ClientConnection", talk: Conversation, step: Message, scope: Scope
) -> None:
    if step.send is not None:
        message = placeholders.filled(step.send, scope)
        await socket.send(message if isinstance(message, str) else json.dumps(message))
        return
    assert step.recv is not None
    why = ""
    try:
        async with asyncio.timeout(step.recv):
            while True:
                talk.values = _values(context, await socket.recv(), scope, talk.began)
                talk.count += 1
                talk.last.append(str(talk.values["shown"]))
                try:
                    judge(step.until, talk.values)
                except FoundError as error:
                    why = f"; of the last: {error.said}"
                    continue
                break
    except TimeoutError:
        said = f"WS {talk.path}: no such message within {step.recv:g} s, {talk.count} others{why if talk.shown else ''}"
        raise FoundError("fail", said, talk.evidence()) from None
    judge(step.expect, talk.values, talk.evidence())


def _values(context: CheckContext, message: str | bytes, scope: Scope, began: float) -> dict[str, Any]:
    elapsed_ms = (time.monotonic() - began) * 1000
    if isinstance(message, bytes):
        none = Missing(f"it is a binary frame of {len(message)} bytes")
        heard: dict[str, Any] = {"message": none, "json": none, "binary": True, "shown": none.why}
    else:
        shown = message if len(message) <= 200 else message[:200] + "…"
        heard = {"message": message, "json": parsed(message, "the message"), "binary": False, "shown": shown}
    return context.names(**scope.known, **heard, size=len(message), elapsed_ms=elapsed_ms)

"""Around every HTTP request: a size limit, a duration, one log line."""

import time
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_executor.api.failures import failure

if TYPE_CHECKING:
    from agent_executor.wiring import Wiring

MAX_BODY_BYTES = 1024 * 1024
# Asked every few seconds by probes and scrapers; a line for each would bury the rest.
QUIET = {"/api/health", "/metrics", "/metrics/summary"}

log = structlog.get_logger(__name__)


class Requests:
    """Measures, logs, and refuses bodies over the limit before they are held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, _limited(receive), note_status)
        except Exception:
            # Answered here and not by a handler: that would answer too, but then also cost the client its connection.
            log.exception("request_failed", path=scope["path"])
            if status:
                raise
            response = failure(500, "internal_error", "the request could not be answered")
            await response(scope, receive, note_status)
        finally:
            _record(scope, status, time.perf_counter() - started)


def _limited(receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            # The one kind of exception that FastAPI lets through while it reads a body.
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
        return message

    return limited


def _record(scope: Scope, status: int, seconds: float) -> None:
    services: Wiring = scope["app"].state.services
    route: Any = scope.get("route")
    # The route's pattern, not the path: labels must not grow with every job.
    path = getattr(route, "path", "(none)")
    services.metrics.http.labels(scope["method"], path, status).observe(seconds)
    if scope["path"] not in QUIET:
        log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1))

"""The rights of a caller, and the answer to a question that cannot be answered."""

import base64
import binascii
import hmac
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from error_monitor import logs
from error_monitor.database import AWAY, NO_TABLES, NOT_MIGRATED
from error_monitor.monitor import Monitor

PREFIX = "/error-monitor"

log = logs.get(__name__)

# A header for each: Chromium reads only the first challenge of a header, and would never ask for the password.
_CHALLENGES = ('Bearer realm="error-monitor"', 'Basic realm="error-monitor", charset="UTF-8"')


class ApiError(Exception):
    """A question that gets no answer, in the shape that every error of the API has."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"error": {"code": code, "message": message, "details": details}}

    def response(self) -> Response:
        """The error as an answer."""
        response = JSONResponse(self.content, self.status)
        for challenge in _CHALLENGES if self.status == 401 else ():
            response.headers.append("WWW-Authenticate", challenge)
        return response


async def unrouted(request: Request, error: Exception) -> Response:
    """Answer what no route takes as every other error: an address that is not there, or a method that it has not."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    told = ApiError(error.status_code, code, f"{request.method} {request.url.path} is not part of this API").response()
    told.headers.update(error.headers or {})
    return told


class Guarded(APIRoute):
    """A route whose errors look alike, also inside somebody else's application."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                _once_each(request)
                response = await handle(request)
            except ApiError as exc:
                response = exc.response()
            except HTTPException as exc:  # the routes raise none: FastAPI could not decode the body
                response = _invalid([{"at": "body", "problem": exc.detail}]).response()
            except RequestValidationError as exc:
                problems = [{"at": ".".join(map(str, one["loc"])), "problem": one["msg"]} for one in exc.errors()]
                response = _invalid(problems).response()
            except NOT_MIGRATED:
                response = _error(503, "not_migrated", NO_TABLES)
            except AWAY as exc:
                log.warning("database_away", error=logs.trace(exc))
                response = _error(503, "database_away", "the database is away; the monitor goes on when it is back")
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            return response

        return guarded


def _once_each(request: Request) -> None:
    """Refuse a parameter that is given twice: only its last value would be asked for, as if it were both."""
    names = [name for name, _ in request.query_params.multi_items()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems = [{"at": f"query.{name}", "problem": "is given more than once"} for name in twice[:20]]
        raise _invalid(problems)


def _invalid(problems: list[dict[str, str]]) -> ApiError:
    return ApiError(422, "invalid_request", "the request is not valid", problems=problems)


def _error(status: int, code: str, message: str, **details: Any) -> Response:
    return ApiError(status, code, message, **details).response()


def router(*checks: Callable[[Request], None]) -> APIRouter:
    """Make a router for programs, whose callers pass these checks."""
    dependencies = [Depends(check) for check in checks]
    return APIRouter(prefix=PREFIX, route_class=Guarded, tags=["error-monitor"], dependencies=dependencies)


def no_pattern(fingerprint: str) -> ApiError:
    """Make the error of a pattern that is not there."""
    return ApiError(404, "pattern_not_found", "there is no such pattern", fingerprint=fingerprint[:100])


def of(request: Request) -> Monitor:
    """The monitor that this application has."""
    monitor: Monitor = request.app.state.error_monitor
    return monitor


def bearer(request: Request) -> None:
    """Let in who has the token. A browser never sends this header by itself: another site's form cannot write."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _is_token(request, given.strip()):
        raise ApiError(401, "unauthorized", "send the header `Authorization: Bearer …` with ERROR_MONITOR_TOKEN")


def reader(request: Request) -> None:
    """Let in who has the token, also as the password that a browser asks for."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    if not _is_token(request, given.strip()):
        raise ApiError(401, "unauthorized", "the token is missing or wrong: ERROR_MONITOR_TOKEN, as bearer or password")


def _is_token(request: Request, given: str) -> bool:
    token = of(request).settings.token
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())

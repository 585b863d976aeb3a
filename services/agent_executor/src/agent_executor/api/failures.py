"""Every error response has the same shape: {"error": {"code", "message", "details"}}."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agent_executor.errors import ApiError, DefinitionRefusedError
from agent_executor.outages import DATABASE_AWAY

log = structlog.get_logger(__name__)


def failure(status: int, code: str, message: str, details: dict[str, Any] | None = None) -> JSONResponse:
    """An error response."""
    return JSONResponse({"error": {"code": code, "message": message, "details": details or {}}}, status)


def install(app: FastAPI) -> None:
    """Answer every kind of exception in our shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(DefinitionRefusedError, _definition_refused)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    for away in DATABASE_AWAY:
        app.add_exception_handler(away, _database_away)


def _api_error(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, ApiError)
    return failure(exc.status, exc.code, exc.message, exc.details)


def _definition_refused(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, DefinitionRefusedError)
    return failure(422, exc.code, exc.message, exc.details)


def _invalid_request(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    problems = [{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in exc.errors()[:20]]
    return failure(422, "invalid_request", "the request is not valid", {"problems": problems})


def _http(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    codes = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    return failure(exc.status_code, codes.get(exc.status_code, "http_error"), str(exc.detail))


def _database_away(_request: Request, exc: Exception) -> JSONResponse:
    log.warning("request_without_database", error=f"{type(exc).__name__}: {exc}")
    return failure(503, "database_unavailable", "the database does not answer; try again")

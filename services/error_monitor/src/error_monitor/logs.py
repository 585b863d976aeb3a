"""The monitor's own log: JSON lines, each with a mark by which the monitor knows its own words again."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from error_monitor.redaction import redact

OWN = "error_monitor:own"  # no line with it becomes a pattern: the monitor never reports itself


def get(name: str) -> Any:
    """A logger whose every line has the mark, in whatever format the application that we are attached to logs."""
    return structlog.get_logger(name, mark=OWN)


def trace(exc: BaseException) -> str:
    """An exception in one line: many lines would be a traceback that the monitor finds and reports."""
    last = traceback.extract_tb(exc.__traceback__)[-1:]
    place = f" at {last[0].filename}:{last[0].lineno}" if last else ""
    return redact(f"{type(exc).__name__}: {exc}{place}".replace("\n", " "))[:500]


def configure(level: str) -> None:
    """Everything that this process logs, uvicorn's lines too, becomes one JSON object a line with the mark."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _one_line,
    ]
    renderer = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(renderer)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "httpcore", "docker", "urllib3", "psycopg.pool"):
        logging.getLogger(name).setLevel("ERROR")
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _one_line(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    exc = info[1] if isinstance(info, tuple) else info
    if isinstance(exc, BaseException):
        event["error"] = trace(exc)
    event["event"] = redact(str(event.get("event", "")))
    event["mark"] = OWN
    return event

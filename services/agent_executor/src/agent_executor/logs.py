"""JSON logs, one object per line on standard output, with job_id and trace_id where there are any."""

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Route structlog and the standard library (uvicorn, nats, psycopg) through the same JSON renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_colours,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    _take_over_libraries()


def _without_colours(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    line.pop("color_message", None)  # uvicorn says everything twice, once for terminals
    return line


def _take_over_libraries() -> None:
    # uvicorn installs its own handlers before it imports the application; give its records to ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # Our own middleware logs requests with their route and duration.
    logging.getLogger("uvicorn.access").disabled = True
    # Both say every retry at length; the outage itself is logged once by whoever notices it.
    for name in ("psycopg.pool", "nats", "httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.ERROR)

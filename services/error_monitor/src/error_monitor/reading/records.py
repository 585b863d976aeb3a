"""JSON lines: what a collector wrapped, and what an application logged as an object."""

import json
from collections.abc import Mapping
from typing import Any

from error_monitor.reading.headers import level_named
from error_monitor.reading.line import Line

TEXTS = ("message", "event", "msg", "log", "MESSAGE", "line", "textPayload", "text", "body")
LEVELS = ("level", "levelname", "severity", "log.level", "log_level", "loglevel", "lvl", "level_name", "status")
TIMES = ("timestamp", "time", "asctime", "@timestamp", "ts", "datetime")
LOGGERS = ("logger", "name", "logger_name", "log.logger")
SERVICES = ("service", "service.name", "container_name", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT")
REQUESTS = ("request_id", "requestId", "trace_id", "correlation_id", "aws_request_id")
EXCEPTIONS = (
    "exception", "exc_info", "exc_text", "traceback", "stack_trace", "stacktrace", "error.stack_trace",
    "exception.stacktrace", "error.stack", "stack", "exc", "error",
)  # fmt: skip
PRIORITIES = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
OPENINGS = ("Traceback (most recent call last)", 'File "')


def unwrap(line: Line) -> bool:
    """Read a line that is one JSON object; tell whether it was one."""
    text = line.text
    if not text.startswith("{"):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or not found:
        return False
    if "log" in found and isinstance(found["log"], str) and ("stream" in found or "time" in found):
        _docker(line, found)
    elif "MESSAGE" in found:
        _journald(line, found)
    elif isinstance(record := found.get("record"), dict) and "text" in found:
        _loguru(line, found, record)
    else:
        _record(line, found)
    return True


def _docker(line: Line, found: dict[str, Any]) -> None:
    """Docker's json-file. A log without its newline goes on in the next object."""
    line.text = found["log"]
    line.partial = not line.text.endswith("\n")
    line.text = line.text.rstrip("\r\n")
    line.time = line.time or _text(found.get("time"))
    line.stream += f"/{found.get('stream', '')}"
    attributes = found.get("attrs") or found.get("kubernetes")
    if isinstance(attributes, dict):
        line.service = _first(attributes, ("container_name", "tag", *SERVICES)) or line.service


def _journald(line: Line, found: dict[str, Any]) -> None:
    """`journalctl -o json`."""
    line.text = _text(found["MESSAGE"]) or ""
    priority = str(found.get("PRIORITY", ""))
    line.level = PRIORITIES[int(priority)] if priority in set("01234567") else None
    line.service = _first(found, ("SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT"))
    line.worker = _first(found, ("_PID", "SYSLOG_PID"))
    line.stream += f"/{line.service}/{line.worker}"
    line.time = _first(found, ("__REALTIME_TIMESTAMP",))


def _loguru(line: Line, found: dict[str, Any], record: dict[str, Any]) -> None:
    """The object of loguru's `serialize=True`: the formatted text, and the record beside it."""
    level = record.get("level")
    line.level = level_named(level.get("name")) if isinstance(level, dict) else level_named(level)
    line.logger = _text(record.get("name"))
    line.whole = True
    line.text = _text(record.get("message")) or ""
    text = _text(found["text"]) or ""
    if record.get("exception") and "Traceback (most recent call last)" in text:
        line.exception = text[text.index("Traceback (most recent call last)") :]


def _record(line: Line, found: dict[str, Any]) -> None:
    """An object with a message: an application's record, or a line that a collector wrapped."""
    inner = found.get("jsonPayload")
    fields = {**found, **inner} if isinstance(inner, dict) else found
    flat = {**fields, **_nested(fields, "error"), **_nested(fields, "log"), **_nested(fields, "exception")}
    tags = found.get("tags")
    if isinstance(tags, dict):
        line.service = _first(tags, SERVICES) or line.service
        line.worker = _first(tags, ("deploymentInstanceId", "deploymentId", "replicaId")) or line.worker
        line.stream += f"/{line.service}/{line.worker}"
    line.text = next((fields[name] for name in TEXTS if isinstance(fields.get(name), str)), "")
    line.level = next((level for name in LEVELS if (level := level_named(flat.get(name)))), line.level)
    line.time = _first(flat, TIMES) or line.time
    line.logger = _first(flat, LOGGERS)
    line.service = _first(flat, SERVICES) or line.service
    line.request_id = _first(flat, REQUESTS)
    line.whole = tags is None and "labels" not in found and "textPayload" not in found
    line.exception = _exception(flat, line)
    line.text = line.text.rstrip("\r\n")


def _exception(flat: Mapping[str, Any], line: Line) -> Any:
    """The traceback that a record carries: under a name for it, or within its message."""
    for name in EXCEPTIONS:
        value = flat.get(name)
        if isinstance(value, str) and any(opening in value for opening in OPENINGS):
            return value
        if isinstance(value, list) and value and all(isinstance(item, dict) and "exc_type" in item for item in value):
            return value
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            joined = "".join(item if item.endswith("\n") else f"{item}\n" for item in value)
            if any(opening in joined for opening in OPENINGS):
                return joined
    at = line.text.find("Traceback (most recent call last):\n")
    if at >= 0 and line.level in ("warning", "error", "critical") and (at == 0 or line.text[at - 1] == "\n"):
        exception, line.text = line.text[at:], line.text[:at].rstrip()
        return exception
    kind = _first(flat, ("error.type", "exception.type", "error.kind", "exc_type"))
    if kind and kind.isascii() and " " not in kind:
        said = _first(flat, ("error.message", "exception.message", "exc_value"))
        return [{"exc_type": kind, "exc_value": said or "", "frames": []}]
    return None


def _nested(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`{"error": {"type": …}}` as `{"error.type": …}`: both spellings are in use."""
    inner = fields.get(name)
    return {f"{name}.{key}": value for key, value in inner.items()} if isinstance(inner, dict) else {}


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first field that holds a short text or a number."""
    for name in names:
        if text := _text(fields.get(name)):
            return text[:200]
    return None


def _text(value: Any) -> str | None:
    """A text or a number as text, else nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

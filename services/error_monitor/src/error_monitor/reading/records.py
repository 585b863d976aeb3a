"""JSON lines: what a collector wrapped, and what an application logged as an object."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from error_monitor.reading import foreign, tracebacks
from error_monitor.reading.dialects import with_cause
from error_monitor.reading.event import LEVELS as LEVEL_NAMES
from error_monitor.reading.event import Failure
from error_monitor.reading.headers import header_of
from error_monitor.reading.levels import LETTERS, SYSLOG, level_named
from error_monitor.reading.line import Line
from error_monitor.reading.structured import failure_of
from error_monitor.reading.text import clean, pieces
from error_monitor.reading.times import iso

TEXTS = (
    "message", "event", "msg", "log", "MESSAGE", "line", "textPayload", "text", "short_message", "body", "@m", "@mt",
    "@message", "renderedmessage", "messagetemplate", "resultdescription", "outerMessage",
)  # fmt: skip
LEVELS = (
    "level", "levelname", "severity", "log.level", "log_level", "loglevel", "lvl", "level_name", "severityText",
    "severity_text", "status", "@l", "@level", "error_severity", "outcome", "context.logLevel",
)  # fmt: skip
TIMES = ("timestamp", "time", "asctime", "@timestamp", "ts", "datetime", "@t", "timeUnixNano", "observedTimeUnixNano")
LOGGERS = ("@module", "logger", "name", "logger_name", "log.logger", "loggerName", "target", "category")
SERVICES = ("service", "service.name", "container_name", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT")
REQUESTS = ("request_id", "requestId", "trace_id", "correlation_id", "aws_request_id", "correlationId")
EXCEPTIONS = (
    "exception", "exc_info", "exc_text", "traceback", "stack_trace", "stacktrace", "error.stack_trace",
    "exception.stacktrace", "error.stack", "err.stack", "exception.traceback", "exc.traceback", "stackTrace", "stack",
    "exc", "error", "err", "full_message", "@x", "thrown", "context.exception", "error_detail",
    "exceptions",
)  # fmt: skip
KINDS = (
    "error.type", "exception.type", "error.kind", "exc_type", "errorType", "exception_name", "err.type", "error.name",
    "thrown.name", "errorCode", "error_code",
)  # fmt: skip
SAID = ("error.message", "exception.message", "exc_value", "errorMessage", "err.message")
CAUSES = ("error", "err", "exception", "panic", "attr.message", *SAID)
"""What Go's loggers, and others, say beside the message: the error itself."""
DETAILS = ("context", "extra", "fields", "data", "meta", "record", "details", "detail")
"""Where loggers put what a call adds to its message."""
OUTCOMES = ("status", "outcome", "result", "resultType", "conclusion", "state", "action_status", "record.status")
FAILED = re.compile(r"(?i:failed|failure|error|errored|exception|timeout|timed[ _-]?out|crashed)$")
"""What a record without a level says of what it reports."""
NOTHING = re.compile(r"\W*(?i:|0|none|null|nil|no|false|ok|success|n/?a)\W*$")
REASONS = ("reason", "detail")
"""What a record says beside them that has no message."""
DOCKER = {"log", "stream", "time", "attrs"}
"""The fields of Docker's own files; Fluent Bit has more, and takes the newlines off."""
NEXTCLOUD = (*LEVEL_NAMES, *SYSLOG[5:])
TIMED = re.compile(r"(?i)time|date|^ts?$|_ts$|created|seen$|^instant$")
NESTED, WRAPPERS = 3, 50
REPORTED = ("warning", "error", "critical")
COLOURS = re.compile(r"\\u001b\[[0-9;]*m")
BEGIN_TIMES = frozenset("[0123456789")
OPENINGS = ("Traceback (most recent call last)", 'File "')


def unwrap(line: Line, wrappers: set[str]) -> bool:
    """Read a line that is one JSON object; tell whether it was one.

    `wrappers` are the fields of objects that held lines of a text: a collector's, which named a level for each.
    """
    text = line.text
    if not text.startswith("{"):
        return False
    if "\\u001b[" in text:
        text = COLOURS.sub("", text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or not found:
        return False
    if "log" in found and isinstance(found["log"], str) and ("stream" in found or "time" in found):
        _docker(line, found)
    elif "MESSAGE" in found:
        journald(line, found)
    elif isinstance(record := found.get("record"), dict) and "text" in found:
        _loguru(line, found, record)
    else:
        _record(line, found, wrappers)
    if "\\u00" in text or "\\r" in text:
        line.text = "\n".join(pieces(clean(line.text)))
    return True


def _docker(line: Line, found: dict[str, Any]) -> None:
    """Docker's json-file. A log without its newline goes on in the next object."""
    line.text = found["log"]
    line.partial = found.keys() <= DOCKER and not line.text.endswith("\n")
    line.text = line.text.rstrip("\r\n")
    line.time = line.time or _text(found.get("time"))
    line.stream += f"/{found.get('stream', '')}"
    attributes = found.get("attrs") or found.get("kubernetes")
    if isinstance(attributes, dict):
        line.service = _first(attributes, ("container_name", "tag", *SERVICES)) or line.service


def journald(line: Line, found: Mapping[str, Any]) -> None:
    """`journalctl -o json`, or `-o export` as fields."""
    line.text = (_decoded(found["MESSAGE"]) or "").rstrip("\r\n")
    priority = str(found.get("PRIORITY", ""))
    # Docker and Podman put the same one before all of stderr.
    is_own = priority in set("01234567") and "CONTAINER_NAME" not in found
    line.level = SYSLOG[int(priority)] if is_own else None
    line.service = _first(found, ("SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT"))
    line.worker = _first(found, ("_PID", "SYSLOG_PID"))
    line.stream += f"/{line.service}/{line.worker}"
    line.time = _first(found, ("__REALTIME_TIMESTAMP",))
    if "\n" in line.text:  # one message of several lines is a record of its own
        line.whole = True
        if found_at := tracebacks.BELOW.search(line.text):
            line.exception, line.text = line.text[found_at.start() :], line.text[: found_at.start()].rstrip()
            line.level = line.level if line.level in ("warning", "error", "critical") else "error"


def _decoded(value: Any) -> str | None:
    """A text; journald lists the bytes of a value that is not UTF-8."""
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value).decode("utf-8", "replace")
    return _text(value)


def _loguru(line: Line, found: dict[str, Any], record: dict[str, Any]) -> None:
    """The object of loguru's `serialize=True`: the formatted text, and the record beside it."""
    level = record.get("level")
    line.level = level_named(level.get("name")) if isinstance(level, dict) else level_named(level)
    line.logger = _text(record.get("name"))
    line.whole = True
    line.text = _text(record.get("message")) or ""
    text = _text(found["text"]) or ""
    if record.get("exception") and (begins := tracebacks.BELOW.search(text)):
        line.exception = text[begins.start() :]


def _record(line: Line, found: dict[str, Any], wrappers: set[str]) -> None:
    """An object with a message: an application's record, or a line that a collector wrapped."""
    inner = found.get("jsonPayload")
    fields = {**found, **inner} if isinstance(inner, dict) else _as_usual(found)
    flat = _flat(fields)
    tags = found.get("tags")
    if isinstance(tags, dict):
        _tag(line, tags)
    line.text = _said(fields)
    own_level = _level(flat)
    line.level = own_level or line.level
    line.time = _first(flat, TIMES) or line.time or (_timed(flat) if own_level in ("error", "critical") else None)
    line.logger = _first(flat, LOGGERS)
    line.service = _first(flat, SERVICES) or line.service
    line.request_id = _first(flat, REQUESTS)
    line.exception = _exception(flat, line)
    line.text = line.text.rstrip("\r\n")
    is_bare = not own_level  # Filebeat and Vector leave the level in the line
    wrapped = isinstance(tags, dict) or "labels" in found or "textPayload" in found or is_bare or _is_record(line.text)
    wrapped = wrapped or (line.exception is None and _is_line(found, line, wrappers))
    line.whole = not wrapped or line.exception is not None
    if line.exception is not None:
        return
    if line.whole and not line.text:  # zerolog's `.Err(err).Send()`
        said = [told for names in (CAUSES, REASONS) if (told := _first(flat, names))]
        line.text = ": ".join(said) or _deep(fields, NESTED) or _listed(fields)
    elif (line.whole or inner) and line.level in ("error", "critical"):
        line.text = with_cause(line.text, _first(flat, CAUSES))


def _is_line(found: Mapping[str, Any], line: Line, wrappers: set[str]) -> bool:
    """Return whether an object that reports an error holds a line of a text; then all with the same fields do.

    A part of a traceback tells it, or a header that reports no error: one of an error may be quoted by an application.
    """
    fields, text = " ".join(found), line.text
    if fields not in wrappers and len(wrappers) < WRAPPERS:
        if line.level in REPORTED:
            is_frame = tracebacks.FRAME.match(text) or foreign.framed(text)
            is_part = is_frame or tracebacks.opening(text) or tracebacks.CHAIN.match(text)
        else:
            is_part = None
        header = header_of(text) if text[:1] in BEGIN_TIMES else None
        if is_part or (header and header.time and header.level and header.level not in REPORTED):
            wrappers.add(fields)
    return line.level in REPORTED and fields in wrappers


def _is_record(text: str) -> bool:
    """Return whether the message of a record is a record of its own: a collector wrapped it, and guessed a level."""
    if not (text.startswith("{") and text.rstrip().endswith("}")):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(_said(found)) and _level(_flat(found)) is not None


def _tag(line: Line, tags: Mapping[str, Any]) -> None:
    """Note the service and the instance that a collector tells of a line; they name its stream."""
    line.service = _first(tags, SERVICES) or line.service
    line.worker = _first(tags, ("deploymentInstanceId", "deploymentId", "replicaId")) or line.worker
    line.stream += f"/{line.service}/{line.worker}"


def _as_usual(found: dict[str, Any]) -> dict[str, Any]:
    """The fields as others call them: .NET writes capitals; Rust's tracing and Azure put the message in an object."""
    if any(name in found for name in TEXTS):
        return found
    inner = found.get("fields", found.get("properties", found.get("info")))
    lower = {name.lower(): value for name, value in found.items()}
    return {**(inner if isinstance(inner, dict) else {}), **found, **lower}


def _level(flat: Mapping[str, Any]) -> str | None:
    """The level by its name or number. GELF counts as syslog does; MongoDB writes a letter."""
    if isinstance(number := flat.get("level"), int) and 0 <= number < len(SYSLOG):
        return (NEXTCLOUD if "reqId" in flat else SYSLOG)[number]
    if isinstance(number := flat.get("severityLevel"), int) and 0 <= number <= 4:  # Application Insights'
        return LEVEL_NAMES[number]
    if "msg" in flat and "ctx" in flat and isinstance(letter := flat.get("s"), str):
        return LETTERS.get(letter[:1])
    if isinstance(status := flat.get("status"), int) and status < 500 and "level" not in flat:
        return None  # what Rails' lograge says of a wrong request
    named = next((level for name in LEVELS if (level := level_named(flat.get(name)))), None)
    return named or _severity(flat.get("severityNumber")) or ("error" if _failed(flat) else None)


def _failed(flat: Mapping[str, Any]) -> bool:
    """Return whether a record without a level says that something failed: by its outcome, or by an error's text."""
    outcome = any(isinstance(word := flat.get(name), str) and FAILED.match(word) for name in OUTCOMES)
    causes = [said for name in (*CAUSES, *KINDS) if isinstance(said := flat.get(name), str)]
    return outcome or any(not NOTHING.match(said) for said in causes)


def _severity(number: Any) -> str | None:
    """OpenTelemetry's number, which may stand without its text."""
    is_one = isinstance(number, int) and 1 <= number <= 24
    return ("debug", *LEVEL_NAMES)[(number - 1) // 4] if is_one else None


def _timed(flat: Mapping[str, Any]) -> str | None:
    """Find a time in a field that is named after it, in whatever words."""
    named = [value for name, value in flat.items() if TIMED.search(name)]
    inner = [value for one in named if isinstance(one, dict) for value in one.values()]
    return next((said for value in (*named, *inner) if iso(said := _text(value))), None)


def _said(fields: Mapping[str, Any]) -> str:
    """The message of a record; OpenTelemetry's is an object."""
    for name in TEXTS:
        value = fields.get(name)
        if isinstance(value, dict) and name == "body":
            value = value.get("stringValue")
        if isinstance(value, str):
            return value
    return ""


def _deep(fields: Mapping[str, Any], depth: int) -> str:
    """The message of an object within a record that has none."""
    for inner in (value for value in fields.values() if isinstance(value, dict)):
        if said := _said(inner) or (_deep(inner, depth - 1) if depth else ""):
            return said
    return ""


def _listed(fields: Mapping[str, Any]) -> str:
    """List the fields of a record without a message: their names tell it from others where the values are masked."""
    rest = {name.lower(): value for name, value in fields.items() if name.lower() not in (*TIMES, *LEVELS)}
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in rest.items())


def _exception(flat: Mapping[str, Any], line: Line) -> str | Failure | None:
    """The exception that a record carries: as text, as objects, within its message, or only by its name."""
    values = [flat[name] for name in EXCEPTIONS if name in flat]
    values += [said for name in TEXTS if isinstance(said := flat.get(name), dict) and "errorType" in said]
    kind, said = _first(flat, KINDS), _first(flat, SAID) or ""
    kind = None if kind and NOTHING.match(kind) else kind
    if printed := next(filter(None, map(_traceback, values)), None):
        return printed if "Traceback (" in printed or not kind else f"{printed.rstrip()}\n{kind}: {said}"
    if failure := next(filter(None, map(failure_of, values)), None):
        return failure
    texts = [text for value in values if isinstance(text := _joined(value), str)]
    if whole := next(filter(foreign.whole, texts), None):
        return whole
    calls = next((found for text in texts if (found := foreign.read(text.split("\n")))), None)
    if calls and calls.frames:
        return replace(calls, type=kind, message=said or with_cause(line.text, _first(flat, CAUSES)))
    if line.level in ("warning", "error", "critical") and (begins := tracebacks.BELOW.search(line.text)):
        text, line.text = line.text[begins.start() :], line.text[: begins.start()].rstrip()
        return text
    return failure_of({"type": kind, "message": said})


def _joined(value: Any) -> Any:
    """A stack that is a list of its lines, without their indents, as one text: Elasticsearch's."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(f"\t{item}" if item.startswith("at ") else item for item in value)
    return value


def _traceback(value: Any) -> str | None:
    """A text, or a list of texts, in which a traceback stands."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        value = "".join(item if item.endswith("\n") else f"{item}\n" for item in value)
    return value if isinstance(value, str) and any(opening in value for opening in OPENINGS) else None


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`{"error": {"type": …}}` as `{"error.type": …}`: both spellings are in use."""
    flat = dict(fields)
    for name in ("error", "err", "exc", "exception", "log", "http", "thrown", "attr", *DETAILS):
        inner = fields.get(name)
        if isinstance(inner, dict):
            flat |= {f"{name}.{key}": value for key, value in inner.items()}
            flat = {key: inner[key] for key in CAUSES if key in inner and name in DETAILS} | flat
    for name in ("attributes", "resource"):
        inner = fields.get(name)
        flat |= inner if isinstance(inner, dict) else _pairs(inner)
    return flat


def _pairs(listed: Any) -> dict[str, Any]:
    """OpenTelemetry's list of `{"key": …, "value": {"stringValue": …}}`."""
    pairs = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return {
        str(item.get("key")): next(iter(value.values()), None)
        for item in pairs
        if isinstance(value := item.get("value"), dict)
    }


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first field that holds a short text or a number."""
    for name in names:
        if name in fields and (text := _text(fields[name])):
            return text[:200]
    return None


def _text(value: Any) -> str | None:
    """A text or a number as text, else nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

"""Exceptions that a JSON record carries as objects: structlog's, Sentry's, OpenTelemetry's, and their like."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from error_monitor.reading import foreign, languages
from error_monitor.reading.event import Failure, Frame
from error_monitor.reading.tracebacks import CAUSES, MEMBERS, frame

KINDS = ("exception", "exc_type", "errorType", "type", "class", "name", "kind", "class_name")
SAID = ("exc_value", "errorMessage", "value", "message", "msg")
STACKS = ("frames", "stacktrace", "stackTrace", "stack", "traceback", "stack_trace", "backtrace")
INNER = ("previous", "cause", "inner", "innerException", "inner_exception", "caused_by", "causedBy")
JAVA, LAMBDA = "extendedStackTrace", '{"errorType":'
PLACE = re.compile(r"(?P<file>\S+):(?P<line>\d{1,9})")
FILES, FUNCTIONS, NUMBERS = ("filename", "file", "path", "abs_path"), ("name", "function", "method"), ("lineno", "line")
MESSAGE_CHARS = 20_000


def failure_of(value: Any) -> Failure | None:
    """The exception in an object or a list of objects; None where it is neither."""
    if isinstance(value, dict) and isinstance(value.get("values"), list):
        value = value["values"][::-1]  # Sentry puts the one that propagated last
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    return _chained(value, 0) if _kind(_lower(value[0])) else None


def of_json(text: str) -> Failure | None:
    """The exception in an object of JSON, as AWS Lambda prints it behind a line's own message."""
    try:
        return failure_of(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _chained(stacks: Sequence[Mapping[str, Any]], depth: int) -> Failure:
    """The exception that propagated comes first, what it came from follows."""
    stack = _lower(stacks[0])
    stacks = [*stacks, *_inner(stack)] if len(stacks) == 1 else stacks
    more = len(stacks) > 1 and depth < CAUSES
    errors = stack.get("syntax_error")
    return Failure(
        type=_kind(stack),
        message=(_text(stack, SAID) or "")[:MESSAGE_CHARS],
        frames=tuple(_frame(item) for item in _frames(stack) if isinstance(item, dict))
        or _printed(stack)
        or _innermost_first(stack),
        members=tuple(_members(stack, depth)),
        source=_text(errors, FILES) if isinstance(errors, dict) else None,
        cause=_chained(stacks[1:], depth + 1) if more else None,
        raised_from=more and (stacks[1].get("is_cause") is True or stacks[1] in stack.values()),
    )


def _inner(stack: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The exception that one holds as what it came from."""
    found = next((value for name in INNER if isinstance(value := stack.get(name), dict)), None)
    return [found] if found and _kind(found) else []


def _lower(stack: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields as most name them: Nextcloud and Cloudflare write capitals."""
    return stack if _kind(stack) else {name.lower(): value for name, value in stack.items()}


def _members(stack: Mapping[str, Any], depth: int) -> list[Failure]:
    """The members of a group, each a list of stacks of its own."""
    members = stack.get("exceptions")
    if not isinstance(members, list) or depth >= CAUSES:
        return []
    lists = [
        [item for item in member if isinstance(item, dict)] for member in members[:MEMBERS] if isinstance(member, list)
    ]
    return [_chained(stacks, depth + 1) for stacks in lists if stacks]


def _kind(stack: Mapping[str, Any]) -> str | None:
    """The type: one word."""
    kind = _text(stack, KINDS)
    return kind[:200] if kind and kind.isascii() and " " not in kind else None


def _frames(stack: Mapping[str, Any]) -> list[Any]:
    for name in STACKS:
        value = stack.get(name)
        if isinstance(value, dict):
            value = value.get("frames")
        if isinstance(value, list):
            return value
    return []


def _printed(stack: Mapping[str, Any]) -> tuple[Frame, ...]:
    """Frames that Node's loggers hand on as one text."""
    listed = next((value for name in STACKS if isinstance(value := stack.get(name), list)), [])
    calls = "\n".join(one for one in listed if isinstance(one, str))  # AWS Lambda lists them
    text = calls or _text(stack, (*STACKS, JAVA))
    found = foreign.read(text[:MESSAGE_CHARS].split("\n")) if text else None
    return found.frames if found else ()


def _innermost_first(stack: Mapping[str, Any]) -> tuple[Frame, ...]:
    """Frames of Log4j, as objects, or of Monolog, as places without the names of their functions."""
    if isinstance(calls := stack.get(JAVA), list):
        found = [_java(call) for call in calls if isinstance(call, dict)]
    else:
        called = stack.get("trace")
        first = f"{stack.get('file')}:{stack['line']}" if "line" in stack else stack.get("file")
        places = [first, *(called if isinstance(called, list) else [])]
        found = [_placed(place) for place in places if isinstance(place, str) and PLACE.fullmatch(place)]
        found += [_frame(call) for call in places if isinstance(call, dict)]
    return tuple(reversed(found))


def _placed(place: str) -> Frame:
    file, _, line = place.rpartition(":")
    return Frame(file=file, function="", line=int(line), in_app=not languages.LIBRARY.search(file))


def _java(call: Mapping[str, Any]) -> Frame:
    function = f"{call.get('class')}.{call.get('method')}"
    made = _frame({**call, "function": function, "name": None})
    return replace(made, in_app=not foreign.LIBRARY.search(function))


def _frame(item: Mapping[str, Any]) -> Frame:
    numbers = [value for name in NUMBERS if isinstance(value := item.get(name), int)]
    return frame(_text(item, FILES) or "", _text(item, FUNCTIONS), numbers[0] if numbers else None)


def _text(item: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first field that holds a text."""
    return next((value for name in names if isinstance(value := item.get(name), str)), None)

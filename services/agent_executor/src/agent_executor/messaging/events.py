"""CloudEvents 1.0 over NATS: reading execute events, writing execute and status events."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from agent_executor import jsonsafe
from agent_executor.errors import InvalidEventError
from agent_executor.records import ID_PATTERN, ExecuteData, Job, new_id

EXECUTE_TYPE = "dev.my-platform.agent.execute"
SOURCE = "/agent-executor"
CONTENT_TYPE = "application/cloudevents+json"


def read_execute(headers: Mapping[str, str] | None, body: bytes, *, max_bytes: int) -> ExecuteData:
    """The data of an execute event, in structured or (with ce- headers) binary mode; else InvalidEventError."""
    if len(body) > max_bytes:
        raise InvalidEventError(f"the event has {len(body)} bytes, more than {max_bytes}")
    lowered = {key.lower(): value for key, value in (headers or {}).items()}
    try:
        document = jsonsafe.loads(body)
    except ValueError as exc:
        raise InvalidEventError(f"the message is not JSON we accept: {exc}") from None
    attributes, data = _split(lowered, document)
    try:
        event = CloudEvent(attributes, data)
    except (BaseCloudEventException, TypeError, ValueError) as exc:
        raise _invalid(f"the message is not a CloudEvent 1.0: {exc}", data) from None
    if event.get_type() != EXECUTE_TYPE:
        raise _invalid(f"the event's type is '{event.get_type()}', not '{EXECUTE_TYPE}'", data)
    return _validated(data)


def execute_event(job: Job) -> bytes:
    """The event that asks for a job to be run."""
    data = {
        "job_id": job.job_id,
        "trace_id": job.trace_id,
        "agent_definition": job.agent_definition,
        "input_payload": job.input_payload,
    }
    return _write(EXECUTE_TYPE, new_id(), job.job_id, data)


def status_event(job: Job) -> bytes:
    """The event that tells how a job ended. Its id is fixed, so a repeated one is recognised by anyone."""
    data = {"job_id": job.job_id, "trace_id": job.trace_id, **job.outcome()}
    return _write(status_type(job.state), f"{job.job_id}-{job.state}", job.job_id, data)


def poison_event(error: InvalidEventError, sequence: int) -> bytes:
    """The failed event of a message that never became a job."""
    data = {
        "job_id": None,
        "trace_id": error.trace_id,
        "state": "failed",
        "result": None,
        "error": {**error.as_dict(), "details": {**error.details, "stream_sequence": sequence}},
    }
    return _write(status_type("failed"), poison_id(sequence), None, data)


def poison_id(sequence: int) -> str:
    """The id of the failed event for the message at this position of the stream."""
    return f"message-{sequence}-failed"


def status_type(state: str) -> str:
    """The CloudEvents type for a final state."""
    return f"dev.my-platform.agent.{state}"


def _split(headers: Mapping[str, str], document: Any) -> tuple[dict[str, Any], Any]:
    if "ce-specversion" in headers:
        attributes: dict[str, Any] = {key[3:]: text for key, text in headers.items() if key.startswith("ce-")}
        data = document
    elif isinstance(document, dict):
        attributes = {key: value for key, value in document.items() if key != "data"}
        data = document.get("data")
    else:
        raise InvalidEventError("the message is not a CloudEvent 1.0: it is not a JSON object")
    # The library would fill these in; an event without them is not a CloudEvent.
    for required in ("specversion", "id"):
        if required not in attributes:
            raise _invalid(f"the message is not a CloudEvent 1.0: it has no '{required}'", data)
    if isinstance(attributes.get("time"), str):
        attributes["time"] = _time(attributes["time"], data)
    return attributes, data


def _time(text: str, data: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f"the event's time '{text[:64]}' is not RFC 3339", data) from None


def _validated(data: Any) -> ExecuteData:
    try:
        return ExecuteData.model_validate(data)
    except ValidationError as exc:
        problems = [
            {"where": ".".join(str(part) for part in error["loc"])[:200], "message": error["msg"][:500]}
            for error in exc.errors()[:20]
        ]
        text = "; ".join(f"{p['where']}: {p['message']}" for p in problems)
        raise _invalid(f"the event's data is invalid: {text}", data, problems=problems) from None


def _invalid(message: str, data: Any, **details: Any) -> InvalidEventError:
    """An InvalidEventError that still names the job when that much of the event can be trusted."""
    read = data if isinstance(data, dict) else {}
    job_id, trace_id = (
        value if isinstance(value, str) and re.fullmatch(ID_PATTERN, value) else None
        for value in (read.get("job_id"), read.get("trace_id"))
    )
    # A header may hold a NUL, which no row takes: the message would be delivered again and again.
    return InvalidEventError(jsonsafe.clean_text(message)[:2000], job_id=job_id, trace_id=trace_id, **details)


def _write(kind: str, event_id: str, subject: str | None, data: dict[str, Any]) -> bytes:
    attributes: dict[str, Any] = {
        "id": event_id,
        "type": kind,
        "source": SOURCE,
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
    }
    if subject is not None:
        attributes["subject"] = subject
    event = CloudEvent(attributes, data).get_attributes()
    # Compact and in UTF-8, unlike the library's own writer: the size limits elsewhere count exactly these bytes.
    return jsonsafe.dumps({**event, "time": event["time"].isoformat(), "data": data})

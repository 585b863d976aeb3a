"""Categories come with a reason."""

import pytest

from error_monitor.patterns.classify import classify, severity
from error_monitor.reading.event import Event, Failure
from error_monitor.reading.reader import Reader
from error_monitor.reading.tracebacks import frame

OWN = (frame("/app/shop/jobs.py", "run", 7),)


def event(kind: str | None, message: str, level: str = "error") -> Event:
    """An event with one own frame, or only a message."""
    failure = Failure(type=kind, message=message, frames=OWN) if kind else None
    return Event(first_line=1, last_line=1, failure=failure, header=message, level=level, text=message)


@pytest.mark.parametrize(
    ("kind", "message", "category"),
    [
        ("sqlalchemy.exc.OperationalError", "server closed the connection", "database"),
        ("psycopg.OperationalError", 'password authentication failed for user "x"', "auth"),
        ("httpx.ReadTimeout", "timed out", "timeout"),
        ("ConnectionRefusedError", "[Errno 111] Connection refused", "network"),
        ("fastapi.exceptions.HTTPException", "502: upstream failed", "dependency"),
        ("fastapi.exceptions.HTTPException", "404: order not found", "logic"),
        ("KeyError", "'PAYMENT_API_SECRET'", "configuration"),
        ("KeyError", "'price'", "logic"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '/etc/shop/settings.yaml'", "configuration"),
        ("MemoryError", "", "resource"),
        ("pydantic_core.ValidationError", "1 validation error for Order", "validation"),
        ("jwt.exceptions.ExpiredSignatureError", "Signature has expired", "auth"),
        ("shop.errors.OutOfStock", "3 left", "logic"),
        ("UnicodeEncodeError", "'utf-8' codec can't encode character: surrogates not allowed", "validation"),
        (None, "write failed: No space left on device", "resource"),
        (None, "something odd", "unknown"),
    ],
)
def test_category(kind: str | None, message: str, category: str) -> None:
    """One row: a type, a message and their category."""
    assert classify(event(kind, message)).category == category


def test_what_own_code_raises_can_be_fixed() -> None:
    """A time-out that a library raises is of the world; one that the service itself raises may be a fault of it."""
    library = Failure(
        type="TimeoutError", message="timed out", frames=(*OWN, frame("/usr/lib/python3.11/ssl.py", "read", 1))
    )
    foreign = Event(first_line=1, last_line=1, failure=library, header="", level="error", text="")

    assert (classify(event("TimeoutError", "deadline exceeded")).fixable, classify(foreign).fixable) == (True, False)


def test_cause_decides_for_a_plain_type() -> None:
    """A RuntimeError that wraps another error has the category of that error."""
    text = (
        'Traceback (most recent call last):\n  File "/app/a.py", line 1, in f\n    g()\nConnectionResetError: x\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\n    raise\nRuntimeError: cannot deliver'
    )
    reader = Reader()
    (found,) = [*reader.feed(text.split("\n")), *reader.flush()]

    assert classify(found).category == "network"


def test_whole_classification() -> None:
    """Category, severity, fixable and reason of one event."""
    found = classify(event("AttributeError", "'NoneType' object has no attribute 'x'"))

    assert (found.category, found.severity, found.fixable) == ("logic", "medium", True)
    assert found.reason == "type AttributeError; an own frame to change"


@pytest.mark.parametrize(
    ("level", "category", "per_minute", "services", "expected"),
    [
        ("critical", "logic", 0, 1, "critical"),
        ("error", "logic", 0, 1, "medium"),
        ("error", "database", 0, 1, "high"),
        ("error", "logic", 20, 1, "high"),
        ("error", "logic", 90, 1, "critical"),
        ("error", "logic", 0, 6, "critical"),
        ("warning", "logic", 0, 1, "low"),
    ],
)
def test_severity(level: str, category: str, per_minute: float, services: int, expected: str) -> None:
    """Severity follows level, category, rate and spread."""
    assert severity(level, category, per_minute=per_minute, services=services) == expected

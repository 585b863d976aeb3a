"""The kind of an error: the first rule that fits decides, and says why."""

import re
from dataclasses import dataclass

from error_monitor.patterns.rules import RULES
from error_monitor.reading.event import Event, Failure

FIXABLE = ("logic", "validation", "database", "configuration", "dependency")

MANY_PER_MINUTE, FLOOD_PER_MINUTE = 10, 60
MANY_SERVICES, FLOOD_SERVICES = 2, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """Category and severity of an event, whether a change of code can stop it, and why we think so."""

    category: str
    severity: str
    fixable: bool
    reason: str


CONFIG_FILE = re.compile(r"(?:^|[/\\])(?:(?:conf|config|configuration|settings|env)\.py$|(?:config|settings)[/\\])")
OPEN_TYPES = re.compile(r"(?:^|\.)(?:RuntimeError|Exception|BaseException|ExceptionGroup|BaseExceptionGroup)$")


def classify(event: Event) -> Classification:
    """Category, severity and fixability of an event, with the reason."""
    category, reason = _category(event)
    in_app = any(frame.in_app for frame in event.frames)
    raises = bool(event.frames) and event.frames[-1].in_app
    fixable = in_app and (category in FIXABLE or raises)
    why = "nothing in the code to change" if not fixable else "an own frame to change"
    if fixable and category not in FIXABLE:
        why = "the service's own code raises it"
    return Classification(
        category=category, severity=severity(event.level, category), fixable=fixable, reason=f"{reason}; {why}"
    )


def severity(level: str, category: str, *, per_minute: float = 0.0, services: int = 1) -> str:
    """Severity from level, category, rate and spread."""
    if level == "critical" or per_minute >= FLOOD_PER_MINUTE or services >= FLOOD_SERVICES:
        return "critical"
    if level in ("debug", "info", "warning"):
        return "high" if per_minute >= MANY_PER_MINUTE else "low"
    is_grave = category in ("database", "resource", "auth", "configuration")
    if is_grave or per_minute >= MANY_PER_MINUTE or services >= MANY_SERVICES:
        return "high"
    return "medium"


def raised(level: str, category: str, *, per_minute: float, services: int) -> tuple[str, str]:
    """Severity with rate and spread; and why it is higher than level and category alone make it, or nothing."""
    found = severity(level, category, per_minute=per_minute, services=services)
    if found == severity(level, category):
        return found, ""
    if found == severity(level, category, per_minute=per_minute):
        return found, f"{found}, as {per_minute:g} events came within a minute"
    return found, f"{found}, as {services} services have it"


def _category(event: Event) -> tuple[str, str]:
    """The category and the rule behind it."""
    if event.failure is None:
        return _of("", event.header or "")
    return _of_failure(event.failure, depth=0)


def _of_failure(failure: Failure, depth: int) -> tuple[str, str]:
    """Classify an exception; one that only wraps others is classified by its members or its cause."""
    kind, message = failure.type or "", failure.message or ""
    if failure.members and kind.endswith("Group"):
        return _of_failure(failure.members[0], depth + 1) if depth < 5 else ("unknown", "nested groups")
    if kind.endswith(("ValueError", "KeyError")) and (file := _configuration(failure)):
        return "configuration", f"{kind} raised in {file}"
    found = _of(kind, message)
    if failure.cause is not None and depth < 5 and (found[0] == "unknown" or OPEN_TYPES.search(kind)):
        deeper = _of_failure(failure.cause, depth + 1)
        if deeper[0] != "unknown":
            return deeper
    if found[0] == "unknown" and any(frame.in_app for frame in failure.frames):
        return "logic", f"{kind or 'an exception'} of the application itself"
    return found


def _configuration(failure: Failure) -> str:
    """The application's own file of configuration that raised an exception, or an empty string."""
    last = failure.frames[-1] if failure.frames else None
    is_own = last and last.in_app and CONFIG_FILE.search(last.file)
    return last.file.rsplit("/", 1)[-1] if last and is_own else ""


def _of(kind: str, message: str) -> tuple[str, str]:
    """The first rule that fits."""
    for rule in RULES:
        if rule.types is not None and not rule.types.search(kind):
            continue
        if rule.message is None:
            return rule.category, f"type {kind}"
        if found := rule.message.search(message[:2000]):
            return rule.category, f"the message says {found[0][:60]!r}"
    return "unknown", "no rule fits"

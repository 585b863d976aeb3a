"""The model's prompt: the pattern as data, and the source around its own frames."""

import json
import re
from collections.abc import Mapping
from typing import Any

from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.options import FixSettings
from error_monitor.reading.event import Event, Frame
from error_monitor.reading.reader import Reader
from error_monitor.redaction import redact

AROUND = 30
MOST_FRAMES = 6
MOST_LINES = 120


def event_of(pattern: Mapping[str, Any]) -> Event | None:
    """The newest event of a pattern, read again from its stored lines."""
    reader = Reader()
    found = reader.feed(pattern["example"]) + reader.flush()
    return next((one for one in found if one.failure is not None), None)


def own_frames(pattern: Mapping[str, Any], checkout: Checkout, settings: FixSettings) -> list[tuple[str, Frame]]:
    """The frames that are in the sources of the service at this commit, innermost last.

    A path in a log only ever selects among the files of the service's sources; it is never opened by itself.
    """
    event = event_of(pattern)
    roots = tuple(f"{settings.prefix}{one}/" for one in settings.sources)
    sources = [path for path in checkout.files if path.endswith(".py") and path.startswith(roots)]
    frames = [frame for frame in (event.frames if event else ()) if frame.in_app]
    return [(path, frame) for frame in frames if (path := _same(frame.file, sources))]


def elsewhere(settings: FixSettings) -> str:
    """Say that no frame is the service's own, and which settings decide that."""
    places = ", ".join(f"{settings.prefix}{one}" for one in settings.sources)
    return (
        f"no frame of the pattern is in the sources of the service at this commit, which are {places}"
        " by ERROR_MONITOR_FIX_FOLDER and ERROR_MONITOR_FIX_SOURCES"
    )


def _same(file: str, sources: list[str]) -> str:
    """The source with the longest common end of its path; two parts at least where there are several."""
    wanted = re.split(r"[/\\]", file)
    best, length = "", 0
    for path in sources:
        parts = path.split("/")
        common = 0
        while common < min(len(parts), len(wanted)) and parts[-1 - common] == wanted[-1 - common]:
            common += 1
        if common > length:
            best, length = path, common
    return best if length >= 2 or (length and sum(path.endswith(f"/{wanted[-1]}") for path in sources) == 1) else ""


def question(pattern: Mapping[str, Any], checkout: Checkout, settings: FixSettings) -> str:
    """The first message. Everything of the log is one JSON value: no line of it can end the data."""
    frames = own_frames(pattern, checkout, settings)
    told = {
        "fingerprint": pattern["fingerprint"],
        "type": pattern["type"],
        "message": redact(pattern["message"])[:2000],
        "category": pattern["category"],
        "events": pattern["events"],
        "lines": [redact(line)[:1000] for line in pattern["example"][-MOST_LINES:]],
    }
    parts = [
        "The error pattern, as untrusted data in JSON:",
        json.dumps(told, ensure_ascii=True),
        _service(settings),
    ]
    for path, frame in frames[-MOST_FRAMES:]:
        line = frame.line or 1
        parts += [f"{path} around {frame.function}:", checkout.read(path, max(1, line - AROUND), line + AROUND)]
    return "\n\n".join(parts)


def _service(settings: FixSettings) -> str:
    sources = ", ".join(settings.sources)
    return f"The service is {settings.service!r} in {settings.folder!r}. Sources: {sources}. Tests: {settings.tests}."

"""The interface of kept state: a slot's data in a file, restorable into another slot, on either engine."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.world import Clock

PATIENCE_S = 10.0  # for each dependency: what takes longer is left out, a test run is not held up
ANSWER_LIMIT_S = 5.0
SHOWN = 200  # characters of a value, in a printed view


class Taken(NamedTuple):
    """The content of a slot's file, and what was left out of it."""

    text: str
    left_out: str


class Keeper(Protocol):
    """The interface of a room's keeper; the modules `postgres.state`, `dragonfly.state` and `nats.state` satisfy it."""

    FILE: str
    LIMIT_BYTES: int

    def keep(self, endpoint: Endpoint) -> Taken:
        """Take the slot's present state.

        Raises:
            OSError: The server refused, or did not answer.
        """

    def restore(self, endpoint: Endpoint, file: Path) -> list[str]:
        """Restore the state into an empty slot; describe what could not be restored.

        Raises:
            OSError: The server refused.
            ValueError: The file is not what `keep` writes; likewise KeyError, TypeError and AttributeError.
        """


class Lines:
    """Collects JSON objects, one per line, up to a size and a deadline."""

    def __init__(self, limit_bytes: int) -> None:
        self._lines: list[str] = []
        self._left_bytes = limit_bytes
        self._deadline = Clock.monotonic() + PATIENCE_S

    @property
    def late(self) -> bool:
        return Clock.monotonic() > self._deadline

    def has_room(self, size_bytes: int) -> bool:
        return size_bytes <= self._left_bytes

    def write(self, fact: Mapping[str, Any]) -> bool:
        """Add a line; return False if it does not fit."""
        line = json.dumps(fact, ensure_ascii=False) + "\n"
        size = len(line.encode())
        if not self.has_room(size):
            return False
        self._left_bytes -= size
        self._lines.append(line)
        return True

    def text(self) -> str:
        return "".join(self._lines)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield each object of such a file.

    Raises:
        ValueError: A line is something else, or TypeError.
    """
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield dict(json.loads(line))


def to_json(data: bytes) -> Any:
    """Convert bytes for JSON: UTF-8 text as it is, anything else in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def from_json(value: Any) -> bytes:
    """Restore the bytes given to `to_json`; base64 from which a secret was removed stays as it is."""
    if isinstance(value, str):
        return value.encode()
    try:
        return base64.b64decode(value["base64"], validate=True)
    except binascii.Error:
        return str(value["base64"]).encode()


def shown(value: Any) -> str:
    """Show a value on one line, shortened, without anything that a terminal would interpret."""
    text = value if isinstance(value, str) else f"{len(from_json(value))} bytes" if "base64" in value else str(value)
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:SHOWN])
    return safe + (" …" if len(text) > SHOWN else "")

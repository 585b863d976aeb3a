"""The rows that the store writes for one step of a scan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from error_monitor.sources.records import Gap


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One event, ready to be stored: redacted, fingerprinted, classified."""

    fingerprint: str
    type: str
    message: str
    frame: str
    level: str
    category: str
    severity: str
    fixable: bool
    reason: str
    service: str
    example: tuple[str, ...]
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Writer:
    """The holder of the right to write: every write proves that its fence is the newest."""

    monitor: str
    instance: UUID
    fence: int
    patience_s: float


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The position up to which a stream was read. Version 0 was never written."""

    stream: str
    source: str
    position: Mapping[str, Any] | None = None
    readers: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """The content of one transaction: events, gaps, and the cursor behind them."""

    cursor: Cursor
    lines: int
    seen: Sequence[Seen] = ()
    gaps: Sequence[Gap] = ()

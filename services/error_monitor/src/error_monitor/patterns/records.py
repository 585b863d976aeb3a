"""What the store writes: a step of a scan, as rows."""

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
    """Who writes: every write proves that this fence is the newest."""

    monitor: str
    instance: UUID
    fence: int
    patience_s: float


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How far a stream was read. Version 0 was never written."""

    stream: str
    source: str
    position: Mapping[str, Any] | None = None
    readers: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one transaction writes: events, gaps, and the cursor that is behind them."""

    cursor: Cursor
    lines: int
    seen: Sequence[Seen] = ()
    gaps: Sequence[Gap] = ()

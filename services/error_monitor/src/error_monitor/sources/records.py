"""The records that pass between a source and a scan: a cursor in, lines and a new cursor out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Position = Mapping[str, Any]  # how far a stream was read; JSON, of whatever shape its source likes

MAX_LINE_BYTES = 256 * 1024  # the rest of a longer line is passed over; Java prints 1 024 frames into one of JSON


class SourceError(Exception):
    """A source gives no usable answer now. It is asked again, later and later."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Lines of one origin, in their order: one file, one container's output, one set of Loki's labels.

    `times` has an entry for each line, in seconds since 1970, where the source knows them.
    """

    origin: str
    service: str
    lines: Sequence[bytes]
    times: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Lines that the source had, or may have had, and that cannot be read."""

    kind: str
    detail: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The lines of one read. `has_more` says that the next read will bring something at once."""

    position: Position
    batches: Sequence[Batch] = field(default=())
    gaps: Sequence[Gap] = ()
    has_more: bool = False


class Stream(Protocol):
    """A stream that is read with one cursor. `key` never changes, and is equal in all instances that read it."""

    @property
    def key(self) -> str: ...

    async def read(self, position: Position | None) -> Chunk:
        """Read on from there; from None for the first time.

        Raises:
            SourceError: There is no usable answer.
        """
        ...


class Source(Protocol):
    """A kind of place where lines are."""

    @property
    def name(self) -> str: ...

    async def streams(self) -> Sequence[Stream]:
        """List the streams that exist now.

        Raises:
            SourceError: There is no usable answer.
        """
        ...

    async def close(self) -> None: ...

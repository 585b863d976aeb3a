"""Error events: the contract between reading, patterns and the store."""

from dataclasses import dataclass, field

LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame of a traceback. `in_app` is false for the standard library and installed packages."""

    file: str
    function: str
    line: int | None
    in_app: bool
    code: str | None = None
    """The line of source that the traceback shows."""


def called(file: str, function: str, line: str | None, *, own: bool) -> Frame:
    """A frame of a call as it was printed; a hostile line number is cut."""
    return Frame(file=file, function=function, line=int(line[:9]) if line else None, in_app=own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One exception as a traceback prints it, innermost frame last."""

    type: str | None = None
    message: str | None = None
    frames: tuple[Frame, ...] = ()
    members: tuple["Failure", ...] = ()
    """The leaves of an exception group."""
    cause: "Failure | None" = None
    """The exception that this one was raised from, or while handling which it was raised."""
    raised_from: bool = False
    """`raise … from …` named the cause."""
    source: str | None = None
    """The file that a SyntaxError complains about; no frame leads there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One logged error, its lines joined. Text, message and header are redacted.

    Line numbers count the physical lines that the reader was fed, from 1. `lines` is empty where the event is one
    block. Type, message and frames are those of the exception that is printed last.
    """

    first_line: int
    last_line: int
    lines: tuple[int, ...] = ()
    failure: Failure | None = None
    level: str = "error"
    header: str | None = None
    logger: str | None = None
    service: str | None = None
    worker: str | None = None
    request_id: str | None = None
    time: str | None = None
    text: str = field(repr=False)
    cut: bool = False

    @property
    def type(self) -> str | None:
        return self.failure.type if self.failure else None

    @property
    def message(self) -> str | None:
        """The exception's message, or what the record says where it carries no exception."""
        return self.failure.message if self.failure else self.header

    @property
    def frames(self) -> tuple[Frame, ...]:
        return self.failure.frames if self.failure else ()

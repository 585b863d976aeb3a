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


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One logged error, its lines joined. The text is redacted.

    Line numbers count the physical lines that the reader was fed, from 1. `lines` is empty where the event is one
    block. Type, message and frames are those of the exception that is printed last, the innermost frame last.
    """

    first_line: int
    last_line: int
    lines: tuple[int, ...] = ()
    type: str | None = None
    message: str | None = None
    frames: tuple[Frame, ...] = ()
    causes: tuple["Cause", ...] = ()
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
    def has_exception(self) -> bool:
        """Tell whether the event carries an exception, not only a message."""
        return self.type is not None or bool(self.frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """An exception that was printed before the last one of a chain, or a member of a group."""

    type: str | None
    message: str | None
    frames: tuple[Frame, ...]

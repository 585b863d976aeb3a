"""One physical line on its way from the source to the joiner."""

from dataclasses import dataclass

from error_monitor.reading.event import Failure


@dataclass(slots=True)
class Line:
    """A line without its wrappers, and the facts that the wrappers gave.

    `stream` tells apart what several processes wrote into one pipe. `whole` marks an application's own JSON record:
    nothing continues it. `exception` is the traceback that such a record carries, as text or already read.
    """

    numbers: tuple[int, ...]
    text: str
    stream: str = ""
    level: str | None = None
    time: str | None = None
    logger: str | None = None
    service: str | None = None
    worker: str | None = None
    request_id: str | None = None
    whole: bool = False
    partial: bool = False
    joined: bool = False
    """The lines between this one and the one before were left out; they belong to the same record."""
    part: bool = False
    """It goes on with the line before: a collector shipped both as one text."""
    rest: tuple[str, ...] = ()
    """The other lines of such a text."""
    stamped: bool = False
    """A time stood before the text, as collectors put it before every line."""
    exception: str | Failure | None = None

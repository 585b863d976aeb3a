"""The interface for slots: a part of a room's server for each test, at next to no cost."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.world import Clock


class Returned(NamedTuple):
    """The condition of a test's part of a server after the test.

    `left` says in words what the test left open (it has been closed); `ready` whether the part is as new again, or has
    to be remade.
    """

    left: tuple[str, ...] = ()
    ready: bool = True


Steps = Generator[Any, None, Returned]  # of None or True: see Slot.take_back


class Slot(Protocol):
    """One numbered part of one server, in the hands of one process; at most one test has it at a time."""

    endpoint: Endpoint
    log: Path | None  # of a server of its own; None where it is in the stack's

    def take_back(self) -> Steps:
        """Close what the test left open and make the part as new where that is quick.

        A generator: it yields where its server has been asked something and works on it, so that the caller can speak
        to the others meanwhile. It yields True where the test left nothing open and the rest can wait until the part
        is wanted again.

        Raises:
            OSError: The server refused, or its answer could not be used: the part has to be remade.
        """

    def remake(self) -> None:
        """Make it from nothing, unreachable for clients that know where the last one was.

        Raises:
            OSError: The server refused.
        """

    def close(self) -> None:
        """Give everything of it back to the server."""


class Landlord(Protocol):
    """One process's way to the parts of one server."""

    shared: str  # what its parts do have in common, in words; empty when nothing

    def slot(self, number: int) -> Slot:
        """A new part, never used.

        Raises:
            OSError: The server refused, or cannot be divided; says why and what to do.
        """

    def has_room(self) -> bool:
        """Return whether the server can well have one more slot than it must."""

    def close(self) -> None:
        """Close it after every slot."""


class Ground(NamedTuple):
    """The surroundings of a landlord: the server, the stack's folder, and the services of the guard and the pool.

    `serve` starts a server of a slot's own under a name, from a port on, and returns its port and its log; `unserve`
    ends it; None where slots share the one there is. `another` gives a number up for a further one of the stack's.
    """

    endpoint: Endpoint
    home: Path
    streams: Sequence[Mapping[str, Any]]
    serve: Callable[[str, int], tuple[int, Path]] | None
    unserve: Callable[[str], None]
    another: Callable[[int], int]


def patience(limit_s: float) -> Iterator[bool]:
    """Looks worth taking until something that is just ending has gone, soon at first; True with the last one."""
    deadline = Clock.monotonic() + limit_s
    pause = 0.0001
    while Clock.monotonic() < deadline:
        yield False
        Clock.sleep(pause)
        pause = min(pause * 2, 0.005)
    yield True


class Undivided:
    """The landlord of a server that cannot be divided: everybody has all of it."""

    def __init__(self, endpoint: Endpoint, shared: str) -> None:
        self._endpoint = endpoint
        self.shared = shared

    def slot(self, number: int) -> "Everything":  # noqa: ARG002 - there is only one
        """Give the one part that all share."""
        return Everything(self._endpoint)

    def has_room(self) -> bool:
        """Return whether another slot fits: it takes no room."""
        return True

    def close(self) -> None:
        """Do nothing: nothing was opened."""


class Everything:
    """The slot that is the whole server."""

    log: Path | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def take_back(self) -> Steps:
        """Take the whole server back as it is: it cannot tell one test's changes."""
        yield from ()
        return Returned()

    def remake(self) -> None:
        """Nor made anew."""

    def close(self) -> None:
        """Nor given back."""

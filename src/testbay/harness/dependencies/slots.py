"""The interface of slots: one test's part of a dependency's server."""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testbay.harness.dependencies.endpoint import Endpoint


class Returned(NamedTuple):
    """The condition of a slot after a test.

    `left` describes what the test left open, which has been closed by now; `ready` tells whether the slot is as new, or
    has to be remade.
    """

    left: tuple[str, ...] = ()
    ready: bool = True


Steps = Generator[Any, None, Returned]  # yields None or True: see Slot.take_back


class Slot(Protocol):
    """A numbered part of one server, owned by one process and used by at most one test at a time."""

    endpoint: Endpoint
    log: Path | None  # the log of a slot's own server; None if the stack's log has its lines

    def take_back(self) -> Steps:
        """Close the test's connections, and restore the slot if that is quick.

        A generator: it yields after each request to its server, so that the caller can talk to other servers meanwhile.
        It yields True if the test left nothing open, and the rest can wait until the slot is needed again.

        Raises:
            OSError: The server refused, or its answer could not be used: the part has to be remade.
        """

    def remake(self) -> None:
        """Make the slot from scratch, under an address that clients of the last one do not know.

        Raises:
            OSError: The server refused.
        """

    def close(self) -> None:
        """Remove the slot from the server."""


class Landlord(Protocol):
    """Gives out the slots of one server to one process. A subclass needs only `slot`."""

    shared: str = ""  # what its slots have in common, in words; empty if nothing

    def slot(self, number: int) -> Slot:
        """Make a new slot.

        Raises:
            OSError: The server refused, or cannot be divided; says why and what to do.
        """

    def has_room(self) -> bool:
        """Return whether the server has room for a spare slot."""
        return True

    def close(self) -> None:
        """Close the landlord, after all slots, which have closed what they opened."""
        return


class SlotContext(NamedTuple):
    """The material of slots: the server, the stack's folder, and functions of the guard and the pool.

    `serve` starts a slot's own server under a name, from a port on, and returns its port and log; None if slots share a
    server. `unserve` ends it. `another` exchanges a number for an unused one.
    """

    endpoint: Endpoint
    home: Path
    streams: Sequence[Mapping[str, Any]]
    serve: Callable[[str, int], tuple[int, Path]] | None
    unserve: Callable[[str], None]
    another: Callable[[int], int]


class Undivided(Landlord):
    """The landlord of a server that cannot be divided: every lease has all of it."""

    def __init__(self, endpoint: Endpoint, shared: str) -> None:
        self._endpoint = endpoint
        self.shared = shared

    def slot(self, number: int) -> "Everything":  # noqa: ARG002 - there is only one
        return Everything(self._endpoint)


class Everything:
    """The slot that is the whole server."""

    log: Path | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def take_back(self) -> Steps:
        """Leave the server as it is: the changes of one test cannot be told from those of others."""
        yield from ()
        return Returned()

    def remake(self) -> None:
        """Do nothing: the server cannot be made anew."""

    def close(self) -> None:
        """Do nothing: the server stays for the others."""

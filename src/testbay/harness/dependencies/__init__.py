"""The dependencies a service can need: one room each, behind one Protocol, in one table.

A package brings a room of its own by an entry point in the group `testbay.dependencies`; what such a package needs is
exported here (docs/add-a-dependency.md).
"""

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from testbay.errors import ManifestError
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Reading, RefusedError, Server, check_identity
from testbay.harness.dependencies.slots import Landlord, Returned, Slot, SlotContext, Steps, Undivided
from testbay.harness.dependencies.state import Keeper, Taken
from testbay.harness.dependencies.wire import Wire
from testbay.harness.plans import HOME, PORT, Configured, ProcessPlan, process_plan
from testbay.harness.world import patience
from testbay.manifest import needs
from testbay.manifest.compose import recognition
from testbay.manifest.compose.reading import ComposeService

__all__ = [
    "HOME",
    "PORT",
    "ROOMS",
    "Answer",
    "ComposeService",
    "Configured",
    "Dependency",
    "Endpoint",
    "Keeper",
    "Landlord",
    "ProcessPlan",
    "Reading",
    "RefusedError",
    "Returned",
    "Server",
    "Slot",
    "SlotContext",
    "Steps",
    "Taken",
    "Undivided",
    "Wire",
    "check_identity",
    "foreign_images",
    "patience",
    "process_plan",
    "room_of",
]


class Dependency(Protocol):
    """The interface of a dependency's package; modules satisfy it."""

    NAME: str
    TITLE: str
    IMAGES: tuple[str, ...]
    CONTAINER_PORT: int
    DEFAULT_PORT: int

    def find(self, service: ComposeService, environ: Mapping[str, str]) -> Server:
        """Find the best server program on this machine for the image in the compose file.

        Raises:
            EngineUnavailableError: None was found; says what to install.
        """

    def plan(self, service: ComposeService, server: Server, home: Path) -> ProcessPlan:
        """Plan how the embedded engine starts the server, with the compose file's flags and environment."""

    def described(self, service: ComposeService) -> Reading:
        """Read the service as its image does; both engines use the result.

        Raises:
            ManifestError: The image would refuse to start.
        """

    def notes(self, service: ComposeService, server: Server) -> tuple[str, ...]:
        """List how this machine's server differs from the image in ways that a user must know."""

    def endpoint(self, service: ComposeService, port: int) -> Endpoint:
        """Make the endpoint: address and credentials."""

    def probe(self, endpoint: Endpoint, timeout_s: float) -> Answer:
        """Ask the server something that only a ready one can answer.

        Raises:
            OSError: Not ready yet; the text is the last answer seen.
        """

    def configured(self, service: ComposeService) -> Configured | None:
        """The configuration file that testbay gives the container, if it needs one; else None."""

    def further(self, service: ComposeService, server: Server) -> ProcessPlan | None:
        """Plan an additional server for one lease, with `{home}` for its folder; None if leases share one."""

    def landlord(self, context: SlotContext) -> Landlord:
        """Divide the server among tests; return `Undivided(endpoint, what)` if it cannot be divided.

        Raises:
            OSError: The server cannot be reached.
        """

    def keeper(self) -> Keeper | None:
        """Keep and restore the state of a failed test's slot; None if that is not possible."""

    def url(self, endpoint: Endpoint) -> str:
        """The connection string for clients."""

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        """The variables by which a service finds the dependency."""


_MEMBERS = tuple(name for name in (*Dependency.__annotations__, *vars(Dependency)) if not name.startswith("_"))


class _Rooms(Mapping[str, Dependency]):
    """All rooms by name; each is imported at its first use."""

    def __init__(self) -> None:
        self._loaded: dict[str, Dependency] = {}

    def __getitem__(self, name: str) -> Dependency:
        if name not in self._loaded:
            room = import_module(f"{__name__}.{name}") if name in needs.BUILT_IN else _foreign(name)
            self._loaded[name] = _checked(room, name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and needs.is_known(name)

    def __iter__(self) -> Iterator[str]:
        return iter(needs.names())

    def __len__(self) -> int:
        return len(needs.names())


ROOMS: Mapping[str, Dependency] = _Rooms()


def room_of(service: ComposeService) -> Dependency | None:
    """The room for a compose service, found by its image; None if testbay has none for it."""
    if known := recognition.room_of(service):
        return ROOMS[known]
    return next(
        (ROOMS[name] for name, images in foreign_images().items() if service.repository.startswith(images)), None
    )


def title(service: ComposeService, room: Dependency) -> str:
    """The server's title by its image: Redis or Valkey for those images, although Dragonfly's room runs them."""
    try:
        return room.endpoint(service, 0).title
    except ManifestError:  # the image would refuse to start, which a run says
        return room.TITLE


def called(service: ComposeService, room: Dependency) -> str:
    """The dependency's name by its image: `redis` or `valkey` for those images."""
    name = title(service, room).lower()
    return name if name in needs.ALIASES else room.NAME


def foreign_images() -> dict[str, tuple[str, ...]]:
    """List the image prefixes of the dependencies that installed packages bring."""
    return {name: tuple(ROOMS[name].IMAGES) for name in needs.names() if name not in needs.BUILT_IN}


def _foreign(name: str) -> Any:
    """The room that an installed package registers under that name.

    Raises:
        KeyError: No package does.
        ManifestError: The package cannot be imported.
    """
    points = metadata.entry_points(group=needs.GROUP, name=name)
    if not points:
        raise KeyError(name)
    point = next(iter(points))
    try:
        return point.load()
    except Exception as error:
        raise ManifestError(
            f"dependency {name!r} cannot be imported: {error!r}",
            why=f"the installed package {_package(point)} registers it as {point.value}",
            todo="fix that package, or uninstall it",
        ) from error


def _checked(room: Any, name: str) -> Dependency:
    """Return the room if it has every member of the Protocol."""
    missing = [member for member in _MEMBERS if not hasattr(room, member)]
    if missing or name != room.NAME:
        raise ManifestError(
            f"dependency {name!r} is incomplete: it lacks {', '.join(missing)}"
            if missing
            else f"dependency {name!r} calls itself {room.NAME!r}",
            why="it was written for another version of testbay, or is unfinished",
            todo="compare it with `testbay explain add-a-dependency`, or uninstall the package that brings it",
        )
    checked: Dependency = room
    return checked


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "that brings it"

"""The dependencies a service can need: one room each, behind one Protocol, in one table.

To add one (Kafka, MinIO): a file here that satisfies `Dependency`, and a row in `ROOMS` (docs/add-a-dependency.md).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Server
from testbay.harness.dependencies.nats import server as nats
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.plans import Configured, ProcessPlan
from testbay.manifest.composefile import ComposeService


class Dependency(Protocol):
    """What a room answers; modules satisfy it."""

    NAME: str
    TITLE: str
    IMAGES: tuple[str, ...]
    CONTAINER_PORT: int
    DEFAULT_PORT: int

    def find(self, service: ComposeService, environ: Mapping[str, str]) -> Server:
        """The best server program on this machine for what the compose file names.

        Raises:
            EngineUnavailableError: There is none; says what to install.
        """

    def plan(self, service: ComposeService, server: Server, home: Path) -> ProcessPlan:
        """How the embedded engine starts it, the compose file's flags and environment carried over."""

    def endpoint(self, service: ComposeService, port: int) -> Endpoint:
        """Where it will answer and with which credentials."""

    def probe(self, endpoint: Endpoint, timeout_s: float) -> Answer:
        """Ask it something that only a ready server can answer.

        Raises:
            OSError: Not ready yet; the text is the last answer seen.
        """

    def configured(self, service: ComposeService) -> Configured | None:
        """The configuration file its container is to be started with, if it needs one to be shared."""

    def lease(self, endpoint: Endpoint, number: int) -> Endpoint | None:
        """Lease `number` (from 1) of a kept stack's server, made anew: as after migrations, nothing of anybody else.

        None when it cannot be shared like that.

        Raises:
            OSError: The server refused.
        """

    def further(self, service: ComposeService, server: Server) -> ProcessPlan | None:
        """How a server of a lease's own is started, with `{home}` for its folder; None where leases share the one."""

    def url(self, endpoint: Endpoint) -> str:
        """The connection string its clients take."""

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        """The variables a service finds it by."""


ROOMS: dict[str, Dependency] = {room.NAME: room for room in (postgres, dragonfly, nats)}


def room_of(service: ComposeService) -> Dependency | None:
    """The room for a compose service, by its image whatever its key is called; None when testbay has no room for it."""
    for room in ROOMS.values():
        if service.repository.startswith(room.IMAGES):
            return room
    return None

"""A lease as a test sees it: the addresses of its slots, its environment variables, its faults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from testbay import settings
from testbay.errors import ManifestError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint, not_needed
from testbay.harness.dependencies.slots import Slot
from testbay.harness.faults.inject import Faults
from testbay.harness.plans import Tenancy
from testbay.harness.stack import exports


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The address of a lease's slot of one dependency; every client accepts its `url` (or `dsn`)."""

    name: str
    url: str = field(repr=False)
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    db: str

    @property
    def dsn(self) -> str:
        """The address of the database, under the name that PostgreSQL clients use."""
        return self.url


class Lease:
    """One test's private slice of the stack: database, keyspace and NATS account, which live and end together."""

    def __init__(
        self,
        number: int,
        tenancy: Tenancy,
        slots: Mapping[str, Slot],
        shared: Sequence[str] = (),
        *,
        faults: Faults | None = None,
        direct: "Lease | None" = None,
    ) -> None:
        self.shared = list(shared)  # what all leases have in common, in words
        self._number = number
        self._tenancy = tenancy
        self._slots = slots
        self._faults = faults
        self._exported: tuple[dict[str, Endpoint], dict[str, str]] | None = None
        self._direct = direct  # only set for a lease behind proxies

    @property
    def name(self) -> str:
        """The lease's name, which is also that of its database and its NATS account."""
        return f"lease{self._number}"

    @property
    def postgres(self) -> Reach:
        """The migrated database."""
        return self._reach("postgres")

    @property
    def dragonfly(self) -> Reach:
        """The empty keyspace."""
        return self._reach("dragonfly")

    @property
    def redis(self) -> Reach:
        """The empty keyspace, under the name its clients use."""
        return self.dragonfly

    @property
    def valkey(self) -> Reach:
        """The empty keyspace, under the name Valkey's clients use."""
        return self.dragonfly

    @property
    def nats(self) -> Reach:
        """The account, with the manifest's streams in it."""
        return self._reach("nats")

    @property
    def exports(self) -> dict[str, str]:
        """The variables by which a service finds its dependencies, and those of the manifest's `env`."""
        endpoints = {name: self._endpoint(name) for name in self._slots}
        if self._exported is None or self._exported[0] != endpoints:  # a remade slot has another address
            self._exported = endpoints, exports.exports(endpoints, self._tenancy["env"], self._tenancy["fixed"])
        return dict(self._exported[1])

    @property
    def placeholders(self) -> dict[str, str]:
        """The values for the names in braces in the manifest's `start`."""
        return exports.placeholders({name: self._endpoint(name) for name in self._slots}, self.exports)

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for a process of the service: this process's, the lease's variables, coverage."""
        environ = settings.environ()
        measured = {"COVERAGE_PROCESS_START": rules} if (rules := environ.get("TESTBAY_COVERAGE")) else {}
        return environ | self.exports | measured

    def slot(self, name: str) -> Any:
        """The slot of a dependency, for a fixture that knows its type.

        Raises:
            EngineUnavailableError: The manifest does not need that dependency.
        """
        if name not in self._slots:
            raise not_needed(name, self._slots)
        return self._slots[name]

    @property
    def direct(self) -> "Lease":
        """This lease without proxies, for looking at it during a fault; the lease itself if it has none."""
        return self._direct or self

    @property
    def faults(self) -> Faults:
        """The faults on the connections to the lease's dependencies.

        Raises:
            ManifestError: It was taken without.
        """
        if self._faults is None:
            raise ManifestError(
                f"{self.name} has no proxies for faults",
                why="the suite's own `bay` took it without, or the test did not name `faults` as an argument",
                todo="take it with testbay.lease(faults=True), or name `faults` in the test's arguments",
            )
        return self._faults

    def _endpoint(self, name: str) -> Endpoint:
        endpoint: Endpoint = self.slot(name).endpoint
        return replace(endpoint, port=self.faults.of(name).port) if self._direct else endpoint

    def _reach(self, name: str) -> Reach:
        endpoint = self._endpoint(name)
        return Reach(
            name=name,
            url=ROOMS[name].url(endpoint),
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            password=endpoint.password,
            db=endpoint.db,
        )

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(self._slots)}>"

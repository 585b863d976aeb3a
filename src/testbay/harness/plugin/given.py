"""The objects behind the fixtures `testbay` and `nats`: leases, services and connections."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from testbay import settings
from testbay.harness.plugin.session import Leasing

if TYPE_CHECKING:
    from nats.aio.client import Client

    from testbay.harness.leases.lease import Lease
    from testbay.harness.plugin.launching import Ran
    from testbay.harness.service import Service


class Leases:
    """Takes leases for a scope of the caller's: `with testbay.lease() as bay:` in a fixture."""

    def __init__(self, leasing: Leasing) -> None:
        self._leasing = leasing

    def lease(self, holder: str = "", *, faults: bool = False) -> "AbstractContextManager[Lease]":
        """Take a lease for a `with` block.

        `holder` is the name in warnings; by default the running test's. With `faults` the lease is reached through
        proxies, for the fixture of that name.
        """
        holder = holder or settings.environ().get("PYTEST_CURRENT_TEST", "this scope")
        return self._leasing.take(holder, faults=faults)

    def service(
        self, lease: "Lease", *, start: str = "", ready: str = "", env: Mapping[str, str] | None = None
    ) -> "Service":
        """Prepare the service on a lease, without starting it; the caller closes it.

        There may be several on one lease. `start` and `ready` replace those of the manifest, for another program of the
        project; `env` adds variables.
        """
        return self._leasing.service(lease, start=start, ready=ready, env=env or {})

    def run(
        self, lease: "Lease", command: str, *, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> "Ran":
        """Run a command of the project on a lease, as the service is started; the result has `code` and `out`.

        Raises:
            subprocess.TimeoutExpired: It did not end in time; it has been killed.
        """
        return self._leasing.run(lease, command, env=env or {}, timeout_s=timeout_s)

    def watch(self, title: str, log: Path) -> None:
        """Show part of a log in every failing test: that of a process which the suite starts itself."""
        self._leasing.watch(title, log)


class Nats:
    """The `nats` fixture: opens connections to the lease's account."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connect(self, **options: Any) -> "AsyncIterator[Client]":
        """Open a nats-py client for a `with` block; `options` are those of `nats.connect`."""
        import nats as library

        address = urlsplit(self.url)
        server = f"nats://{address.netloc.rpartition('@')[2]}"
        client = await library.connect(server, **({"allow_reconnect": False} | _nats_login(address) | options))
        try:
            yield client
        finally:
            await client.close()


def _nats_login(address: SplitResult) -> dict[str, str]:
    """The login as options: nats-py does not unescape a login in an address."""
    user, password = unquote(address.username or ""), unquote(address.password or "")
    if address.password is None:
        return {"token": user} if user else {}
    return {"user": user, "password": password}

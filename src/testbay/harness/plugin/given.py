"""The values of the fixtures `testbay` and `nats`: leases, services and connections."""

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
    """Takes leases for a scope of your own; `with testbay.lease() as bay:` in a fixture."""

    def __init__(self, leasing: Leasing) -> None:
        self._leasing = leasing

    def lease(self, holder: str = "", *, faults: bool = False) -> "AbstractContextManager[Lease]":
        """A lease until the `with` block ends. `holder` is who a warning names; else the test that runs then.

        With `faults` it is reached through proxies: the fixture of that name can then break the way.
        """
        holder = holder or settings.environ().get("PYTEST_CURRENT_TEST", "this scope")
        return self._leasing.take(holder, faults=faults)

    def service(
        self, lease: "Lease", *, start: str = "", ready: str = "", env: Mapping[str, str] | None = None
    ) -> "Service":
        """The service on a lease, not yet started; `close` it. There may be several on one lease.

        `start` and `ready` stand in for those of the manifest, for another program of it; `env` adds variables.
        """
        return self._leasing.service(lease, start=start, ready=ready, env=env or {})

    def run(
        self, lease: "Lease", command: str, *, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> "Ran":
        """A command of the project on a lease, started as the service is: its exit `code`, and what it said, `out`.

        Raises:
            subprocess.TimeoutExpired: It did not end in time; it has been killed.
        """
        return self._leasing.run(lease, command, env=env or {}, timeout_s=timeout_s)

    def watch(self, title: str, log: Path) -> None:
        """Show every failing test its part of a log: that of a process which the suite starts by itself."""
        self._leasing.watch(title, log)


class Nats:
    """The `nats` fixture: opens connections to the lease's account."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connect(self, **options: Any) -> "AsyncIterator[Client]":
        """An open client of nats-py, closed with the block; `options` are those of `nats.connect`."""
        import nats as library

        address = urlsplit(self.url)
        server = f"nats://{address.netloc.rpartition('@')[2]}"
        client = await library.connect(server, **({"allow_reconnect": False} | _nats_login(address) | options))
        try:
            yield client
        finally:
            await client.close()


def _nats_login(address: SplitResult) -> dict[str, str]:
    """The login as options: nats-py does not unescape the login in an address."""
    user, password = unquote(address.username or ""), unquote(address.password or "")
    if address.password is None:
        return {"token": user} if user else {}
    return {"user": user, "password": password}

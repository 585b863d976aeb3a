"""Faults inside pytest: one proxy process for all tests of this process, healed whenever a test ends."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from testbay.errors import BayError

if TYPE_CHECKING:
    from testbay.harness.faults.inject import Faults, Proxies
    from testbay.harness.leases.lease import Lease
    from testbay.harness.leases.pool import Pool


class FaultProxies:
    """Puts proxies before leases. `seed` seeds the faults of every test; None chooses a seed for each."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._proxies: Proxies | None = None
        self._open: list[Faults] = []

    @contextmanager
    def between(self, leases: "Pool", lease: "Lease") -> "Iterator[Lease]":
        """Yield the lease reached through proxies; close them at the end.

        Raises:
            EngineUnavailableError: The proxy cannot be had.
        """
        from testbay.harness.faults.inject import Proxies, ProxyGoneError

        if self._proxies is None or not self._proxies.is_alive:
            self.close()
            self._proxies = Proxies(leases.home / "proxy.log", leases.own)
        seed = int.from_bytes(os.urandom(4)) if self._seed is None else self._seed
        through = leases.behind(lease, self._proxies, seed)
        self._open.append(through.faults)
        try:
            yield through
        finally:
            self._open.remove(through.faults)
            with suppress(ProxyGoneError):  # said already, at the test in which it went
                through.faults.close()

    def facts(self) -> list[str]:
        """A line with the current faults, for a test's report."""
        found = [words for faults in self._open for words in faults.on]
        return [f"faults: {', '.join(found)}"] if found else []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        """Heal before any fixture ends: the service, for one, must not wait for a frozen database."""
        failed = ""
        for faults in self._open:
            try:
                faults.heal()
            except BayError as error:
                failed = str(error)
        yield
        if failed:
            pytest.fail(failed, pytrace=False)

    def close(self) -> None:
        if self._proxies is not None:
            self._proxies.close()
            self._proxies = None

"""The launchers of the services under test inside pytest: one for each stack, and a line on why starts were cold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbay import settings
from testbay.harness import world

if TYPE_CHECKING:
    from testbay.harness.launch.launcher import Launcher
    from testbay.harness.leases.pool import Pool

_SAID = "testbay_cold_starts"  # in what a worker of xdist hands to its controller


class Launching:
    """Makes launchers, and ends them with the session."""

    def __init__(self) -> None:
        self._launchers: dict[Path, Launcher] = {}
        self._said: list[str] = []

    def of(self, pool: "Pool") -> "Launcher":
        """The launcher of the service that the stack is for."""
        from testbay.harness.launch.launcher import Launcher

        if pool.home not in self._launchers:
            cache_dir, log = settings.cache_dir(settings.environ()), pool.home / "preload.log"
            self._launchers[pool.home] = Launcher(pool.tenancy, cache_dir, log, pool.own)
        return self._launchers[pool.home]

    @world.really
    def begin(self, pool: "Pool") -> None:
        """Begin to load the service's libraries while the first lease is made, with variables as that will have."""
        from testbay.harness import service
        from testbay.harness.dependencies.endpoint import Endpoint
        from testbay.harness.stack import exports

        if not pool.tenancy["start"]:
            return
        endpoints = {name: Endpoint(**fields) for name, fields in pool.tenancy["endpoints"].items()}
        here = {name: value for name, value in settings.environ().items() if not name.startswith("PG")}
        env = {"PYTEST_CURRENT_TEST": "", "TESTBAY_MARK": pool.mark} | here
        env |= exports.exports(endpoints, pool.tenancy["env"], pool.tenancy["fixed"])
        env = service.with_path(service.environment(env))
        self.of(pool).begin(service.command(pool.tenancy, {"port": "0"}, env), env)

    def close(self) -> None:
        """End them; what they have to say is kept for the summary."""
        for launcher in self._launchers.values():
            if launcher.why_cold and launcher.cold_starts:
                self._said.append(f"{launcher.name} starts cold, as {launcher.why_cold}")
            launcher.close()
        self._launchers.clear()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker's lines go to its controller."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_SAID] = self._said

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Each worker has a launcher of its own, and most of them the same to say."""
        self._said += getattr(node, "workeroutput", {}).get(_SAID, [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Once, however often it was."""
        for line in dict.fromkeys(self._said):
            terminalreporter.write_line(f"testbay: {line}")

"""The launchers of the services under test, one per stack; the summary says why starts were cold."""

import signal
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from testbay import process, settings
from testbay.errors import ServiceEndedWarning
from testbay.harness import world

if TYPE_CHECKING:
    from testbay.harness.launch.launcher import Launcher
    from testbay.harness.leases.lease import Lease
    from testbay.harness.leases.pool import Pool
    from testbay.harness.service import Service

_SAID = "testbay_cold_starts"  # the key in an xdist worker's output


def is_known(home: Path) -> bool:
    """Return whether that stack's service was started in this environment before."""
    from testbay.harness.launch.learned import Learned
    from testbay.harness.stack import registry

    tenancy = registry.read(home).get("tenancy")
    if not tenancy or not tenancy["start"] or tenancy.get("preload") == "off":
        return False
    return Learned(settings.cache_dir(settings.environ()), tenancy).modules() is not None


class Ran(NamedTuple):
    """The result of one of the project's commands: exit code, negative for a signal, and output."""

    code: int
    out: str


class Launching:
    """Makes launchers and services, and ends them with the session."""

    def __init__(self) -> None:
        self._launchers: dict[Path, Launcher] = {}
        self._said: list[str] = []
        self._services: list[Service] = []
        self._begun: set[Path] = set()  # logs
        self._commands = 0

    def of(self, pool: "Pool") -> "Launcher":
        """The launcher of a stack's service."""
        from testbay.harness.launch.launcher import Launcher

        if pool.home not in self._launchers:
            cache_dir, log = settings.cache_dir(settings.environ()), pool.home / "preload.log"
            self._launchers[pool.home] = Launcher(pool.tenancy, cache_dir, log, pool.own)
        return self._launchers[pool.home]

    @world.really
    def begin(self, pool: "Pool") -> None:
        """Begin to load the service's libraries while the first lease is made, with the variables it will have."""
        from testbay.harness.dependencies.endpoint import Endpoint
        from testbay.harness.stack import exports

        if not pool.tenancy["start"]:
            return
        endpoints = {name: Endpoint(**fields) for name, fields in pool.tenancy["endpoints"].items()}
        here = {name: value for name, value in settings.environ().items() if not name.startswith("PG")}
        env = {"PYTEST_CURRENT_TEST": "", "TESTBAY_MARK": pool.mark, "PYTHONUNBUFFERED": "1"} | here
        self.of(pool).begin(env | exports.exports(endpoints, pool.tenancy["env"], pool.tenancy["fixed"]))

    @property
    def open(self) -> "list[Service]":
        """The services that are not closed."""
        self._services = [service for service in self._services if not service.closed]
        return self._services

    def service(self, pool: "Pool", lease: "Lease", *, start: str, ready: str, env: Mapping[str, str]) -> "Service":
        """Make the service. Its log lies in the stack's folder; `testbay run` copies it, masked, to its own logs."""
        from testbay.harness import service

        tenancy = pool.tenancy.copy()
        tenancy["start"], tenancy["ready"] = start or tenancy["start"], ready or tenancy["ready"]
        made = service.Service(
            tenancy,
            {**lease.env, **env},
            self._log(pool, _free(f"service-{lease.name}", {other.log.stem for other in self.open})),
            self.of(pool),
            settings.load().ready_timeout_s,
            values=lease.placeholders,
            name=_free(pool.tenancy["service"], {other.name for other in self.open}),
        )
        self._services.append(made)
        return made

    @staticmethod
    def end(service: "Service", node: pytest.Item) -> None:
        """End a test's service, and say so if it had crashed: its test may have passed all the same."""
        crash = service.crash()
        service.close()
        if crash:
            text = f"{crash} while this test ran; one that expects it calls service.stop(), which returns the exit code"
            if node.config.getoption("--testbay-strict"):
                pytest.fail(text, pytrace=False)
            node.warn(ServiceEndedWarning(text))

    @world.really
    def run(self, pool: "Pool", lease: "Lease", command: str, *, env: Mapping[str, str], timeout_s: float) -> "Ran":
        """Run a command to completion."""
        self._commands += 1
        log = self._log(pool, f"command-{lease.name}-{self._commands}")
        with log.open("ab") as output:
            started = self.of(pool).start(command, lease.placeholders, {**lease.env, **env}, output)
        try:
            code = started.wait(timeout_s)
        finally:
            process.end(process.in_session(started.pid), first=signal.SIGKILL)
        return Ran(code, log.read_text(encoding="utf-8", errors="replace"))

    def _log(self, pool: "Pool", name: str) -> Path:
        log = pool.home / f"{name}.log"
        if log not in self._begun:  # on a kept stack the last session's is still there
            log.unlink(missing_ok=True)
            self._begun.add(log)
        return log

    def close(self) -> None:
        """End the launchers; keep their remarks for the summary."""
        for launcher in self._launchers.values():
            if launcher.why_cold and launcher.cold_starts:
                self._said.append(f"{launcher.name} starts cold, as {launcher.why_cold}")
            launcher.close()
        self._launchers.clear()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand a worker's remarks to its controller."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_SAID] = self._said

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over a worker's remarks."""
        self._said += getattr(node, "workeroutput", {}).get(_SAID, [])

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print each remark once."""
        for line in dict.fromkeys(self._said):
            terminalreporter.write_line(f"testbay: {line}")


def _free(name: str, taken: AbstractSet[str]) -> str:
    """The name, with a number appended if it is taken."""
    return next(one for one in (name, *(f"{name}-{number}" for number in range(2, 1000))) if one not in taken)

"""Keeping the state of a failed test's leases, before any of it is torn down.

Nothing heavy is imported before a test has failed.
"""

import re
import secrets
import shlex
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbay import settings
from testbay.harness import world
from testbay.harness.plugin.evidence import add_sections
from testbay.harness.plugin.recorder import first_error_line
from testbay.harness.run import folder as runfolder
from testbay.harness.stack.logcopies import Copies

if TYPE_CHECKING:
    from testbay.harness.leases.lease import Lease
    from testbay.harness.leases.pool import Pool
    from testbay.harness.run.archiving import Subject

_LOG = " log"  # how the report's sections of logs end
_KEPT = pytest.StashKey[bool]()


class Keeping:
    """Keeps the state of the first failed tests of a run, and says in their reports where, or why it could not.

    Args:
        config: Has the number of tests; under xdist the controller tells its workers the run's id.
        pool: Returns this process's pool, which exists once there is a lease.
        held: The leases held at present, the newest last.
        mask: Masks secrets in a text.
    """

    def __init__(
        self, config: pytest.Config, pool: "Callable[[], Pool]", held: "Sequence[Lease]", mask: Callable[[str], str]
    ) -> None:
        self._limit: int = config.getoption("--testbay-keep")
        self._pool = pool
        self._held = held
        self._mask = mask
        told = getattr(config, "workerinput", {}).get("testbay_run")
        # Made without a look at the project: a green run leaves no folder.
        self._run = str(told or runfolder.run_id("pytest", secrets.token_hex(2)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell each worker the run's id under xdist."""
        node.workerinput["testbay_run"] = self._run

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # with the logs already in the report
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the state at the first failing phase."""
        report = yield
        if report.failed and self._held and self._limit > 0 and _KEPT not in item.stash:
            item.stash[_KEPT] = True
            self._keep(report)
        return report

    @world.really
    def _keep(self, report: pytest.TestReport) -> None:
        kept, stack = "", {}
        try:
            stack = self._stack()
            kept = self._kept(report)
            said = f"state kept: {kept}\ntestbay open {shlex.quote(report.nodeid)}"
            if not kept:
                more = f"--testbay-keep {4 * self._limit} keeps more"
                said = f"state not kept: {self._limit} tests failed before ({more})"
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own failure is the news
            said = f"state not kept: {' '.join(str(error).split())}"
        # Both go along with the report, also from a worker.
        vars(report).update(testbay_kept=kept, testbay_stack=stack)
        add_sections(report, {"state of the test": said}, self._mask)

    def _kept(self, report: pytest.TestReport) -> str:
        """Keep the state; return its folder relative to the project, empty if the limit was reached before."""
        from testbay.harness.run import archiving

        folder = archiving.claim(self._run_folder(), report.nodeid, self._limit)
        if folder is None:
            return ""
        about = self._about(report)
        for number, lease in reversed(list(enumerate(reversed(self._held), 1))):  # the newest is found first
            target = folder if number == 1 else folder.with_name(f"{folder.name}.{number}")
            parts_at = {name: lease.slot(name).endpoint for name in about.dependencies}
            archiving.keep(target, about, parts_at, _logs(report), self._mask)
        return str(folder.relative_to(folder.parents[4]))

    def _run_folder(self) -> Path:
        """Find the folder of `testbay run`; with plain pytest, make one when the first test fails."""
        if known := settings.environ().get("TESTBAY_RUN_DIR"):
            return Path(known)
        from testbay.harness.stack import registry

        return runfolder.make(Path(registry.read(self._pool().home)["project"]), self._run)

    def copied(self, log: Path) -> Path:
        """Name the copy of a stack's log that outlives the stack; `testbay run` copies logs itself."""
        folder = self._run_folder()
        target = folder / "logs" / log.name
        if "TESTBAY_RUN_DIR" not in settings.environ():
            copies = Copies(target.parent, self._mask)
            copies.add(log)
            copies.close()
        return target

    def _stack(self) -> dict[str, Any]:
        """The stack's facts for the record of a plain pytest; empty under `testbay run`, which records them itself."""
        if "TESTBAY_RUN_DIR" in settings.environ():
            return {}
        tenancy = self._pool().tenancy
        endpoints = [
            {name: value for name, value in at.items() if name != "password"} for at in tenancy["endpoints"].values()
        ]
        return {
            "folder": str(self._run_folder()),
            "service": tenancy["service"],
            "engine": tenancy["engine"],
            "engine_reason": tenancy["reason"],
            "dependencies": endpoints,
        }

    def _about(self, report: pytest.TestReport) -> "Subject":
        from testbay.harness.run.archiving import Subject

        tenancy = self._pool().tenancy
        return Subject(
            test=report.nodeid[:4096],
            error=first_error_line(report),
            service=tenancy["service"],
            engine=tenancy["engine"],
            dependencies={name: f"{at['title']} {at['version']}" for name, at in tenancy["endpoints"].items()},
        )


def _logs(report: pytest.TestReport) -> dict[str, str]:
    """Collect the logs of the service and the servers, cut to the test, as the report shows them."""
    ours = getattr(report, "testbay_sections", [])
    logs = [(title, text) for title, text in report.sections if title in ours and title.endswith(_LOG)]
    found = {title.removesuffix(_LOG): text for title, text in logs}
    return {name: text for name, text in found.items() if re.fullmatch(r"[a-z0-9_-]{1,60}", name)}

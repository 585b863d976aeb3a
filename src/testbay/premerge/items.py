"""Checks as pytest items, each against the service on its own lease. Loaded only on request."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbay import settings
from testbay.files import write_whole
from testbay.harness.plugin.given import Leases
from testbay.harness.plugin.session import or_fail
from testbay.manifest.checks import Check
from testbay.manifest.files import manifest_file
from testbay.manifest.load import load_manifest
from testbay.manifest.service import Manifest
from testbay.manifest.targets import Target
from testbay.production.checks import loop, runner
from testbay.production.checks.report import Report, Result

if TYPE_CHECKING:
    from pluggy import Result as Outcome

    from testbay.harness.faults.inject import Faults
    from testbay.harness.service import Service

_FOUND = pytest.StashKey[list[Result]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which `testbay check` loads this plugin."""
    group = parser.getgroup("testbay")
    group.addoption("--testbay-checks", metavar="FILE", help="where the report of the checks goes")
    group.addoption("--testbay-check", action="append", default=[], metavar="ID", help="only this check")


def pytest_configure(config: pytest.Config) -> None:
    items = CheckItems(Path(config.getoption("--testbay-checks")), config.getoption("--testbay-check"))
    config.pluginmanager.register(items, "testbay-checkitems")


@pytest.fixture(scope="session")
def shared_service(testbay: Leases) -> "Iterator[Service]":
    """One process of the service on one lease, for all checks that only read."""
    with testbay.lease("the checks that only read") as bay:
        process = or_fail(lambda: testbay.service(bay))
        or_fail(process.start)
        yield process
        process.close()


class CheckItems:
    """Makes items of the manifest's checks (those in `ids`, if it names any), and a report of their results."""

    def __init__(self, report: Path, ids: Sequence[str]) -> None:
        self._report = report
        self._ids = ids
        self._started = datetime.now(UTC)
        self._found: list[Result] = []

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> "CheckFile | None":
        if manifest_file(file_path.parent) != file_path:
            return None
        made: CheckFile = CheckFile.from_parent(parent, path=file_path)
        made.ids = self._ids
        return made

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, "Outcome[pytest.TestReport]", None]:
        """Attach the finding to pytest's own report, which a worker also sends to its controller."""
        outcome = yield
        found = [vars(result) for result in item.stash.get(_FOUND, [])]
        if outcome.get_result().when == "call":
            vars(outcome.get_result()).update(testbay_found=found)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a check's results; a check whose service did not start gets the verdict `error`."""
        found = getattr(report, "testbay_found", [])
        self._found += [Result(**facts) for facts in found]
        if report.failed and not found:
            said = str(report.longrepr).strip().partition("\n")[0]
            name = report.nodeid.rpartition("::")[2]
            self._found.append(Result(check=name, kind="service", verdict="error", said=said, attempts=0))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report, except in a worker, which leaves it to its controller."""
        if hasattr(session.config, "workerinput"):
            return
        report = Report(
            service=load_manifest(session.config.rootpath).service,
            phase="pre-merge",
            started=self._started.isoformat(timespec="milliseconds"),
            finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
            results=tuple(self._found),
        )
        write_whole(self._report, report.as_json())


class CheckFile(pytest.File):
    """A manifest, whose items are its checks."""

    ids: Sequence[str] = ()

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each check of this phase."""
        manifest = load_manifest(self.path.parent)
        for check in runner.chosen(manifest.check, "pre-merge", self.ids):
            once = check.model_copy(update={"attempts": 1})  # here nothing is far away: a second try would hide a fault
            call = _test_function(once, manifest)
            yield pytest.Function.from_parent(self, name=check.id, callobj=call)


def _judge(check: Check, manifest: Manifest, request: pytest.FixtureRequest, target: Target | None) -> None:
    """Ask a check, keep its results for the report, and fail unless it passes."""
    plan = runner.Plan(
        service=manifest.service,
        root=manifest.root,
        phase="pre-merge",
        checks=[check],
        target=target,
        environ=settings.environ(),
        secrets=tuple(manifest.secrets),
    )
    found = loop.run(runner.report(plan)).results
    request.node.stash[_FOUND] = list(found)
    wrong = [result for result in found if result.verdict not in ("pass", "skip")]
    if wrong:
        pytest.fail("\n".join(_lines(result) for result in wrong), pytrace=False)


def _test_function(check: Check, manifest: Manifest) -> Callable[..., None]:
    """The test function for a check, with the fixtures that its kind takes."""
    judge = partial(_judge, check, manifest)

    def on_service(service: "Service", request: pytest.FixtureRequest) -> None:
        judge(request, Target(base_url=service.url, writes=True))

    def reading(shared_service: "Service", request: pytest.FixtureRequest) -> None:
        judge(request, Target(base_url=shared_service.url))

    def without(faults: "Faults", service: "Service", request: pytest.FixtureRequest) -> None:
        with ExitStack() as cut:
            for dependency in check.without:
                cut.enter_context(faults.of(dependency).cut())
            judge(request, Target(base_url=service.url, writes=True))

    def alone(request: pytest.FixtureRequest) -> None:
        judge(request, None)

    if check.without:
        return without
    if check.kind not in runner.ASKS_TARGET:
        return alone
    return on_service if check.writes else reading


def _lines(result: Result) -> str:
    return "\n".join([f"{result.verdict}: {result.name}: {result.said}", *(f"    {line}" for line in result.evidence)])

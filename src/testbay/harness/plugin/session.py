"""The stacks of a pytest process: their pools, the leases that tests hold, and the services that run on them."""

import faulthandler
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from testbay import settings
from testbay.errors import BayError, DirtyLeaseWarning, unusable
from testbay.harness import plans, world
from testbay.harness.plugin import crashes, launching
from testbay.harness.plugin.evidence import Evidence, has_failed
from testbay.harness.plugin.faultproxies import FaultProxies
from testbay.harness.plugin.keeping import Keeping
from testbay.harness.plugin.launching import Launching
from testbay.logs import Log
from testbay.output import Voice, disarmed

if TYPE_CHECKING:
    from testbay.harness.leases.attach import Attachment
    from testbay.harness.leases.lease import Lease
    from testbay.harness.leases.pool import Pool
    from testbay.harness.plugin.launching import Ran
    from testbay.harness.service import Service

T = TypeVar("T")
_PLUGIN = "testbay.pytest_plugin"  # where our fixtures are
_REDIS = {"dragonfly", "redis", "valkey"}  # those of one client


class Leasing:
    """The process's leases: the pool is opened once a collected test is known to want one."""

    def __init__(self, config: pytest.Config) -> None:
        world.tests_run_here()
        self._config = config
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._attachments: dict[Path, Attachment | BayError] = {}
        self._places: dict[Path, Path] = {}
        self._asked_for: set[str] = set()  # every fixture that a test has
        self._now = config.rootpath  # the folder of the tests that run now
        self._held: list[Lease] = []
        self._refused = ""  # the test that runs now, if it is to have a lease in a fork
        self._logs: dict[str, Log] = {}
        self.fault_proxies = FaultProxies(config.getoption("--testbay-seed"))
        self.launching = Launching()
        self.evidence = Evidence(self, self.mask, crashes.own_file(self._worker, "notes"))
        self.keeping = Keeping(config, self.pool, self._held, self.mask)

    def pytest_sessionstart(self) -> None:
        """Begin to load a known service's libraries now, as that takes as long as collecting.

        Also prepare for a crash of this worker, which the controller reports.
        """
        self._stack = crashes.own_file(self._worker, "stack")
        if self._stack is not None:
            faulthandler.enable(self._stack)  # which has to stay open
        runs_tests = not self._config.option.collectonly and not self._config.pluginmanager.hasplugin("dsession")
        if runs_tests and (home := settings.environ().get("TESTBAY_STACK")) and launching.is_known(Path(home)):
            self._begin(with_service=True)

    def pytest_report_header(self) -> str | None:
        """Name the servers, if `testbay run` has started them already."""
        if not (home := settings.environ().get("TESTBAY_STACK")):
            return None
        from testbay.harness.stack import registry

        record = registry.read(Path(home))
        return f"testbay: {plans.servers(record['tenancy'])}" if "tenancy" in record else None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start what the tests will need, before any of them opens a session of its own."""
        if self._config.option.collectonly or not any(_wants_a_lease(item) for item in session.items):
            return
        self._asked_for = {name for item in session.items for name in getattr(item, "fixturenames", ())}
        for self._now in dict.fromkeys(item.path.parent for item in session.items if _wants_a_lease(item)):
            if self._where() not in self._attachments:
                self._begin(with_service="service" in self._asked_for)

    def _begin(self, *, with_service: bool) -> None:
        """Warm the stack of the tests in the current folder; on an error, the first test with a lease reports it."""
        try:
            self.pool().warm()
        except BayError:
            return
        if with_service:
            self.launching.begin(self.pool())
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._worker is None and "TESTBAY_STACK" not in settings.environ():
            reporter.write_line(f"testbay: {plans.servers(self.pool().tenancy)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Note the test's folder: in a workspace, a package can have a manifest, and so a stack, of its own."""
        self._now = item.path.parent
        forks = self._config.getoption("forked", default=False) or item.get_closest_marker("forked") is not None
        forks &= self._config.pluginmanager.hasplugin("pytest_forked")
        for attachment in self._open if forks else []:
            attachment.pool.settle()
        self._refused = item.nodeid if forks and _wants_a_lease(item) else ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say why a fork of pytest-forked has no lease: with some versions of pytest the test's own report is lost."""
        if report.nodeid == self._refused and report.failed and isinstance(report.longrepr, str):
            from testbay.harness.leases.pool import in_a_fork

            refusal = str(in_a_fork())
            report.longrepr += "" if refusal in report.longrepr else f"\n{refusal}"

    def _where(self) -> Path:
        """The folder of the current tests' manifest, else pytest's root, as always in `testbay run`."""
        if self._now not in self._places:
            self._places[self._now] = _nearest_manifest(self._now, self._config.rootpath)
        return self._places[self._now]

    def pool(self) -> "Pool":
        """The pool for the current tests, opened at the first call.

        Raises:
            BayError: No stack runs, and none can be started; the same one at each call.
        """
        where = self._where()
        if where not in self._attachments:
            self._attachments[where] = self._attach(where)
        found = self._attachments[where]
        if isinstance(found, BayError):
            raise found
        return found.pool

    @world.really
    def _attach(self, where: Path) -> "Attachment | BayError":
        from testbay.harness.leases import attach

        run = str(self._worker["testrunuid"]) if self._worker is not None else ""
        try:
            found = attach.attach(where, run, self._load_clients)
        except BayError as error:
            return error
        except OSError as error:  # a full disk
            return unusable(error)
        self._attachments[where] = found
        self.evidence.notice()  # earlier lines in a kept stack's logs belong to no test here
        return found

    def _load_clients(self) -> None:
        """Import the clients that the first test needs: it takes as long as starting the servers."""
        for name in ("psycopg", *(["redis"] if self._asked_for & _REDIS else [])):
            with suppress(Exception):  # told where it is needed
                import_module(name)

    def _attached(self) -> "Attachment | None":
        found = self._attachments.get(self._where())
        return None if isinstance(found, BayError) else found

    @property
    def _open(self) -> "list[Attachment]":
        return [found for found in self._attachments.values() if not isinstance(found, BayError)]

    @contextmanager
    def take(self, holder: str, node: pytest.Item | None = None, *, faults: bool = False) -> "Iterator[Lease]":
        """Take a lease for a block, with its variables in the environment."""
        pool = or_fail(self.pool)
        own = or_fail(pool.take)
        self._held.append(own)
        self.evidence.notice()
        try:
            with ExitStack() as way:
                lease = or_fail(lambda: self._behind_proxies(pool, own, way)) if faults else own
                # Variables of PG… would lead libpq, the service's too, somewhere else.
                way.enter_context(settings.exported({**lease.exports, "TESTBAY_MARK": pool.mark}, without="PG"))
                yield lease
        finally:
            self._held.remove(own)
            rerun = node is not None and has_failed(node) and self._config.getoption("--testbay-reruns") > 0
            left = pool.give_back(own, renew=rerun)
        if left:
            self._complain(f"{holder} left open: {'; '.join(left)}", node)

    @world.really
    def _behind_proxies(self, pool: "Pool", lease: "Lease", way: ExitStack) -> "Lease":
        return way.enter_context(self.fault_proxies.between(pool, lease))

    def service(self, lease: "Lease", *, start: str = "", ready: str = "", env: Mapping[str, str]) -> "Service":
        """Make the service on a lease, or another program of the project."""
        made = self.launching.service(self.pool(), lease, start=start, ready=ready, env=env)
        self.evidence.notice()
        return made

    def run(self, lease: "Lease", command: str, *, env: Mapping[str, str], timeout_s: float) -> "Ran":
        return self.launching.run(self.pool(), lease, command, env=env, timeout_s=timeout_s)

    def watch(self, title: str, log: Path) -> None:
        self._logs[title] = Log(log, tested=True)
        self.evidence.notice()

    def logs(self) -> dict[str, Log]:
        """Every log by title, the service's first."""
        attached = self._attached()
        if attached is None:
            return self._logs
        found = {service.name: Log(service.log, tested=True) for service in self.launching.open}
        return found | self._logs | attached.pool.logs(self._held)

    def facts(self) -> list[str]:
        """One line each on the services' condition, the faults, the servers and the migrations."""
        attached = self._attached()
        if attached is None:
            return []
        said = [service.condition() for service in self.launching.open]
        return [*said, *self.fault_proxies.facts(), *attached.pool.facts()]

    def root(self) -> Path:
        """The folder of the service's program, from which its files are named."""
        attached = self._attached()
        return Path.cwd() if attached is None else Path(attached.pool.tenancy["root"])

    def lasting(self, log: Path) -> str:
        """Name the file of a log that outlives the stack; as a relative path inside of the working folder."""
        attached = self._attached()
        if attached is not None and log.is_relative_to(attached.pool.home):
            log = self.keeping.copied(log)
        return str(log.relative_to(Path.cwd())) if log.is_relative_to(Path.cwd()) else str(log)

    def mask(self, text: str) -> str:
        """Mask the secrets of the manifests, and everything that GitHub's runner would interpret."""
        return masked(text, [name for attached in self._open for name in attached.pool.tenancy["secrets"]])

    def lags(self) -> bool:
        """Return whether logs are written with a delay: those of containers come through `docker logs`."""
        attached = self._attached()
        return attached is not None and attached.pool.tenancy["engine"] == "compose"

    def _complain(self, text: str, node: pytest.Item | None) -> None:
        if self._config.getoption("--testbay-strict"):
            pytest.fail(f"{text}\n(closed now; --testbay-strict makes it an error)", pytrace=False)
        if node is None:
            warnings.warn(DirtyLeaseWarning(text), stacklevel=2)
        else:
            node.warn(DirtyLeaseWarning(text))  # shown at the test, not at a line of ours

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Return the leases after the last fixture; an error is reported, and sets the exit code."""
        try:
            self.pytest_unconfigure()
        except BayError as error:
            Voice(sys.stderr).error(error)
            session.exitstatus = error.exit_code

    @world.really
    def pytest_unconfigure(self) -> None:
        """Return everything. The stack ends with its last user; under xdist the controller waits for that."""
        attachments = self._open
        self._attachments.clear()
        self.fault_proxies.close()
        self.launching.close()
        with ExitStack() as ends:  # each of them, also when one cannot be ended
            for attachment in attachments:
                ends.callback(attachment.close)
        if attachments:
            return
        if nodes := getattr(self._config.pluginmanager.get_plugin("dsession"), "nodemanager", None):
            from testbay.harness.leases import attach

            attach.await_end(str(nodes.testrunuid))


def masked(text: str, names: Iterable[str] = ()) -> str:
    """Mask these secrets and those of the run in a text, and everything that GitHub's runner would interpret."""
    environ = settings.environ()
    if environ.get("GITHUB_ACTIONS") == "true" and "TESTBAY_RUN_DIR" not in environ:  # there pytest is fenced in
        text = disarmed(text)
    named = environ.get("TESTBAY_SECRETS", "").split(",")  # under `testbay run` no process has to look them up
    named += names
    if not any(named):
        return text
    from testbay import masking

    values = masking.values_of(named, environ)
    return masking.masked(text, values) if values else text


def variables_of(root: Path) -> set[str] | None:
    """The variables that the project's manifests set; None if the tests belong to no project."""
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import find_project, service_folders

    try:
        folders = service_folders(find_project(root)).values()
    except BayError:
        return None
    named: set[str] = set()
    for folder in folders:
        with suppress(BayError):  # which `testbay run` tells
            named |= {name for name, value in load_manifest(folder).mapped.items() if value is not False}
    return named if folders else None


@world.really
def _nearest_manifest(folder: Path, root: Path) -> Path:
    if "TESTBAY_STACK" in settings.environ():
        return root
    from testbay.manifest.files import manifest_file

    ways = (folder, folder.resolve())  # tests may be linked from a package, or into one
    inside = (place for way in ways for place in (way, *way.parents) if root in place.parents)
    return next(filter(manifest_file, inside), root)


def _wants_a_lease(item: pytest.Item) -> bool:
    """Return whether a test uses our fixtures: a suite may have others of the same names."""
    info = getattr(item, "_fixtureinfo", None)
    known = info.name2fixturedefs if info is not None else {}
    behind = (definition for name in ("bay", "testbay") for definition in known.get(name, ()))
    return any(definition.func.__module__ == _PLUGIN for definition in behind)


def or_fail(call: Callable[[], T]) -> T:
    """Return the call's result; on an error of ours, fail the test with its message alone, without a traceback."""
    try:
        return call()
    except BayError as error:
        said = str(error)
    pytest.fail(said, pytrace=False)

"""testbay inside pytest: fixtures that lease a private slice of a stack for every test, and the record of a run.

Nothing heavy is imported, and nothing started, before a test asks for one of the fixtures.
"""

import fnmatch
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from testbay import failed, reruns, settings
from testbay.errors import BayError, DirtyLeaseWarning
from testbay.evidence import Evidence, has_failed
from testbay.healing import Healing
from testbay.logs import Log
from testbay.output import Voice
from testbay.recorder import JUnit, Recorder

if TYPE_CHECKING:
    import psycopg
    import redis
    from nats.aio.client import Client

    from testbay.attach import Attachment
    from testbay.faults import Faults
    from testbay.pool import Lease, Pool
    from testbay.service import Service

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a suite can ask for, and the option `testbay run` gives."""
    group = parser.getgroup("testbay")
    group.addoption(
        "--testbay-strict",
        action="store_true",
        help="fail a test that leaves a session, connection or subscriber of its lease open (default: warn)",
    )
    group.addoption("--testbay-reruns", type=int, default=0, metavar="N", help="run a failed test up to N times again")
    group.addoption(
        "--testbay-flaky",
        choices=reruns.POLICIES,
        default="report",
        help="whether a test that passed only when it was run again makes the run fail (default: report)",
    )
    group.addoption("--testbay-seed", type=int, metavar="NUMBER", help="what chance begins with in `faults`")
    group.addoption("--testbay-keep", type=int, default=5, metavar="N", help="keep the state of the first N that fail")
    group.addoption("--testbay-record", metavar="FILE", help="write what was planned and what ran, as JSON lines")
    group.addoption("--testbay-shard", metavar="FILE", help="run the part of the tests that this file asks for")


def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees every report: under xdist that is the controller."""
    leasing = Leasing(config)
    config.pluginmanager.register(leasing, "testbay-leasing")
    for name in ("evidence", "keeping", "healing"):
        config.pluginmanager.register(getattr(leasing, name), f"testbay-{name}")
    if times := config.getoption("--testbay-reruns"):
        config.pluginmanager.register(reruns.Reruns(times), "testbay-reruns")
    if shard := config.getoption("--testbay-shard"):
        from testbay.splitter import Splitter

        config.pluginmanager.register(Splitter(Path(shard)), "testbay-splitter")
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(reruns.Flaky(config.getoption("--testbay-flaky")), "testbay-flaky")
    if config.getoption("dist", "no") != "no":  # pytest-xdist's workers can crash and leave us to tell it
        from testbay.crashes import Crashes

        config.pluginmanager.register(Crashes(leasing.mask), "testbay-crashes")
    config.pluginmanager.register(JUnit(config), "testbay-junit")
    if target := config.getoption("--testbay-record"):
        config.pluginmanager.register(Recorder(Path(target), leasing.mask), "testbay-recorder")


class Leasing:
    """This process's pool of leases: opened once the collected tests are known to want one."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._attachment: Attachment | None = None
        self._error: BayError | None = None
        self._held: list[Lease] = []
        self._services: list[Service] = []
        self._logs: dict[str, Log] = {}
        self.healing = Healing(config.getoption("--testbay-seed"))
        notes = self._worker and Path(self._worker["testbay_notes"], f"{self._worker['workerid']}.json")
        self.evidence = Evidence(self, self.mask, notes or None)
        self.keeping = failed.Keeping(config, self.pool, self._held, self.mask)

    def pytest_sessionstart(self) -> None:
        """A worker's crash is told by its controller: leave it the stack."""
        if self._worker is not None:
            from testbay import crashes

            self._stack = crashes.keep_stack(Path(self._worker["testbay_notes"]), str(self._worker["workerid"]))

    def pytest_report_header(self) -> str | None:
        """Which servers, when `testbay run` has started them already."""
        if not (home := settings.environ().get("TESTBAY_STACK")):
            return None
        from testbay import pool, registry

        record = registry.read(Path(home))
        return f"testbay: {pool.servers(record['tenancy'])}" if "tenancy" in record else None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start what the tests will ask for, before any of them holds a session of its own."""
        if self._config.option.collectonly or not any(_wants_a_lease(item) for item in session.items):
            return
        try:
            self.pool().warm()
        except BayError:
            return  # whoever asks for a lease is told
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._worker is None and "TESTBAY_STACK" not in settings.environ():
            from testbay import pool

            reporter.write_line(f"testbay: {pool.servers(self.pool().tenancy)}")

    def pool(self) -> "Pool":
        """The pool, opened at the first call.

        Raises:
            BayError: There is no stack, and none can be started; the same one at each call.
        """
        if self._error is not None:
            raise self._error
        if self._attachment is None:
            from testbay import attach

            run = str(self._worker["testrunuid"]) if self._worker is not None else ""
            try:
                self._attachment = attach.attach(self._config.rootpath, run)
            except BayError as error:
                self._error = error
                raise
            self.evidence.notice()  # what a kept stack has logged so far is nobody's here
        return self._attachment.pool

    @contextmanager
    def take(self, holder: str, node: pytest.Item | None = None, *, faults: bool = False) -> "Iterator[Lease]":
        """A lease whose variables are in the environment while it is held."""
        own = _or_fail(lambda: self.pool().take())
        self._held.append(own)
        self.evidence.notice()
        try:
            with ExitStack() as way, pytest.MonkeyPatch.context() as environment:
                lease = _or_fail(lambda: way.enter_context(self.healing.between(self.pool(), own))) if faults else own
                for name, value in lease.exports.items():
                    environment.setenv(name, value)
                yield lease
        finally:
            self._held.remove(own)
            rerun = node is not None and has_failed(node) and self._config.getoption("--testbay-reruns") > 0
            left = self.pool().give_back(own, renew=rerun)
        if left:
            self._complain(f"{holder} left open: {'; '.join(left)}", node)

    def service(self, lease: "Lease") -> "Service":
        """Its log is with the run's other logs, or in the stack's folder and gone with it."""
        from testbay import service

        chosen = settings.load()
        run_dir = chosen.environ.get("TESTBAY_RUN_DIR")
        log = (Path(run_dir) / "logs" if run_dir else self.pool().home) / f"service-{lease.name}.log"
        made = service.Service(self.pool().tenancy, lease.env, log, self.pool().own, chosen.ready_timeout_s)
        self._services = [other for other in self._services if not other.closed] + [made]
        self.evidence.notice()
        return made

    def watch(self, title: str, log: Path) -> None:
        """Show a failing test its part of this log too."""
        self._logs[title] = Log(log)
        self.evidence.notice()

    def logs(self) -> dict[str, Log]:
        """The service's first: it is what is tested."""
        if self._attachment is None:
            return self._logs
        found = {service.name: Log(service.log) for service in self._services if not service.closed}
        return found | self._logs | self._attachment.pool.logs(self._held)

    def facts(self) -> list[str]:
        """Which servers, which migrations, and how the service is."""
        if self._attachment is None:
            return []
        said = [service.condition() for service in self._services if not service.closed]
        return [*said, *self.healing.facts(), *self._attachment.pool.facts()]

    def mask(self, text: str) -> str:
        """Without the values of the manifest's secrets."""
        environ = settings.environ()
        named = environ.get("TESTBAY_SECRETS", "").split(",")  # under `testbay run` no process has to look them up
        named += self._attachment.pool.tenancy["secrets"] if self._attachment is not None else []
        values = [environ[name] for pattern in named for name in fnmatch.filter(environ, pattern) if environ[name]]
        if not values:
            return text
        from testbay import masking

        return masking.masked(text, values)

    def lags(self) -> bool:
        """`docker logs` has to bring them."""
        return self._attachment is not None and self._attachment.pool.tenancy["engine"] == "compose"

    def _complain(self, text: str, node: pytest.Item | None) -> None:
        if self._config.getoption("--testbay-strict"):
            pytest.fail(f"{text}\n(closed now; --testbay-strict makes it an error)", pytrace=False)
        if node is None:
            warnings.warn(DirtyLeaseWarning(text), stacklevel=2)
        else:
            node.warn(DirtyLeaseWarning(text))  # shown at the test, not at a line of ours

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """After the last fixture: what cannot be ended is said, and is the exit code."""
        try:
            self.pytest_unconfigure()
        except BayError as error:
            Voice(sys.stderr).error(error)
            session.exitstatus = error.exit_code

    def pytest_unconfigure(self) -> None:
        """Give everything back; the stack ends with its last user. Under xdist the first process waits for that."""
        attachment, self._attachment = self._attachment, None
        self.healing.close()
        if attachment is not None:
            attachment.leave()
        elif nodes := getattr(self._config.pluginmanager.get_plugin("dsession"), "nodemanager", None):
            from testbay import attach

            attach.await_end(str(nodes.testrunuid))


def _wants_a_lease(item: pytest.Item) -> bool:
    """Whether one of our fixtures is behind what the test asks for; a suite may have its own of the same names."""
    info = getattr(item, "_fixtureinfo", None)
    behind = info.name2fixturedefs.get("testbay", ()) if info is not None else ()
    return any(definition.func.__module__ == __name__ for definition in behind)


def _or_fail(call: Callable[[], T]) -> T:
    """What it returns. An error of ours fails the test with its own words alone: pytest would add what led to it."""
    try:
        return call()
    except BayError as error:
        said = str(error)
    pytest.fail(said, pytrace=False)


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

    def service(self, lease: "Lease") -> "Service":
        """The service on a lease, not yet started; `close` it."""
        return self._leasing.service(lease)

    def watch(self, title: str, log: Path) -> None:
        """Show every failing test its part of a log: that of a process which the suite starts by itself."""
        self._leasing.watch(title, log)


class Nats:
    """What the `nats` fixture gives: how to connect to the lease's account."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connect(self, **options: Any) -> "AsyncIterator[Client]":
        """An open client of nats-py, closed with the block; `options` are those of `nats.connect`."""
        import nats as library

        client = await library.connect(self.url, **({"allow_reconnect": False} | options))
        try:
            yield client
        finally:
            await client.close()


@pytest.fixture(scope="session")
def testbay(request: pytest.FixtureRequest) -> Leases:
    """Leases for a wider scope than a test: override `bay` with one.

    Example:
        @pytest.fixture(scope="module")
        def bay(testbay):
            with testbay.lease() as bay:
                yield bay
    """
    return Leases(request.config.pluginmanager.get_plugin("testbay-leasing"))  # type: ignore[arg-type]


@pytest.fixture
def bay(testbay: Leases, request: pytest.FixtureRequest) -> "Iterator[Lease]":
    """The test's lease: bay.postgres.dsn, bay.dragonfly.url, bay.nats.url; bay.env starts any process on it.

    DATABASE_URL and the like are set in this process too, while the test runs.

    Example:
        subprocess.run(["psql", bay.postgres.dsn, "-c", "SELECT 1"], env=bay.env, check=True)
    """
    faults = "faults" in request.fixturenames
    with testbay._leasing.take(request.node.nodeid, request.node, faults=faults) as lease:  # noqa: SLF001 - ours
        yield lease


@pytest.fixture
def postgres(bay: "Lease") -> "Iterator[psycopg.Connection[Any]]":
    """An open psycopg connection, in autocommit, to the test's own migrated database.

    Example:
        postgres.execute("INSERT INTO items (name) VALUES ('tea')")
    """
    database = _or_fail(lambda: bay.slot("postgres"))
    if bay.direct is not bay:
        import psycopg

        with closing(psycopg.connect(bay.postgres.dsn, autocommit=True)) as connection:
            yield connection
        return
    yield database.connection()
    database.end_lending()


@pytest.fixture
def dragonfly(bay: "Lease") -> "Iterator[redis.Redis]":
    """A redis-py client on the test's own, empty keyspace.

    Example:
        dragonfly.set("key", "value")
    """
    import redis

    from testbay.dependencies.dragonfly_lease import connections

    with redis.Redis(connection_pool=connections(_or_fail(lambda: bay.dragonfly).url)) as client:
        yield client
        client.connection_pool.disconnect()


@pytest.fixture
def nats(bay: "Lease") -> Nats:
    """How to reach the test's own NATS account, which has the manifest's streams.

    Example:
        async with nats.connect() as client:
            await client.jetstream().publish("orders.new", b"1")
    """
    return Nats(_or_fail(lambda: bay.nats.url))


@pytest.fixture
def service(bay: "Lease", testbay: Leases) -> "Iterator[Service]":
    """The service's own process on the test's lease, started as the manifest says and answering.

    Example:
        assert service.client.get("/health").status_code == 200
        service.restart()
        assert "GET /health" in service.logs
    """
    process = _or_fail(lambda: testbay.service(bay))
    _or_fail(process.start)
    yield process
    process.close()


@pytest.fixture
def faults(bay: "Lease", request: pytest.FixtureRequest) -> "Faults":
    """What breaks the way to the test's dependencies, for its clients and for the service; healed when the test ends.

    Example:
        with faults.nats.cut():
            ...  # every connection broke, and new ones are refused
        faults.postgres.latency(ms=200, jitter_ms=50)
        faults.heal()
    """
    found = _or_fail(lambda: bay.faults)
    seed = f"{found.seed} (the same delays again: --testbay-seed {found.seed})"
    request.node.add_report_section("setup", "faults.seed", seed)
    return found

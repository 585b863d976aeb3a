"""testbay inside pytest: fixtures that lease a private slice of a stack for every test, and the record of a run.

Nothing heavy is imported, and nothing started, before a test asks for one of the fixtures.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbay import settings
from testbay.harness.plugin import hanging, hints, imports, reruns
from testbay.harness.plugin.asynchronous import Asyncpg, AsyncPostgres, AsyncRedis
from testbay.harness.plugin.evidence import Causes
from testbay.harness.plugin.given import Leases, Nats
from testbay.harness.plugin.plainsession import PlainSession
from testbay.harness.plugin.recorder import Deselected, JUnit, Recorder
from testbay.harness.plugin.session import Leasing, masked, or_fail, variables_of

if TYPE_CHECKING:
    import psycopg
    from redis import Redis

    from testbay.harness.faults.inject import Faults
    from testbay.harness.leases.lease import Lease
    from testbay.harness.service import Service


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add a suite's settings, and the option of `testbay run`; it is the first hook, before most of us is loaded."""
    imports.begin()
    group = parser.getgroup("testbay")
    group.addoption(
        "--testbay-strict",
        action="store_true",
        help="fail a test that leaves a session, connection or subscriber of its lease open (default: warn)",
    )
    group.addoption("--testbay-reruns", type=int, default=0, metavar="N", help="rerun a failed test up to N times")
    group.addoption(
        "--testbay-flaky",
        choices=reruns.POLICIES,
        default="report",
        help="whether a test that passed only on a rerun fails the run (default: report)",
    )
    group.addoption("--testbay-seed", type=int, metavar="NUMBER", help="the random seed of `faults`")
    group.addoption(
        "--testbay-keep", type=int, default=5, metavar="N", help="keep the state of the first N failed tests"
    )
    group.addoption("--testbay-record", metavar="FILE", help="write planned tests and results as JSON lines")
    group.addoption("--testbay-suite", metavar="FILE", help="complete the suite's own settings from this file")
    group.addoption("--testbay-order", metavar="FILE", help="run slow test files first, by the durations in this file")
    group.addoption("--testbay-shard", metavar="FILE", help="run the shard of the tests that this file describes")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Complete the arguments under `testbay run`: also those of xdist's workers, which begin with the caller's."""
    if early_config.known_args_namespace.testbay_suite:
        from testbay.harness.plugin import completing

        completing.complete(early_config, parser, args, worker="PYTEST_XDIST_WORKER" in settings.environ())
    if order := early_config.known_args_namespace.testbay_order:
        from testbay.harness.plugin.ordering import SlowestFirst

        steals = getattr(early_config.known_args_namespace, "dist", "no") == "worksteal"  # later a worker reads "no"
        early_config.pluginmanager.register(SlowestFirst(Path(order), steals=steals), "testbay-order")
    target = early_config.known_args_namespace.testbay_record
    record = Recorder(Path(target), masked) if target else None
    if record:  # another plugin may end pytest before ours is configured
        early_config.pluginmanager.register(record, "testbay-early")
    try:
        yield
    except Exception as error:  # settings of Django's, or a conftest, that want a variable of ours
        cause = getattr(error, "cause", error)
        hints.Hints(lambda: variables_of(early_config.rootpath)).note(cause)
        if record:
            place = getattr(error, "path", None)
            record.never_began(os.path.relpath(place, early_config.rootpath) if place else "pytest", cause)
        cause.args = tuple(masked(arg) if isinstance(arg, str) else arg for arg in cause.args)  # pytest prints it
        raise
    # All options are known by now; pytest calls no hook when it then refuses others, as of a plugin that is missing.
    if record and (unknown := parser.parse_known_and_unknown_args(args)[1]):
        told = f"unrecognized arguments: {' '.join(unknown)}"
        record.refused("pytest", told, told)


def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees every report: under xdist that is the controller."""
    config.add_cleanup(imports.end)
    if early := config.pluginmanager.get_plugin("testbay-early"):
        config.pluginmanager.unregister(early)
    leasing = Leasing(config)
    config.pluginmanager.register(leasing, "testbay-leasing")
    config.pluginmanager.register(hints.Hints(lambda: variables_of(config.rootpath)), "testbay-hints")
    for name in ("evidence", "keeping", "fault_proxies", "launching"):
        config.pluginmanager.register(getattr(leasing, name), f"testbay-{name}")
    if named := settings.environ().get("TESTBAY_SECRETS"):
        from testbay.harness.plugin.names import NamesWithoutSecrets
        from testbay.masking import values_of

        secrets = values_of(named.split(","), settings.environ())
        config.pluginmanager.register(NamesWithoutSecrets(secrets), "testbay-names")
    if times := config.getoption("--testbay-reruns"):
        config.pluginmanager.register(reruns.Reruns(times), "testbay-reruns")
    if shard := config.getoption("--testbay-shard"):
        from testbay.harness.plugin.splitter import Splitter

        config.pluginmanager.register(Splitter(Path(shard)), "testbay-splitter")
    if order := config.pluginmanager.get_plugin("testbay-order"):  # comes last again: it deals what others left
        config.pluginmanager.unregister(order)
        config.pluginmanager.register(order, "testbay-order")
    config.pluginmanager.register(Deselected(), "testbay-deselected")
    config.pluginmanager.register(hanging.Hanging(config), "testbay-hanging")
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(reruns.Flaky(config.getoption("--testbay-flaky")), "testbay-flaky")
    if config.getoption("dist", "no") != "no":  # pytest-xdist's workers can crash and leave us to tell it
        from testbay.harness.plugin.crashes import Crashes
        from testbay.harness.plugin.garbage import SkippedInController

        config.pluginmanager.register(SkippedInController(), "testbay-controller")
        config.pluginmanager.register(Crashes(leasing.mask), "testbay-crashes")
    config.pluginmanager.register(JUnit(config), "testbay-junit")
    if target := config.getoption("--testbay-record"):
        config.pluginmanager.register(Recorder(Path(target), leasing.mask), "testbay-recorder")
    else:
        config.pluginmanager.register(PlainSession(config.rootpath, leasing.mask), "testbay-recorder")
        config.pluginmanager.register(Causes(), "testbay-causes")  # `testbay run` closes with them


@pytest.fixture(scope="session")
def testbay(request: pytest.FixtureRequest) -> Leases:
    """Leases for a wider scope than a test: override `bay` with one.

    Example:
        @pytest.fixture(scope="module")
        def bay(testbay):
            with testbay.lease() as bay:
                yield bay
    """
    return Leases(_leasing(request))


def _leasing(request: pytest.FixtureRequest) -> Leasing:
    found = request.config.pluginmanager.get_plugin("testbay-leasing")
    if not isinstance(found, Leasing):
        pytest.fail("testbay is switched off by `-p no:testbay`, in `addopts` for example: take it out", pytrace=False)
    return found


@pytest.fixture
def bay(request: pytest.FixtureRequest) -> "Iterator[Lease]":
    """The test's lease: bay.postgres.dsn, bay.dragonfly.url, bay.nats.url; bay.env starts any process on it.

    DATABASE_URL and the like are set in this process too, while the test runs.

    Example:
        subprocess.run(["psql", bay.postgres.dsn, "-c", "SELECT 1"], env=bay.env, check=True)
    """
    faults = "faults" in request.fixturenames
    with _leasing(request).take(request.node.nodeid, request.node, faults=faults) as lease:
        yield lease


@pytest.fixture
def postgres(bay: "Lease") -> "Iterator[psycopg.Connection[Any]]":
    """An open psycopg connection, in autocommit, to the test's own migrated database.

    Example:
        postgres.execute("INSERT INTO items (name) VALUES ('tea')")
    """
    database = or_fail(lambda: bay.slot("postgres"))
    if bay.direct is not bay:
        import psycopg

        with settings.without("PG"):  # what a developer has set for another database
            connection = psycopg.connect(bay.postgres.dsn, autocommit=True)
        with closing(connection):
            yield connection
        return
    yield database.connection()
    database.end_lending()


@pytest.fixture
def dragonfly(bay: "Lease") -> "Iterator[Redis]":
    """A redis-py client on the test's own, empty keyspace.

    Example:
        dragonfly.set("key", "value")
    """
    from testbay.harness.dependencies.dragonfly import slots

    with slots.client(or_fail(lambda: bay.dragonfly).url) as client:
        yield client
        client.connection_pool.disconnect()


@pytest.fixture
def redis(dragonfly: "Redis") -> "Redis":
    """The fixture `dragonfly`, by the name of its client.

    Example:
        redis.set("key", "value")
    """
    return dragonfly


@pytest.fixture
def valkey(dragonfly: "Redis") -> "Redis":
    """The fixture `dragonfly`, by the name of that server.

    Example:
        valkey.set("key", "value")
    """
    return dragonfly


@pytest.fixture
def postgres_async(bay: "Lease") -> AsyncPostgres:
    """Access for a coroutine to the test's own migrated database; with pytest-asyncio, anyio or a loop of its own.

    Example:
        async with postgres_async.connect() as connection:
            await connection.execute("INSERT INTO items (name) VALUES ('tea')")
    """
    return AsyncPostgres(or_fail(lambda: bay.postgres.dsn))


@pytest.fixture
def postgres_asyncpg(bay: "Lease") -> Asyncpg:
    """Access for asyncpg to the test's own migrated database, where asyncpg is installed.

    Example:
        async with postgres_asyncpg.connect() as connection:
            assert await connection.fetchval("SELECT count(*) FROM items") == 0
    """
    return or_fail(lambda: Asyncpg(bay.postgres.dsn))


@pytest.fixture
def dragonfly_async(bay: "Lease") -> AsyncRedis:
    """Access for a coroutine to the test's own, empty keyspace.

    Example:
        async with dragonfly_async.connect() as client:
            await client.set("key", "value")
    """
    return AsyncRedis(or_fail(lambda: bay.dragonfly.url))


@pytest.fixture
def redis_async(dragonfly_async: AsyncRedis) -> AsyncRedis:
    """The fixture `dragonfly_async`, by the name of its client.

    Example:
        async with redis_async.connect() as client:
            await client.set("key", "value")
    """
    return dragonfly_async


@pytest.fixture
def nats(bay: "Lease") -> Nats:
    """Access to the test's own NATS account, which has the manifest's streams.

    Example:
        async with nats.connect() as client:
            await client.jetstream().publish("orders.new", b"1")
    """
    return Nats(or_fail(lambda: bay.nats.url))


@pytest.fixture
def service(bay: "Lease", testbay: Leases, request: pytest.FixtureRequest) -> "Service":
    """The service's own process on the test's lease, started as the manifest says and answering.

    Example:
        assert service.client.get("/health").status_code == 200
        service.restart()
        assert "GET /health" in service.logs
    """
    process = or_fail(lambda: testbay.service(bay))
    request.addfinalizer(lambda: _leasing(request).launching.end(process, request.node))  # noqa: PT021 - also one that does not start, once that has been told
    or_fail(process.start)
    return process


@pytest.fixture
def faults(bay: "Lease", request: pytest.FixtureRequest) -> "Faults":
    """Faults on the way to the test's dependencies, for its clients and for the service; healed when the test ends.

    Example:
        with faults.nats.cut():
            ...  # every connection broke, and new ones are refused
        faults.postgres.latency(ms=200, jitter_ms=50)
        faults.heal()
    """
    found = or_fail(lambda: bay.faults)
    seed = f"{found.seed} (the same delays again: --testbay-seed {found.seed})"
    request.node.add_report_section("setup", "faults.seed", seed)
    return found

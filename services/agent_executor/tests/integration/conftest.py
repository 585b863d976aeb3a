"""One service process for the session, proxies between it and its dependencies, and clients for the tests."""

import sys
from collections.abc import Callable, Generator, Iterator
from signal import SIGTERM
from typing import TYPE_CHECKING, Any

import pytest
from harness import contract
from harness.background import Background
from harness.process import end, new_log, spawn
from harness.proxy import Proxy
from harness.service import Service, free_port

if TYPE_CHECKING:
    # Imported by the fixtures that need them: the service's process is started before the slow ones are loaded.
    import httpx
    import psycopg
    import redis
    from harness.bus import Bus
    from harness.progress import Progress

RUNNING = pytest.StashKey["Running"]()
LOG_START = pytest.StashKey[int]()
LOG_LINES = 60


class Running:
    """Everything that lives as long as the session. The service is started here, while tests are still collected."""

    def __init__(self, given: contract.Contract) -> None:
        self.given = given
        self.background = Background()
        targets = {"postgres": given.database_url, "dragonfly": given.redis_url, "nats": given.nats_url}
        self.proxies = {name: Proxy(self.background, contract.address(url)) for name, url in targets.items()}
        self._replay = None
        self._replay_log = new_log()
        base_url = given.openai_base_url
        if given.is_live:
            # Only one test asks the real model; what the others promise needs answers that are always the same.
            port = free_port()
            argv = [sys.executable, "tests/replay_server.py", "--port", str(port)]
            self._replay = spawn(argv, cwd=contract.SERVICE_FOLDER, env={}, log=self._replay_log)
            base_url = f"http://127.0.0.1:{port}/v1"
        env = {
            **contract.QUICK,
            "DATABASE_URL": contract.with_port(given.database_url, self.proxies["postgres"].port),
            "REDIS_URL": contract.with_port(given.redis_url, self.proxies["dragonfly"].port),
            "NATS_URL": contract.with_port(given.nats_url, self.proxies["nats"].port),
            "OPENAI_BASE_URL": base_url or "",
            "OPENAI_API_KEY": "",
        }
        self.service = Service(env)
        self.service.start()
        self.was_healthy = False
        self.has_spare = False
        self._is_closed = False

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.service.close()
        if self._replay is not None:
            end(self._replay, SIGTERM)
        for proxy in self.proxies.values():
            proxy.cut()
        self.background.close()
        self._replay_log.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Importing the service takes its process seconds; collecting the tests takes ours the same time."""
    if not session.config.option.collectonly:
        session.stash[RUNNING] = Running(contract.read())


def _replaces_the_service(item: pytest.Item) -> bool:
    return "replaced_service" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a second process come last: by then it has loaded its libraries beside the others."""
    items.sort(key=_replaces_the_service)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what the session started, whether a test ran or not."""
    if running := session.stash.get(RUNNING, None):
        running.close()
        running.service.forget_log()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember where the service's log was when the test began; once the first process is up, load a second one."""
    running = item.session.stash[RUNNING]
    item.stash[LOG_START] = running.service.log_size()
    if running.was_healthy and not running.has_spare and any(map(_replaces_the_service, item.session.items)):
        running.has_spare = True
        running.service.prepare_spare()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the service logged during a failing test."""
    report = yield
    if report.failed:
        service = item.session.stash[RUNNING].service
        lines = service.logs(item.stash[LOG_START]).splitlines()[-LOG_LINES:]
        report.sections.append((f"agent_executor's log (last {LOG_LINES} lines of this test)", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Closed with the last test, not with the session: pytest-cov collects the service's data in between."""
    yield request.session.stash[RUNNING]
    request.session.stash[RUNNING].close()


@pytest.fixture
def service(running: Running) -> Service:
    """The service, healthy, started if an earlier test ended it."""
    if running.service.start() or not running.was_healthy:
        running.service.wait_until_healthy()
        running.was_healthy = True
    return running.service


@pytest.fixture
def replaced_service(service: Service) -> Service:
    """The service, for a test that ends its process and starts the next: that one is kept ready."""
    return service


@pytest.fixture
def cut(running: Running) -> Iterator[Callable[[str], Proxy]]:
    """Cut the service off a dependency by name; the answer is what heals it. All are healed when the test ends."""

    def one(name: str) -> Proxy:
        running.proxies[name].cut()
        return running.proxies[name]

    yield one
    for proxy in running.proxies.values():
        proxy.heal()
    running.was_healthy = False


@pytest.fixture(scope="session")
def bus(running: Running) -> "Iterator[Bus]":
    from harness.bus import Bus

    client = Bus(running.background, running.given.nats_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def database(running: Running) -> "Iterator[psycopg.Connection[dict[str, Any]]]":
    """A connection to PostgreSQL itself, in autocommit."""
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(running.given.database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="session")
def dragonfly(running: Running) -> "Iterator[redis.Redis]":
    import redis

    with redis.Redis.from_url(running.given.redis_url) as client:
        yield client


@pytest.fixture
def follow(dragonfly: "redis.Redis") -> "Iterator[Callable[[str], Progress]]":
    """Subscribe to a job's progress."""
    from harness.progress import Progress

    opened: list[Progress] = []

    def one(job_id: str) -> Progress:
        opened.append(Progress(dragonfly, job_id))
        return opened[-1]

    yield one
    for progress in opened:
        progress.close()


@pytest.fixture(scope="session")
def session_client(running: Running) -> "Iterator[httpx.Client]":
    import httpx

    with httpx.Client(base_url=running.service.url, timeout=10) as client:
        yield client


@pytest.fixture
def client(service: Service, session_client: "httpx.Client") -> "httpx.Client":
    """HTTP to a service that is up."""
    return session_client


@pytest.fixture
def live_service(running: Running, service: Service) -> Iterator[Service]:
    """The service with the model of this run: the real one when there is a key, else the replay server."""
    if not running.given.is_live:
        yield service
        return
    usual = service.env
    service.drop_spare()
    service.stop()
    service.env = {**usual, "OPENAI_BASE_URL": "", **running.given.live_model()}
    service.start()
    service.wait_until_healthy()
    yield service
    service.stop()
    service.env = usual
    running.was_healthy = False

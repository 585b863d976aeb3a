"""One service process for each pytest process, on a lease of its own, and clients for the tests."""

import sys
from collections.abc import Callable, Iterator
from signal import SIGTERM
from typing import TYPE_CHECKING, Any

import pytest
from harness import environment
from harness.background import Background
from harness.process import end, new_log, spawn
from harness.service import Service, free_port

if TYPE_CHECKING:
    # Imported by the fixtures that need them: the service's process is started before the slow ones are loaded.
    import httpx
    import psycopg
    import redis
    from harness.bus import Bus
    from harness.progress import Progress

    from testbay.fixtures import Faults, Lease, Leases

SERVICE = pytest.StashKey[Service]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Loading its libraries takes the service's process seconds; collecting the tests takes ours the same time.

    Nothing is known of its dependencies yet: it is told them when it starts. pytest-xdist's controller runs no tests.
    """
    if not session.config.option.collectonly and not session.config.pluginmanager.hasplugin("dsession"):
        session.stash[SERVICE] = Service()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what the session started, whether a test ran or not."""
    if service := session.stash.get(SERVICE, None):
        service.close()
        service.forget_log()


class Running:
    """Everything that lives on the lease: the service, and a model's stand-in if need be."""

    def __init__(self, lease: "Lease", service: Service) -> None:
        self.background = Background()
        self.live_model = environment.live_model(lease.env)
        self._replay = None
        self._replay_log = new_log()
        base_url = lease.env.get("OPENAI_BASE_URL", "")
        if self.live_model:
            # Only one test asks the real model; what the others promise needs answers that are always the same.
            port = free_port()
            argv = [sys.executable, "tests/replay_server.py", "--port", str(port)]
            self._replay = spawn(argv, cwd=environment.SERVICE_FOLDER, env={}, log=self._replay_log)
            base_url = f"http://127.0.0.1:{port}/v1"
        self.service = service
        self.service.env = {
            **lease.exports,
            **environment.QUICK,
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": "",
        }
        self.was_healthy = False

    def close(self) -> None:
        self.service.close()
        if self._replay is not None:
            end(self._replay, SIGTERM)
        self.background.close()
        self._replay_log.close()


@pytest.fixture(scope="session")
def service_bay(testbay: "Leases") -> "Iterator[Lease]":
    """One lease for the whole process, as its one service is: a start of it for every test would take each a second."""
    with testbay.lease("agent_executor's tests", faults=True) as lease:
        yield lease


@pytest.fixture(scope="session")
def bay(service_bay: "Lease") -> "Lease":
    """The same for the tests themselves, which look on while the service is cut off."""
    return service_bay.direct


@pytest.fixture(scope="session")
def running(service_bay: "Lease", request: pytest.FixtureRequest) -> Iterator[Running]:
    """Closed with the last test, not with the session: pytest-cov collects the service's data in between."""
    running = Running(service_bay, request.session.stash[SERVICE])
    yield running
    running.close()


@pytest.fixture
def service(running: Running) -> Service:
    """The service, healthy, started if it is the first test's or an earlier test ended it."""
    if running.service.start() or not running.was_healthy:
        running.service.wait_until_healthy()
        running.was_healthy = True
    return running.service


@pytest.fixture
def killed_service(running: Running, request: pytest.FixtureRequest) -> Service:
    """The service, for a test that kills it: a new process, as with it goes what coverage measured in it."""
    running.service.stop()
    fresh: Service = request.getfixturevalue("service")
    return fresh


@pytest.fixture
def faults(faults: "Faults", running: Running) -> "Iterator[Faults]":
    """What breaks the service's way to its dependencies; the next test waits until it has recovered."""
    yield faults
    running.was_healthy = False


@pytest.fixture(scope="session")
def bus(bay: "Lease", running: Running) -> "Iterator[Bus]":
    from harness.bus import Bus

    client = Bus(running.background, bay.nats.url)
    yield client
    client.close()


@pytest.fixture
def database(postgres: "psycopg.Connection[Any]") -> "psycopg.Connection[dict[str, Any]]":
    """A connection to PostgreSQL itself, in autocommit, whose rows have names."""
    from psycopg.rows import dict_row

    postgres.row_factory = dict_row
    return postgres


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
    if not running.live_model:
        yield service
        return
    usual = service.env
    service.stop()
    service.env = {**usual, "OPENAI_BASE_URL": "", **running.live_model}
    service.start()
    service.wait_until_healthy()
    yield service
    service.stop()
    service.env = usual
    running.was_healthy = False

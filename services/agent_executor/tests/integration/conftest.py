"""One service process for each pytest process, on a lease of its own, and clients for the tests."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from harness import environment
from harness.background import Background
from harness.waiting import eventually

if TYPE_CHECKING:
    # Imported by the fixtures that need them: what the first test does not use is not loaded before it.
    import httpx
    import psycopg
    import redis
    from harness.bus import Bus
    from harness.progress import Progress

    from testbay.fixtures import Lease, Leases, Service

WAITING = ("test_crash", "test_outages", "test_shutdown", "test_once")


def pytest_sessionstart() -> None:
    """End coverage's watch over the tests themselves, which doubles their time: the service runs in its own process."""
    sys.settrace(None)
    threading.settrace(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that mostly wait, while other services that are tested beside this one load and compute."""
    items.sort(key=lambda item: item.path.stem not in WAITING)


def pytest_sessionfinish() -> None:
    """Hold what the above relies on."""
    assert "agent_executor" not in sys.modules, "the tests load the service: its lines count only if they are watched"


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.close()


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
def live_model(service_bay: "Lease") -> dict[str, str]:
    """The real model's variables, where there is a key."""
    return environment.live_model(service_bay.env)


@pytest.fixture(scope="session")
def model_url(testbay: "Leases", service_bay: "Lease", live_model: dict[str, str]) -> Iterator[str]:
    """The replay server: that of the run, else one of our own.

    Only one test asks the real model; what the others promise needs answers that are always the same.
    """
    if not live_model:
        yield service_bay.env.get("OPENAI_BASE_URL", "")
        return
    replay = testbay.service(service_bay, start=environment.REPLAY, ready="/health")
    replay.start()
    yield f"{replay.url}/v1"
    replay.close()


@pytest.fixture(scope="session")
def shared_service(testbay: "Leases", service_bay: "Lease", model_url: str) -> "Iterator[Service]":
    """Closed with the last test, not with the session: pytest-cov collects the service's data in between."""
    told = {**environment.QUICK, "OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": ""}
    service = testbay.service(service_bay, env=told)
    yield service
    service.close()


@pytest.fixture
def service(shared_service: "Service", session_client: "httpx.Client") -> "Service":
    """The service, healthy: started if an earlier test ended it, recovered if one cut it off."""
    shared_service.start()
    eventually(lambda: session_client.get("/api/health").json()["status"] == "healthy", "the service to be healthy")
    return shared_service


@pytest.fixture
def killed_service(shared_service: "Service", request: pytest.FixtureRequest) -> "Service":
    """The service, for a test that kills it: a new process, as with it goes what coverage measured in it."""
    shared_service.stop()
    fresh: Service = request.getfixturevalue("service")
    return fresh


@pytest.fixture(scope="session")
def bus(bay: "Lease", background: Background) -> "Iterator[Bus]":
    from harness.bus import Bus

    client = Bus(background, bay.nats.url)
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
def session_client(shared_service: "Service") -> "Iterator[httpx.Client]":
    import httpx

    with httpx.Client(base_url=shared_service.url, timeout=10) as client:
        yield client


@pytest.fixture
def client(service: "Service", session_client: "httpx.Client") -> "httpx.Client":
    """HTTP to a service that is up."""
    return session_client


@pytest.fixture
def live_service(service: "Service", live_model: dict[str, str]) -> "Iterator[Service]":
    """The service with the model of this run: the real one when there is a key, else the replay server."""
    if not live_model:
        yield service
        return
    usual = service.env
    service.stop()
    service.env = {**usual, "OPENAI_BASE_URL": "", **live_model}
    service.start()
    yield service
    service.stop()
    service.env = usual

"""Instances of the monitor on a lease of their own for every test, forked from one warm interpreter."""

import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness import unwatched
from harness.commands import Run
from harness.instance import TOKEN, Instance, Make
from harness.launcher import Launcher, Warm
from harness.logfiles import LogFolder
from harness.peers import Loki, Railway

if TYPE_CHECKING:
    from testbay.fixtures import Lease, Leases

# Patient, so that a machine that is ten times slower changes nothing. A test that is about a takeover or an outage sets
# a shorter time, and may not depend on who leads then.
PATIENT = {
    "ERROR_MONITOR_HEARTBEAT_S": "20",
    "ERROR_MONITOR_SETTLE_S": "0",
    "ERROR_MONITOR_SOURCE_TIMEOUT_S": "30",
    "ERROR_MONITOR_BACKOFF_S": "0.1",
    "ERROR_MONITOR_DB_TIMEOUT_S": "15",
    "ERROR_MONITOR_TOKEN": TOKEN,
    "TZ": "UTC",
}
# Loaded before the tests' modules do it, watched. Of our own ones the warm interpreter measures what runs as they load.
LIBRARIES = ("psycopg_pool", "pydantic", "structlog")
OWN = ("error_monitor.scanning.once",)
WARM = pytest.StashKey[Warm]()
LAUNCHER = pytest.StashKey[Launcher]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the libraries while tests are collected. pytest-xdist's controller runs none: coverage ends there."""
    config = session.config
    if config.option.collectonly:
        return
    given = getattr(config, "workerinput", {})  # by the controller, which has workers
    if not given:
        config.stash[WARM] = Warm()
    if config.pluginmanager.hasplugin("dsession"):
        sys.settrace(None)
    else:
        session.stash[LAUNCHER] = Launcher(given.get("warm") or config.stash[WARM].address)
        unwatched.load(*LIBRARIES, *OWN)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Say to a worker of pytest-xdist where the warm interpreter is."""
    node.workerinput["warm"] = node.config.stash[WARM].address


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what the session started, whether a test ran or not."""
    if launcher := session.stash.get(LAUNCHER, None):
        launcher.close()
    if warm := session.config.stash.get(WARM, None):
        warm.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let coverage look on only where a part of the service runs in this process; its own processes are measured."""
    if isinstance(item, pytest.Function) and unwatched.has_service(item.module):
        return (yield)
    with unwatched.unwatched():
        return (yield)


@pytest.fixture
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return request.session.stash[LAUNCHER]


@pytest.fixture
def logs(tmp_path: Path) -> LogFolder:
    """A folder whose *.log files every monitor of the test reads."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return LogFolder(folder)


@pytest.fixture
def environment(bay: "Lease", logs: LogFolder) -> Mapping[str, str]:
    """What every monitor of the test is told."""
    return {**bay.exports, **PATIENT, "LOG_FILES": f"{logs.path}/*.log"}


@pytest.fixture
def monitor(launcher: Launcher, environment: Mapping[str, str], tmp_path: Path) -> Iterator[Make]:
    """Make an instance that answers; settings as keywords, `start=False` for one that is not started."""
    made: list[Instance] = []

    def make(*, start: bool = True, **env: Any) -> Instance:
        told = {name: str(value) for name, value in {**environment, **env}.items()}
        instance = Instance(launcher, told, tmp_path / f"monitor-{len(made)}.out")
        made.append(instance)
        return instance.start().ready() if start else instance

    yield make
    for instance in made:
        instance.close()


@pytest.fixture(scope="module")
def module_logs(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    """A folder for the monitor that the tests of a file share."""
    return LogFolder(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def module_env() -> Mapping[str, str]:
    """What the monitor that the tests of a file share is told beside its log files; a file may override it."""
    return {}


@pytest.fixture(scope="module")
def module_monitor(
    testbay: "Leases",
    module_logs: LogFolder,
    module_env: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Instance]:
    """One monitor for all tests of a file that need none of their own; it reads the folder and those in it."""
    log = tmp_path_factory.mktemp("monitor") / "monitor.out"
    with testbay.lease(request.node.name) as lease:
        files = f"{module_logs.path}/*.log,{module_logs.path}/*/*.log"
        told = {**lease.exports, **PATIENT, "LOG_FILES": files, **module_env}
        instance = Instance(request.session.stash[LAUNCHER], told, log).start().ready()
        yield instance
        instance.close()


@pytest.fixture
def loki() -> Iterator[Loki]:
    with Loki() as server:
        yield server


@pytest.fixture
def railway() -> Iterator[Railway]:
    with Railway() as server:
        yield server


@pytest.fixture
def run(launcher: Launcher, environment: Mapping[str, str], tmp_path: Path) -> Run:
    """`error-monitor …`: its exit code and what it said."""

    def one(*argv: str, **env: str) -> tuple[int, str]:
        log = tmp_path / f"command-{len(list(tmp_path.iterdir()))}.out"
        code = launcher.wait(launcher.start(argv, {**environment, **env}, log))
        said = log.read_text(encoding="utf-8").splitlines()
        return code, "\n".join(line for line in said if "error_monitor:own" not in line)

    return one

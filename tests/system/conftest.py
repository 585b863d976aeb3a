"""Real runs of the real program: a small project in a folder with a space in its name, a cache of its own, and after
every test the question whether anything is left.
"""

import compileall
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import LEFT_OUT, REQUIRED
from tests.system.equipment import NEEDS, docker_things
from tests.warm import ONE_OUTPUT, WITHOUT, Warm

if TYPE_CHECKING:
    from tests.system.fakes.browser import Browser
    from tests.system.fakes.cloud import Cloud, Shop
    from tests.system.fakes.fake_github import FakeGitHub
    from tests.system.fakes.guest import Guest
    from tests.system.fakes.monitor import Monitor

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = Path(__file__).parent / "project"
_GONE_WITHIN_S = 30.0  # what is not gone then never goes; on a busy machine the last of it takes a while


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str

    @property
    def lines(self) -> list[str]:
        """Its output by line."""
        return self.out.splitlines()


def _content(file: str) -> bytes:
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123 - as below
        return opened.readall()


def _folder(pid: str) -> bytes:
    return os.fsencode(os.readlink(f"/proc/{pid}/cwd"))  # noqa: PTH115 - as below


def usual_environ() -> dict[str, str]:
    """Our variables without those of the run that we are in."""
    foreign = ("TESTBAY_", "GITHUB_", "COV", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(foreign)}


_CLIENTS = ("psycopg", "redis", "nats", "nats.js", "pydantic", "yaml")  # what its plugin loads sooner or later
_PYTEST = ("_pytest.*", "pytest", "coverage", "execnet", "pdb", *_CLIENTS)
_TESTBAY = ("testbay", "testbay.*", "httpx", "aiohttp", "jinja2")  # what its commands load sooner or later
# A GitHub that is away is waited for for minutes: where HASTE is set they are short ones.
HASTE = """
import os, sys, time
clock, sleep = time.monotonic, time.sleep
def haste():
    return int(os.environ.get("HASTE", "1")) if "incidents" in sys.argv else 1
time.monotonic = lambda: clock() * haste()
time.sleep = lambda delay_s: sleep(delay_s / haste())
"""
# What boto3 reads of its services is in files that stay as they are; it reads them anew for each session.
READ_ONCE = """
import functools, boto3, botocore.session
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
for name in ("sts", "ssm"):
    boto3.client(name, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
boto3.DEFAULT_SESSION = None
"""
WARM = Warm(*_TESTBAY, *_PYTEST, environ=usual_environ())
WARM_STEPS = Warm(*_TESTBAY, *_PYTEST, environ={"PATH": os.environ["PATH"]}, first=HASTE)  # in workflows
WARM_AWS = Warm(
    *_TESTBAY, "boto3", "botocore.client", environ={"PYTHONPATH": os.pathsep.join(sys.path)}, first=READ_ONCE
)
WARM_PYTEST = Warm("pytest", *_PYTEST, environ=usual_environ())


class Bay:
    """The testbay command in one project, with a cache folder nobody else uses."""

    def __init__(self, project: Path, cache: Path) -> None:
        self.project = project
        self.cache = cache
        self.service = project / "services" / "shop"
        self.environ = usual_environ()
        self.environ |= {"TESTBAY_CACHE_DIR": str(cache), "TESTBAY_ENGINE": "embedded", "CI": ""}
        without = " ".join(f"-p no:{name}" for name in WITHOUT)
        self.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": without}
        self.name = "shop"
        self._others = docker_things()

    def use(self, engine: str) -> None:
        """Ask for an engine by name in every call."""
        self.environ["TESTBAY_ENGINE"] = engine

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """Start `testbay ARGUMENTS…`; both outputs in one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "testbay", *arguments],
            cwd=self.project,
            env=self.environ | environ,
            text=True,
            errors="replace",
            **ONE_OUTPUT,
        )

    def run(self, *arguments: str, **environ: str) -> Done:
        """Run it to its end."""
        done = WARM.run(arguments, cwd=self.project, environ=self.environ | environ)
        return Done(done.returncode, done.stdout)

    def type(self, line: str, **environ: str) -> Done:
        """A command line at the shell's prompt, in the project's folder."""
        argv, env = ["bash", "-c", line], self.environ | environ
        done = subprocess.run(argv, cwd=self.project, env=env, text=True, check=False, **ONE_OUTPUT)
        return Done(done.returncode, done.stdout)

    def plain_pytest(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run pytest in the service's folder, as a developer or an editor does."""
        words = ["-p", "no:cacheprovider", *arguments]
        return WARM_PYTEST.run(words, cwd=self.service, environ=self.environ | environ)

    def run_json(self) -> str:
        """The newest run's record; two runs of one second have names in no order."""
        records = (self.project / ".testbay" / "runs").glob("*/run.json")
        return max(records, key=lambda file: file.stat().st_mtime_ns).read_text()

    def report(self) -> Path:
        """The last report of checks; two of one second have names in no order."""
        return max((self.project / ".testbay/checks").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)

    def tests(self, text: str) -> None:
        """Replace the project's tests by one file."""
        folder = self.service / "tests" / "integration"
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "test_it.py").write_text(text)

    def measure(self) -> None:
        """Let its runs measure coverage, as they do where the manifest says nothing of it."""
        manifest = self.service / "testbay.toml"
        manifest.write_text(re.sub(r"(?m)^coverage = .*\n", "", manifest.read_text()))

    def processes(self) -> list[str]:
        """Every process that works on this project or this cache, as `pid command line`."""
        marks = (os.fsencode(self.cache), os.fsencode(self.project))
        found = []
        for pid in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes twice as long, after each test
            if not pid.isdigit() or int(pid) == os.getpid():
                continue
            try:
                if not (command := _content(f"/proc/{pid}/cmdline")):
                    continue  # the kernel's own, or it has ended
                facts = command + _content(f"/proc/{pid}/environ") + _folder(pid)
            except OSError:
                continue  # it ended while we looked
            data = re.findall(rb"/dev/shm/testbay-[\w-]+", facts) if b"/dev/shm/testbay-" in facts else []
            if any(mark in facts for mark in marks) or any(self._is_ours(Path(os.fsdecode(folder))) for folder in data):
                found.append(f"{pid} {command.replace(bytes(1), b' ').decode(errors='replace')}")
        return found

    def left(self, within_s: float = _GONE_WITHIN_S) -> list[str]:
        """What is still there after `within_s`: processes, folders of stacks, shared memory of our servers."""
        deadline = time.monotonic() + within_s
        # While folders are left processes are, too: looking for those takes much longer.
        while (found := self._folders_left() or self._left_now()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found and self._left_now()

    def _left_now(self) -> list[str]:
        return self.processes() + self._folders_left() + self._docker_left()

    def _folders_left(self) -> list[str]:
        stacks = self.cache / "stacks"
        folders = [str(entry) for entry in stacks.iterdir() if entry.is_dir()] if stacks.is_dir() else []
        return folders + [str(entry) for entry in Path("/dev/shm").glob("testbay-*") if self._is_ours(entry)]

    def _is_ours(self, data: Path) -> bool:
        """Other checkouts test on this machine too."""
        try:
            return (data / "stack").readlink().is_relative_to(self.cache)
        except OSError:  # gone, or nobody's yet
            return False

    def _docker_left(self) -> list[str]:
        """Docker's things of this service's stacks, except those of a stack that somebody else has right now."""
        found = re.findall(rf"(?m)^(\w+ (testbay-{self.name}-[0-9a-f]+).*)$", "\n".join(docker_things() - self._others))
        data = {thing: Path("/dev/shm", project) for thing, project in found}  # made first, removed last
        return sorted(thing for thing, folder in data.items() if not folder.exists() or self._is_ours(folder))


ENGINES = ["embedded", pytest.param("compose", marks=pytest.mark.compose)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Both engines: one contract."""
    return str(request.param)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """A Chromium with nobody's profile."""
    from tests.system.fakes.browser import Browser

    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.hookimpl(tryfirst=True)  # `-m` has to see the marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run on this machine is left out, which the summary says; where it is required that is an error."""
    said = config.stash.setdefault(LEFT_OUT, [])
    for marker, (what, why_not, variable) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        for item in marked:
            item.add_marker("equipment")
        if not marked or not (reason := why_not()):
            continue
        config.hook.pytest_deselected(items=marked)
        left_out = set(marked)
        items[:] = [item for item in items if item not in left_out]
        required = REQUIRED if os.environ.get(variable) == "1" else ""
        said.append(f"{required}{what}: {len(marked)} tests did not run: {reason}")


@pytest.fixture(scope="session")
def moto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Moto's server, for as long as the session lasts."""
    from tests.system.fakes import cloud as clouds

    with clouds.moto(tmp_path_factory.mktemp("moto")) as port:
        yield port


@pytest.fixture
def cloud(moto_port: int) -> "Iterator[Cloud]":
    """AWS and GitHub's token endpoint; /shop/test/key holds the canary."""
    from tests.system.fakes import cloud as clouds

    with clouds.serving(moto_port) as cloud:
        cloud.put(key=clouds.CANARY)
        yield cloud


@pytest.fixture
def shop(tmp_path: Path, cloud: "Cloud") -> "Shop":
    """A project whose service `shop` has a secret."""
    from tests.system.fakes import cloud as clouds

    return clouds.Shop(tmp_path, cloud)


@pytest.fixture(scope="session", autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """First runs, once for all workers: the databases they migrated are what each cache links to, and Python's bytecode
    of testbay, also as pytest rewrites it, is there for all that follow.
    """
    from tests.system.fakes.guest import visiting

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sealed"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "cache").exists():
            with checkout(shared) as bay:
                compileall.compile_dir(REPOSITORY / "src", quiet=1)
                done = bay.run("run", "shop", PYTHONDONTWRITEBYTECODE="")
                assert done.code == 0, done.out
            with visiting(shared / "visited", {"tests/test_it.py": "# no test"}) as guest:
                done = guest.run("exec", "--", "true")
                assert done.code == 0, done.out
    _CACHES.extend((shared / "cache", shared / "visited/cache"))
    yield
    _CACHES.clear()


_CACHES: list[Path] = []


def link_templates(cache: Path) -> None:
    """Let a cache find the templates that were made before, and what the real Compose was asked before."""
    for kind in ("templates", "compose"):
        (cache / kind).mkdir(mode=0o700, parents=True)
        for entry in (entry for made in _CACHES for entry in (made / kind).glob("*")):
            (cache / kind / entry.name).symlink_to(entry)


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    """A fresh copy of the project; at the end nothing may be left of it, whatever the test did."""
    with checkout(tmp_path) as bay:
        yield bay


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bay, Done]]:
    """A green run of the project, for all tests of a module that only look at what it left."""
    with checkout(tmp_path_factory.mktemp("ran")) as bay:
        bay.measure()
        yield bay, bay.run("run", "shop")


@contextlib.contextmanager
def checkout(folder: Path) -> Iterator[Bay]:
    """A copy of the project in that folder; nothing may be left of it afterwards."""
    project = folder / "a project"
    shutil.copytree(TEMPLATE, project)
    shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
    bay = Bay(project, folder / "cache")
    link_templates(bay.cache)
    yield bay
    left = bay.left()
    for line in left:
        if (pid := line.split()[0]).isdigit():
            os.kill(int(pid), signal.SIGKILL)
    assert left == []


def read_until(child: "subprocess.Popen[str]", mark: str) -> str:
    """Read a child's output up to the line with `mark`."""
    assert child.stdout is not None
    seen = ""
    for line in child.stdout:
        seen += line
        if mark in line:
            return seen
    raise AssertionError(f"{mark!r} was never said:\n{seen}")


@pytest.fixture
def guest(tmp_path: Path) -> "Iterator[Guest]":
    """A stranger's project with a manifest, a compose file and one migration; nothing of it may be left at the end."""
    from tests.system.fakes.guest import visiting

    with visiting(tmp_path, {}) as made:
        yield made


@pytest.fixture
def github() -> "Iterator[FakeGitHub]":
    """GitHub, on loopback: every request and every answer of it has to be as the official description says."""
    from tests.system.fakes.fake_github import FakeGitHub

    with FakeGitHub() as running:
        yield running
    assert running.violations == []


@pytest.fixture
def monitor(github: "FakeGitHub") -> "Monitor":
    """What runs checks again and again, and says on that GitHub what it found."""
    from tests.system.fakes.monitor import Monitor

    return Monitor(github)

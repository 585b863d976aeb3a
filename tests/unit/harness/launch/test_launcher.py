"""Warm starts: real interpreters that fork, and programs that tell what they find."""

import fcntl
import json
import os
import resource
import shlex
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbay import process
from testbay.fixtures import eventually
from testbay.harness.launch.launcher import Launcher
from testbay.harness.launch.warm import Forked

TELL = """
import json, os, signal, sys
{more}
main = sys.modules["__main__"].__dict__
told = {{
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "folder": os.getcwd(), "env": dict(os.environ),
    "finders": len(sys.meta_path),
    "main": [main["__name__"], main["__file__"], sorted(main.keys() - {{"told", "main"}})],
    "signals": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())], "leads": os.getsid(0) != os.getpid(),
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "open": sorted(os.readlink(f"/proc/self/fd/{{n}}") for n in os.listdir("/proc/self/fd")[:-1]),
    "stdin": os.readlink("/proc/self/fd/0"), "limits": open("/proc/self/limits").read(),
}}
told["open"] = [name for name in told["open"] if not name.endswith(".log") and "libffi" not in name]  # ctypes opens it
print(json.dumps(told))
"""


LEAVE = """
import atexit, builtins, json, os, random, resource, signal, tempfile, uuid
import library

kept = os.open("left-open", os.O_CREAT | os.O_RDWR)
found = {
    "memory": hasattr(builtins, "left") or hasattr(library, "left") or len(library.started),
    "environment": "LEFT" in os.environ,
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGUSR1, signal.SIGTERM)],
    "mask": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "open": sum("left-open" in os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]),
    "position": [os.lseek(kept, 0, os.SEEK_CUR), os.lseek(0, 0, os.SEEK_CUR)],
    "files": [os.umask(0o077), os.getcwd(), sorted(os.listdir(os.environ["TMPDIR"])), sorted(os.listdir("."))],
    "limits": open("/proc/self/limits").read(),
}
builtins.left = library.left = os.environ["LEFT"] = "left"
library.started.append(os.getpid())
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
os.write(kept, b"left")
os.umask(0o007)
folder = tempfile.TemporaryDirectory()
open(os.path.join(folder.name, "left"), "w").close()
atexit.register(os.unlink, "left-open")
chance = [random.random(), uuid.uuid4().hex, os.path.basename(folder.name)]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
print(json.dumps([found, chance]))
"""


class Workshop:
    """A service's folder, a folder of installed packages, and launchers that start `app.py`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.root = folder / "service"
        self.root.mkdir()
        self.tenancy: Any = {"service": "shop", "root": str(self.root)}
        self.sessions: list[int] = []
        self.starts = 0
        monkeypatch.setenv("PYTHONUSERBASE", str(folder / "user"))
        self.site = Path(sysconfig.get_path("purelib", f"{os.name}_user", {"userbase": str(folder / "user")}))
        self.site.mkdir(parents=True)
        foreign = ("COV", "PYTEST_", "TESTBAY_")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env |= {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}
        self.launchers: list[Launcher] = []

    def installed(self, name: str, text: str) -> None:
        """A package as pip would have installed it."""
        (self.site / f"{name}.py").write_text(text, encoding="utf-8")

    def app(self, text: str) -> None:
        """The service."""
        (self.root / "app.py").write_text(text, encoding="utf-8")

    def launcher(self, preload: "str | list[str]" = "auto", *, start: str = "python app.py") -> Launcher:
        """As a session of pytest has one."""
        tenancy: Any = {**self.tenancy, "preload": preload, "start": start}
        log = self.folder / "preload.log"
        self.launchers.append(Launcher(tenancy, self.folder / "cache", log, self.sessions.append))
        return self.launchers[-1]

    def run(self, launcher: Launcher, *argv: str, **env: str) -> tuple[int, str]:
        """Start it, wait for its end, as one that has answered: its exit code, and what it said."""
        self.starts += 1
        log = self.folder / f"{self.starts}.log"
        with log.open("wb") as output:
            started = launcher.start(shlex.join(["python", *(argv or ("app.py",))]), {}, self.env | env, output)
        code = started.wait(60)
        launcher.answered(started)
        return code, log.read_text(encoding="utf-8")


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    made = Workshop(tmp_path, monkeypatch)
    yield made
    for launcher in made.launchers:
        launcher.close()
    eventually(lambda: not [pid for pid in made.sessions if process.in_session(pid)])


@pytest.mark.parametrize("argv", [("app.py", "x"), ("-m", "app", "x"), ("-P", "-W", "ignore", "app.py", "x")])
def test_warm_start_is_as_a_cold_one(workshop: Workshop, argv: tuple[str, ...]) -> None:
    """The program finds the arguments, paths, signals, descriptors and limits that it would have had."""
    workshop.app(TELL.format(more="import email.mime.text, library"))
    workshop.installed("library", "import decimal\n")
    warm = workshop.launcher(start=shlex.join(["python", *argv]))
    learning, forked, cold = (workshop.run(one, *argv) for one in (warm, warm, workshop.launcher("off")))

    told: list[dict[str, Any]] = [json.loads(said) for _, said in (learning, forked, cold)]
    told[0]["finders"] -= 1  # the one that notes what is loaded
    assert told[0] == told[2]
    assert told[1] == told[2]


def test_second_start_finds_the_libraries_loaded_and_no_code_of_the_service(workshop: Workshop) -> None:
    """What the first start loaded is learned, also for the next session."""
    workshop.installed("library", "print('loading')\n")
    (workshop.root / "own").mkdir()
    (workshop.root / "own/__init__.py").write_text("print('own')\n", encoding="utf-8")
    workshop.app("import sys\nprint('library' in sys.modules, 'own' in sys.modules)\nimport library, own\n")
    first = workshop.launcher()
    said = [workshop.run(one)[1].split() for one in (first, first, workshop.launcher())]

    loaded = ["True", "False", "own"]
    assert said == [["False", "False", "loading", "own"], loaded, loaded]


def test_another_package_is_learned_anew(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's lock is what is installed in it."""
    workshop.app("import sys\nprint('decimal' in sys.modules)\nimport decimal\n")
    workshop.run(workshop.launcher())
    monkeypatch.setattr("testbay.harness.launch.learned._lock", lambda: "changed")

    assert workshop.run(workshop.launcher())[1] == "False\n"


@pytest.mark.parametrize(
    ("library", "why"),
    [
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n", "start threads"),
        ("import socket\nkept = socket.socket()\n", "leave socket:"),
        ("import asyncio\nkept = asyncio.new_event_loop()\n", "leave "),
        ("import subprocess\nkept = subprocess.Popen(['sleep', '60'])\nkept.returncode = 0\n", "start processes"),
        ("import mmap\nkept = mmap.mmap(-1, 4096)\n", "share memory"),
        (
            "import os\nfound = os.environ['CHANGES']\n",
            "library read CHANGES as it was loaded, which has changed since",
        ),
        ("import os\nfound = dict(os.environ)\n", "library read CHANGES as it was loaded, which has changed since"),
    ],
)
def test_unsafe_libraries_are_loaded_cold(workshop: Workshop, library: str, why: str) -> None:
    """A fork would lose it, or share it with its brothers; the reason is kept for the summary."""
    workshop.installed("library", library)
    workshop.app("import os\nimport library\nprint(os.environ['CHANGES'], flush=True)\nos._exit(3)\n")
    launcher = workshop.launcher(["library"])
    launcher.begin(workshop.env | {"CHANGES": "0"})
    done = [workshop.run(launcher, CHANGES=value) for value in ("1", "2")]

    assert done == [(3, "1\n"), (3, "2\n")]
    assert (launcher.cold_starts, why in launcher.why_cold) == (2, True), launcher.why_cold


@pytest.mark.parametrize(
    "library",
    ["import own\n", "print('half')\nraise RuntimeError\n", "import tempfile\nkept = tempfile.mkdtemp()\n"],
)
def test_what_cannot_be_loaded_ahead_is_left_to_the_service(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """Own code behind a library, an import that fails without what comes before it: the rest is loaded ahead."""
    temporary = workshop.folder / "temporary"
    temporary.mkdir()
    monkeypatch.setitem(workshop.env, "TMPDIR", str(temporary))
    workshop.installed("library", library)
    workshop.installed("other", "")
    (workshop.root / "own.py").write_text("", encoding="utf-8")
    workshop.app("import sys\nprint('other' in sys.modules, 'library' in sys.modules, 'own' in sys.modules)\n")
    launcher = workshop.launcher(["library", "other"])

    assert workshop.run(launcher) == (0, "True False False\n")
    assert (launcher.cold_starts, launcher.why_cold) == (0, "")
    assert list(temporary.iterdir()) == [], "what was loaded in vain left its folder"


def test_variables_that_a_library_sets_are_set_in_each_start(workshop: Workshop) -> None:
    """As they are when it is imported by the service itself."""
    workshop.installed("library", "import os\nos.environ['SET'] = 'yes'\nos.environ.pop('GONE', None)\n")
    workshop.app("import os, library\nprint(os.environ.get('SET'), os.environ.get('GONE'), os.environ['MINE'])\n")
    launcher = workshop.launcher(["library"])

    said = [workshop.run(launcher, MINE=number, GONE="x")[1] for number in ("1", "2")]
    assert said == ["yes None 1\n", "yes None 2\n"]
    assert launcher.why_cold == ""


@pytest.mark.parametrize("starts", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_nothing_that_a_start_leaves_is_in_the_next(workshop: Workshop, starts: int) -> None:
    """Memory, variables, signals, descriptors, limits, files, chance: each start finds what a cold one finds."""
    (workshop.folder / "tmp").mkdir()
    workshop.installed("library", "import random, uuid\nstarted = []\n")
    workshop.app(LEAVE)
    warm, cold = workshop.launcher(["library", "tempfile", "uuid"]), workshop.launcher("off")
    told = {"TMPDIR": str(workshop.folder / "tmp")}
    [expected, _], *found = (json.loads(workshop.run(one, **told)[1]) for one in (cold, *[warm] * starts))

    assert [each for each, _ in found if each != expected] == []
    assert [len({chance[number] for _, chance in found}) for number in range(3)] == [starts] * 3
    assert (warm.cold_starts, warm.why_cold) == (0, "")


def test_copies_of_the_environment_are_made_anew(workshop: Workshop) -> None:
    """Prometheus' client loads wsgiref, which makes one."""
    workshop.app("import os, wsgiref.handlers\nprint(wsgiref.handlers.BaseHandler.os_environ == dict(os.environ))\n")
    launcher = workshop.launcher(["wsgiref.handlers"])

    assert [workshop.run(launcher, MINE=number)[1] for number in ("1", "2")] == ["True\n", "True\n"]
    assert launcher.why_cold == ""


def test_how_it_ends_is_told_as_by_a_cold_start(workshop: Workshop) -> None:
    """A failure's traceback begins with the service's own line, at its exit functions run, its code is handed on."""
    workshop.app(
        "import atexit, sys\natexit.register(print, 'end')\nif sys.argv[1:]: sys.exit(7)\nraise ValueError('x')\n"
    )
    both = (workshop.launcher([]), workshop.launcher("off"))

    for argv in (("app.py",), ("app.py", "x"), ("-m", "app")):
        warm, cold = (workshop.run(launcher, *argv) for launcher in both)
        assert warm == cold


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it(workshop: Workshop, number: int) -> None:
    """And the exit code says which one ended it."""
    workshop.app("import signal\nprint('up', flush=True)\nsignal.pause()\n")
    log = workshop.folder / "log"
    with log.open("wb") as output:
        started = workshop.launcher([]).start("python app.py", {}, workshop.env, output)
    eventually(lambda: log.read_text(encoding="utf-8"))
    target = started.pid if number == signal.SIGTERM else process.descendants(started.pid)[0].pid
    os.kill(target, number)

    assert started.wait(60) == -number


def test_what_it_started_ends_with_it(workshop: Workshop) -> None:
    """Also a process that has left its session."""
    workshop.app("import subprocess\nprint(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)\n")
    _, said = workshop.run(workshop.launcher([]))

    assert not process.identify(int(said)).alive()


def test_interpreter_that_was_killed_is_done_without(workshop: Workshop) -> None:
    """A test may kill anything."""
    workshop.app("print('served')\n")
    launcher = workshop.launcher([])
    workshop.run(launcher)
    os.kill(workshop.sessions[0], signal.SIGKILL)
    eventually(lambda: not process.identify(workshop.sessions[0]).alive())

    assert workshop.run(launcher) == (0, "served\n")


def test_loading_begins_only_where_something_is_known(workshop: Workshop) -> None:
    """Nothing is started for a service that was never started."""
    workshop.app("")
    launcher = workshop.launcher()
    launcher.begin(workshop.env)

    assert workshop.sessions == []


def test_a_service_starts_from_tests_with_many_files_open() -> None:
    """Such as those that lose a connection each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    reading, writing = os.pipe()
    os.write(writing, b"7\n-9\n")
    status = fcntl.fcntl(reading, fcntl.F_DUPFD, 1500)
    try:
        started = Forked(status)

        assert (started.pid, started.wait(0)) == (7, -9)
    finally:
        os.close(reading)
        os.close(writing)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

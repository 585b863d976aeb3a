"""How long until the service answers: cold, as testbay's warm start, and from a raw fork server of thirty lines.

Usage: .venv/bin/python bench/service.py [--starts 200] [--cold 10] [--only agent_executor|small]

The contestants take turns in one run on one machine; the table shows medians and ratios. Each start of the small app
(FastAPI and SQLAlchemy) leaves something in memory, variables, signal handlers, descriptors, files and its folder
behind; what the next one sees of it is counted. Bytecode is kept, as Python does by itself.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbay import ports, process, settings
from testbay.harness.launch.launcher import Launcher, with_path
from testbay.harness.launch.learned import own_names
from testbay.harness.service import Service
from testbay.harness.stack import prepare, registry, request, stack
from testbay.manifest.load import load_manifest
from testbay.output import Voice

REPOSITORY = Path(__file__).parents[1]
RAW = Path(__file__).parent / "contestants" / "raw_forkserver.py"
SMALL = """
import builtins, os, signal, tempfile, sqlalchemy, sqlalchemy.orm, sqlalchemy.dialects.postgresql.psycopg
from fastapi import FastAPI
from pydantic import BaseModel

seen = [name for name, found in {
    "memory": hasattr(builtins, "left") or hasattr(sqlalchemy, "left"),
    "variables": "LEFT" in os.environ,
    "signals": signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL,
    "descriptors": any("left" in os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]),
    "folder": os.getcwd() == "/",
    "files": os.umask(0o077) == 0o077 or tempfile.tempdir is not None,
}.items() if found]
builtins.left = sqlalchemy.left = os.environ["LEFT"] = "left"
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
kept = os.open("left", os.O_CREAT | os.O_RDWR)
folder = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
tempfile.tempdir = folder
os.chdir("/")

class Base(sqlalchemy.orm.DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "items"
    id: sqlalchemy.orm.Mapped[int] = sqlalchemy.orm.mapped_column(primary_key=True)

class Answer(BaseModel):
    seen: list[str]

app = FastAPI()

@app.get("/health")
def health() -> Answer:
    return Answer(seen=seen)
"""


class Case:
    """One service: how it is started, in what folder, with what variables."""

    def __init__(self, folder: Path, tenancy: Any, env: Mapping[str, str]) -> None:
        self.tenancy, self.env, self.folder = tenancy, {"PYTHONUNBUFFERED": "1", **env}, folder
        self.seen = 0
        self.sessions: list[int] = []
        self.warm, self.cold = self.launcher("auto"), self.launcher("off")

    def launcher(self, preload: str) -> Launcher:
        """A launcher as a session of pytest has one."""
        return Launcher(
            {**self.tenancy, "preload": preload}, self.folder / "cache", self.folder / "log", self.sessions.append
        )

    def start(self, launcher: Launcher) -> float:
        """Seconds from the call to the answer of a process that is ended then."""
        service = Service(self.tenancy, self.env, self.folder / "service.log", launcher, 60)
        began = time.perf_counter()
        service.start()
        seconds = time.perf_counter() - began
        self.seen += bool(service.client.get(self.tenancy["ready"]).json().get("seen"))
        service.close()
        return seconds

    @contextmanager
    def raw(self) -> Iterator[Callable[[], float]]:
        """Starts from a raw fork server that has loaded the same modules."""
        [learned] = (self.folder / "cache" / "preload").glob("*.json")
        own = own_names(Path(self.tenancy["root"]), {})
        names = [name for name in json.loads(learned.read_bytes())["modules"] if name.partition(".")[0] not in own]
        modules = self.folder / "modules.json"
        modules.write_text(json.dumps({"modules": names}), encoding="utf-8")
        argv = [sys.executable, str(RAW), str(modules)]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder
        ) as server:
            yield lambda: self.raw_start(server)
            server.kill()

    def raw_start(self, server: "subprocess.Popen[str]") -> float:
        """The same question, asked in the same way."""
        assert server.stdin is not None
        assert server.stdout is not None
        port, lock = ports.hold(18300, fixed=False, name="raw")
        lock.close()
        program, *words = self.tenancy["start"].replace("{port}", str(port)).split()  # noqa: RUF027 - the manifest's own
        argv = [str(Path(sys.executable).with_name(program)), *words]
        root = self.tenancy["root"]
        order = {"argv": argv, "env": with_path(self.env), "cwd": root, "log": str(self.folder / "raw.log")}
        began = time.perf_counter()
        print(json.dumps(order), file=server.stdin, flush=True)
        pid = int(server.stdout.readline())
        pause_s = 0.003
        while not _answers(f"http://127.0.0.1:{port}{self.tenancy['ready']}"):
            if time.perf_counter() - began > 60:
                raise TimeoutError((self.folder / "raw.log").read_text(encoding="utf-8")[-4000:])
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, 0.02)
        seconds = time.perf_counter() - began
        process.end([process.identify(pid)], first=signal.SIGTERM, patience_s=10)
        return seconds

    def close(self) -> None:
        """End the warm interpreters."""
        self.warm.close()
        self.cold.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def agent_executor(folder: Path) -> Iterator[Case]:
    """The service of this repository, on a stack."""
    chosen = settings.load(engine="embedded", environ={**os.environ, "TESTBAY_CACHE_DIR": str(folder / "cache")})
    asked = request.decide(load_manifest(REPOSITORY / "services" / "agent_executor"), REPOSITORY, chosen)
    started = stack.start(asked)
    try:
        prepare.prepare(started, Voice(sys.stderr))
        yield Case(folder, registry.read(started.home)["tenancy"], started.command_environment())
    finally:
        started.stop()


@contextmanager
def small(folder: Path) -> Iterator[Case]:
    """A small app, with FastAPI and SQLAlchemy."""
    root = folder / "shop"
    root.mkdir()
    (folder / "tmp").mkdir()
    (root / "app.py").write_text(SMALL, encoding="utf-8")
    tenancy = {"service": "shop", "root": str(root), "start": "uvicorn app:app --port {port}", "ready": "/health"}
    yield Case(folder, tenancy, {**os.environ, "TMPDIR": str(folder / "tmp")})


def measure(name: str, case: Case, starts: int, cold: int) -> None:
    """Let the contestants take turns, and print their lines."""
    case.start(case.warm)  # learns
    case.start(case.warm)  # loads
    with case.raw() as raw:
        raw()
        case.seen = 0
        times: dict[str, list[float]] = {"cold": [], "warm": [], "raw": []}
        for number in range(starts):
            times["warm"].append(case.start(case.warm))
            times["raw"].append(raw())
            if number % max(1, starts // cold) == 0:
                times["cold"].append(case.start(case.cold))
    medians = {what: statistics.median(values) for what, values in times.items()}
    for what, seconds in medians.items():
        ratio = f"1/{medians['cold'] / seconds:.1f} of cold, {seconds / medians['raw']:.2f} x raw"
        print(f"{name:<15} {what:<5} {len(times[what]):>4} starts {seconds * 1000:>7.0f} ms   {ratio}", flush=True)
    print(f"{name:<15} cold starts that were to be warm: {case.warm.cold_starts} {case.warm.why_cold}")
    print(f"{name:<15} starts that saw something of another: {case.seen}", flush=True)


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=200, help="warm and raw starts of each service (default 200)")
    parser.add_argument("--cold", type=int, default=10, help="cold starts among them (default 10)")
    parser.add_argument("--only", choices=["agent_executor", "small"], help="one service alone")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name, prepared in {"agent_executor": agent_executor, "small": small}.items():
        if arguments.only in (None, name):
            folder = Path(tempfile.mkdtemp(prefix="testbay-bench-"))
            try:
                with prepared(folder) as case:
                    measure(name, case, arguments.starts, arguments.cold)
                    case.close()
            finally:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

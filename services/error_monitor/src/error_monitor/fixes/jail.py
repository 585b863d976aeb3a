"""The jail: a copy of the commit runs with no network, no credentials, a read-only root and hard limits.

bubblewrap where the machine has it, else a container without network, else there is no fix, and the reason says so.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from error_monitor.fixes import scratch
from error_monitor.fixes.options import FixSettings, Limits
from error_monitor.fixes.records import Edit, RefusedError
from error_monitor.fixes.watching import Watch

RESULT_BYTES = 64 * 1024 * 1024
WORK = "/jail/checkout"
_SPARE_USER = 61_184  # of the users that systemd keeps for services without a name: owns nothing here
_LAUNCHER = Path(__file__).with_name("launcher.py")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "alternatives", "localtime")
_PASSWD = f"root:x:0:0::/:/bin/false\njail:x:{_SPARE_USER}:{_SPARE_USER}::/tmp:/bin/sh\nown:x:1000:1000::/tmp:/bin/sh\n"
_HOSTS = "127.0.0.1 localhost jail\n::1 localhost\n"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a command in the jail; `problem` names the limit that ended it."""

    results: bytes
    seconds: float
    problem: str = ""
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One command in a copy of the base, with some files of the answer over it."""

    base: Path
    edits: Sequence[Edit]
    argv: Sequence[str]
    folder: str = "."
    env: Mapping[str, str]


class Jail(Protocol):
    """A way to run an order."""

    name: str

    async def run(self, order: Order) -> Ended: ...


class Bubblewrap:
    """Namespaces of the kernel's own: nothing is left of them when their first process is gone."""

    name = "bubblewrap"

    def __init__(self, python: str, limits: Limits) -> None:
        self._python = python
        self._limits = limits
        self._seen: tuple[str, ...] | None = None

    async def run(self, order: Order) -> Ended:
        """Run it; afterwards no process, file or mount of it is there."""
        if self._seen is None:
            self._seen = await _interpreter(self._python)
        with _handed_in(order, self._limits) as (orders, edits):
            argv = self._argv(order, orders, edits, self._seen)
            return await _watched(argv, self._limits)

    def _argv(self, order: Order, orders: Path, edits: Path, seen: Sequence[str]) -> list[str]:
        program = shutil.which("bwrap") or "bwrap"
        # As root the kernel counts no processes and files of root stay readable: the launcher becomes a spare user.
        is_root = os.geteuid() == 0
        rights = [word for cap in ("SETUID", "SETGID") for word in ("--cap-add", f"CAP_{cap}")]
        user = rights if is_root else ["--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"]
        words = [
            *[program, *user, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"],
            *["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "jail", "--clearenv"],
            *[*_shown("/usr", "/usr"), "--proc", "/proc", "--dev", "/dev"],
            *[*self._disk("/dev/shm", "1777"), "--remount-ro", "/dev"],  # noqa: S108 -- in the jail
            *[*self._disk("/tmp", "1777"), *self._disk("/jail", "0777")],  # noqa: S108 -- the same
        ]
        for name in ("bin", "lib", "lib64", "sbin"):
            link = ["--symlink", f"usr/{name}", f"/{name}"]
            words += link if Path("/", name).is_symlink() else ["--ro-bind-try", f"/{name}", f"/{name}"]
        words += ["--perms", "0755", "--dir", "/etc"]
        for name in _ETC:
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for name in ("passwd", "hosts"):
            words += _shown(orders.with_name(name), f"/etc/{name}")
        # bubblewrap makes missing parents for itself only; the spare user has to get through them.
        parents = {str(parent) for path in seen for parent in Path(path).parents} - {"/", "/usr"}
        for path in sorted(parents):
            words += ["--perms", "0755", "--dir", path]
        for path in seen:
            words += _shown(path, path)
        words += [*_shown(order.base, "/base"), *_shown(edits, "/edits")]
        words += [*_shown(_LAUNCHER, "/launcher.py"), *_shown(orders, "/orders.json"), "--remount-ro", "/"]
        for key, value in _environment(order, self._python).items():
            words += ["--setenv", key, value]
        return [*words, "--chdir", "/jail", self._python, "-I", "/launcher.py", "/orders.json"]

    def _disk(self, folder: str, mode: str) -> list[str]:
        """The words for an empty folder in memory."""
        return ["--perms", mode, "--size", str(self._limits.disk_bytes), "--tmpfs", folder]


def _shown(path: str | Path, place: str) -> list[str]:
    """The words for a file or folder that can only be read."""
    return ["--ro-bind", str(path), place]


class Container:
    """A container without network, for a machine that has an engine and no bubblewrap."""

    name = "container"

    def __init__(self, image: str, limits: Limits) -> None:
        self._image = image
        self._limits = limits

    async def run(self, order: Order) -> Ended:
        """Run it; the engine removes the container, and so do we if it has to be killed."""
        name = f"error-monitor-fix-{os.urandom(6).hex()}"
        with _handed_in(order, self._limits) as (orders, edits):
            tmpfs = f"rw,exec,mode=1777,size={self._limits.disk_bytes}"
            argv = [
                *["docker", "run", "--rm", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL"],
                *["--security-opt", "no-new-privileges", "--user", f"{_SPARE_USER}:{_SPARE_USER}", "--pull", "never"],
                *["--memory", str(self._limits.memory_bytes), "--pids-limit", str(self._limits.processes)],
                *["--tmpfs", f"/tmp:{tmpfs}", "--tmpfs", f"/jail:{tmpfs}", "--log-driver", "none", "--init"],  # noqa: S108 -- in there
                *["-v", f"{order.base}:/base:ro", "-v", f"{edits}:/edits:ro", "-v", f"{orders}:/orders.json:ro"],
                *["-v", f"{_LAUNCHER}:/launcher.py:ro", "--workdir", "/", "--entrypoint", "python3"],
            ]
            for key, value in _environment(order, "/usr/bin/python3").items():
                argv += ["--env", f"{key}={value}"]
            argv += [self._image, "-I", "/launcher.py", "/orders.json"]
            try:
                return await _watched(argv, self._limits, "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "HOME")
            finally:
                await _quietly(["docker", "rm", "--force", name])


async def choose(settings: FixSettings) -> Jail:
    """The jail that this machine has.

    Raises:
        RefusedError: It has none: then there is no fix.
    """
    python = settings.python or sys.executable
    reasons = []
    if settings.jail in ("auto", "bubblewrap"):
        if reason := await _bubblewrap_trouble():
            reasons.append(reason)
        else:
            await _interpreter(python)  # before the model is paid
            return Bubblewrap(python, settings.limits)
    if settings.jail in ("auto", "container"):
        if not settings.image:
            reasons.append("ERROR_MONITOR_FIX_IMAGE is not set")
        elif await _quietly(["docker", "image", "inspect", settings.image]):
            reasons.append("the container engine does not have the image")
        else:
            return Container(settings.image, settings.limits)
    raise RefusedError(2, f"this machine has no jail, so there is no fix: {'; '.join(reasons)}")


async def _bubblewrap_trouble() -> str:
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    words = ["bwrap", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    return "bubblewrap may not make namespaces here" if await _quietly(words) else ""


async def _quietly(argv: Sequence[str]) -> int:
    """The exit code of a short command, 1 where it cannot be run."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            return await process.wait()
    except (OSError, TimeoutError):
        return 1


_ASK = """import importlib.util, json, os, sys
if importlib.util.find_spec("testbay") is None: sys.exit(1)
seen = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}
print(json.dumps([p for p in seen if os.path.isdir(p)]))"""


async def _interpreter(python: str) -> tuple[str, ...]:
    """The folders that the interpreter reads its modules from; those inside others, and of the system, left out."""
    wrong = f"set ERROR_MONITOR_FIX_PYTHON to a Python that has testbay and the service's packages: {python} has not"
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-P", "-c", _ASK, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    except OSError as exc:
        raise RefusedError(2, wrong) from exc
    said, _ = await process.communicate()
    if process.returncode:
        raise RefusedError(2, wrong)
    found = await asyncio.to_thread(_both_names, json.loads(said))
    kept: list[str] = []
    for path in found:
        if not any(path == other or path.startswith(f"{other.rstrip('/')}/") for other in ["/usr", *kept]):
            kept.append(path)
    return tuple(kept)


def _both_names(paths: list[str]) -> list[str]:
    """Each folder by its name and by that of what it leads to."""
    return sorted({os.path.realpath(path) for path in paths} | {str(Path(path)) for path in paths})


def _environment(order: Order, python: str) -> dict[str, str]:
    return {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 -- inside the jail, a file system of its own
        "LANG": "C.UTF-8",
        "TESTBAY_CACHE_DIR": "/tmp/cache",  # noqa: S108 -- the same
        **order.env,
    }


@contextmanager
def _handed_in(order: Order, limits: Limits) -> Iterator[tuple[Path, Path]]:
    """The orders and the edits as files that the jail can only read."""
    with scratch.folder("jail") as folder:
        edits = folder / "edits"
        edits.mkdir()
        for edit in order.edits:
            target = edits / edit.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(edit.content, encoding="utf-8")
        orders = folder / "orders.json"
        told = {
            "base": "/base",
            "edits": "/edits",
            "work": WORK,
            "folder": order.folder,
            "argv": list(order.argv),
            "user": _SPARE_USER,
            "limits": {
                "RLIMIT_AS": limits.memory_bytes,
                "RLIMIT_FSIZE": limits.disk_bytes,
                "RLIMIT_NPROC": limits.processes,
                "RLIMIT_NOFILE": 4096,
                "RLIMIT_CORE": 0,
            },
        }
        orders.write_text(json.dumps(told), encoding="utf-8")
        orders.with_name("passwd").write_text(_PASSWD, encoding="utf-8")
        orders.with_name("hosts").write_text(_HOSTS, encoding="utf-8")
        yield orders, edits


async def _watched(argv: Sequence[str], limits: Limits, *names: str) -> Ended:
    """Run it under a watch that ends all of it when it takes too long, too much, or says too much."""
    began = time.monotonic()
    # Without our environment: the first process in the jail would show it to the others.
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in ("PATH", *names) if name in os.environ}, start_new_session=True,
    )  # fmt: skip
    watch = Watch(process.pid, limits)
    reading = asyncio.create_task(_both(process))
    watching = asyncio.create_task(watch.until_trouble())
    problem, out, said = "", b"", b""
    try:
        both: set[asyncio.Task[Any]] = {reading, watching}
        done, _ = await asyncio.wait(both, timeout=limits.wall_s, return_when=asyncio.FIRST_COMPLETED)
        if reading in done:
            out, said = reading.result()
        else:
            problem = watching.result() if watching in done else f"it did not end within {limits.wall_s:g} s"
    except OverflowError:
        problem = "its results are larger than 64 MiB"
    finally:
        watching.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        reading.cancel()
        await asyncio.gather(reading, watching, return_exceptions=True)
        await process.wait()
    seconds = time.monotonic() - began
    return Ended(results=out, seconds=seconds, problem=problem, said=said.decode("utf-8", "replace")[-2000:])


async def _both(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    out, said = await asyncio.gather(_bounded(process.stdout, RESULT_BYTES), _bounded(process.stderr, 64 * 1024))
    return out, said


async def _bounded(stream: asyncio.StreamReader | None, most: int) -> bytes:
    assert stream is not None
    found = bytearray()
    while piece := await stream.read(65_536):
        found += piece
        if len(found) > most:
            raise OverflowError
    return bytes(found)

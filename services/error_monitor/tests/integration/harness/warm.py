"""An interpreter that has loaded the service and its libraries, and forks itself to become the service.

Loading takes a process a second; here it is done once: the libraries untraced, the service's own modules after coverage
has begun. What was measured by then is saved once, and each process saves only its own.

Usage: warm.py DESCRIPTOR COVERAGE_RULES; the descriptor is a socket that listens. On a connection, each line, a JSON
object {"argv", "env", "log"}, starts `python -m error_monitor ARGV…`; told are `started PID` in that order, and
`ended PID CODE` as it happens. What a connection started ends with it.
"""

import asyncio
import atexit
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import types
from contextlib import suppress
from typing import Any

import coverage
import coverage.files
import coverage.inorout
import coverage.misc
import uvicorn.server

LIBRARIES = (
    "anyio._backends._asyncio",
    "fastapi",
    "httpcore",
    "httpx",
    "jinja2",
    "prometheus_client",
    "psycopg",
    "psycopg.types.json",
    "psycopg_pool",
    "structlog",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.http.h11_impl",
)
# What `serve`, `scan`, `import` and `migrate` load when they run.
OWN = (
    "error_monitor.app",
    "error_monitor.cli",
    "error_monitor.migrate",
    "error_monitor.report",
    "error_monitor.scanning.once",
)
PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for pytest, which then ends us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel may reap the servants of connections
    gc.disable()
    listening = socket.socket(fileno=int(sys.argv[1]))
    _load(sys.argv[2])
    _hurry()
    gc.freeze()
    while True:
        connection, _ = listening.accept()
        with connection:
            if _is_ours(connection) and not os.fork():
                _die_with_parent()
                listening.close()
                return _serve(connection)


def _is_ours(connection: socket.socket) -> bool:
    """Whether the peer is our user: other users can connect to such an address, too."""
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid())


def _serve(connection: socket.socket) -> None:
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    asked_for = connection.makefile("rb", buffering=0)  # select sees what was not read
    while True:
        ready = select.select([connection.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 100)
            _reap(connection)
        if connection.fileno() in ready:
            if not (line := asked_for.readline()):
                os._exit(0)  # what was measured before the first fork is saved
            asked = json.loads(line)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                os.close(woken)
                os.close(waker)
                asked_for.close()
                connection.close()
                return _become(asked)
            connection.sendall(f"started {pid}\n".encode())


def _load(rules: str) -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    measured = None
    if rules:
        # Each process asks anew of every file that it runs whether it is measured: its path is found once, here.
        coverage.files.abs_file = functools.cache(coverage.files.abs_file)
        os.environ["COVERAGE_PROCESS_START"] = rules
        measured = coverage.process_startup()
    for module in OWN:
        importlib.import_module(module)
    if measured is not None:
        measured.save()
        # The files that never ran are named by what was just saved: no child looks for them.
        coverage.inorout.find_python_files = lambda *_: ()  # type: ignore[attr-defined]
        coverage.misc.Hasher.update = _hash  # type: ignore[assignment, method-assign]
        for loaded in list(sys.modules.values()):
            if file := getattr(loaded, "__file__", None):
                coverage.files.canonical_filename(file)


def _hash(self: coverage.misc.Hasher, value: Any) -> None:
    """Hash what was measured at once: coverage does it number by number, which takes half of the time of saving."""
    self.hash.update(repr(sorted(value) if isinstance(value, set) else value).encode())


def _hurry() -> None:
    """Let uvicorn end when it is told to: it looks ten times a second whether it should, then waits for as long."""
    ending = asyncio.Event()
    told = uvicorn.server.Server.handle_exit

    def handle_exit(self: uvicorn.server.Server, sig: int, frame: types.FrameType | None) -> None:
        told(self, sig, frame)
        asyncio.get_running_loop().call_soon_threadsafe(ending.set)  # and wakes it

    async def sleep(seconds: float) -> None:
        if ending.is_set():
            await asyncio.sleep(seconds / 10)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ending.wait()

    uvicorn.server.Server.handle_exit = handle_exit  # type: ignore[method-assign]
    hurried = types.SimpleNamespace(**vars(asyncio))
    hurried.sleep = sleep
    uvicorn.server.asyncio = hurried  # type: ignore[assignment, attr-defined]


def _reap(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        connection.sendall(f"ended {pid} {os.waitstatus_to_exitcode(status)}\n".encode())


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # pytest killed, we are, and then it is


def _become(asked: dict[str, Any]) -> None:
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(asked["env"])
    gc.freeze()
    gc.enable()
    sys.argv = ["error_monitor", *asked["argv"]]
    try:
        runpy.run_module("error_monitor", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        _end(end.code)


def _end(code: int) -> None:
    """End as Python does, without the last step: it takes every library apart, and copies its memory by doing so."""
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - waits for threads
    atexit._run_exitfuncs()  # noqa: SLF001 - coverage saves what it measured
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

"""Python's real functions while a test fakes them with freezegun, pyfakefs, gevent, eventlet or `monkeypatch`.

Imported with the plugin, before any test can have changed something.
"""

import builtins
import io
import json
import os
import pathlib
import queue
import select
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from operator import itemgetter
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from testbay import settings

P = ParamSpec("P")
T = TypeVar("T")
_ABSENT = object()
_thread = threading.get_ident
_thread_of_tests = _thread()
_MODULES = (os, os.path, io, json, time, socket, select, selectors, queue, subprocess, threading, shutil, tempfile)
_HOOKS = {"excepthook"}  # pytest's own while it runs
_REAL: dict[ModuleType | type, dict[str, Any]] = {
    **{
        module: {name: value for name, value in vars(module).items() if callable(value) and name not in _HOOKS}
        for module in _MODULES
    },
    pathlib.Path: {  # some versions inherit some of them
        name: vars(pathlib.Path).get(name, _ABSENT)
        for name in dir(pathlib.Path)
        if name[0] != "_" and callable(getattr(pathlib.Path, name))
    },
    builtins: {"open": open, "print": print},
}
# A module in which nothing has changed is known by one comparison: this is asked at each phase of each test.
_OWN = {
    module: {name: value for name, value in names.items() if value is not _ABSENT} for module, names in _REAL.items()
}
_LOOKS = [(module, itemgetter(*names)) for module, names in _OWN.items()]
_UNTOUCHED = [tuple(names.values()) for names in _OWN.values()]
_OF_PATH = len(vars(pathlib.Path))  # a fake of an inherited one is one more


class Clock:
    """The real clock: freezegun replaces functions in modules, not in classes."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def patience(limit_s: float, longest_pause_s: float = 0.005) -> Iterator[bool]:
    """Pace a loop that waits for something: pauses grow from 0.1 ms; yield True in the last round."""
    deadline = Clock.monotonic() + limit_s
    pause_s = 0.0001
    while Clock.monotonic() < deadline:
        yield False
        Clock.sleep(pause_s)
        pause_s = min(pause_s * 2, longest_pause_s)
    yield True


class Disk:
    """Real file access: pyfakefs, too, replaces functions only in modules."""

    stat = staticmethod(os.stat)
    pwrite = staticmethod(os.pwrite)
    truncate = staticmethod(os.ftruncate)
    _open, _write, _close = staticmethod(os.open), staticmethod(os.write), staticmethod(os.close)

    @classmethod
    def append(cls, file: str, text: bytes) -> None:
        """Append to a file with three system calls, as this happens at each phase of each test.

        The file is not kept open: a test that becomes a daemon closes all descriptors.
        """
        descriptor = cls._open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            cls._write(descriptor, text)
        finally:
            cls._close(descriptor)


_poll, _readable, _writable = select.poll, select.POLLIN, select.POLLOUT


def await_socket(descriptor: int, deadline: float, *, writable: bool) -> bool:
    """Wait until a socket can be read or written; return whether that was before `deadline`, of the real clock."""
    poller = _poll()
    poller.register(descriptor, _writable if writable else _readable)
    return bool(poller.poll(max(0.0, deadline - Clock.monotonic()) * 1000))


def tests_run_here() -> None:
    """Note the thread of the tests: a program may call `pytest.main` again in another one."""
    global _thread_of_tests  # noqa: PLW0603 - one test session at a time runs in a process
    _thread_of_tests = _thread()


@contextmanager
def real() -> Iterator[None]:
    """Restore everything that a test has replaced, for a block of our own work in the tests' thread.

    Other threads take the world as it is: they could put back a fake that the test has undone meanwhile.
    """
    if _thread() != _thread_of_tests:
        yield
        return
    patcher = _file_system()
    if patcher is not None:
        patcher.pause()
    fakes = [] if _is_untouched() else faked()
    for module, name, _, value in fakes:
        _put(module, name, value)
    guarded = vars(socket.socket).get("connect")  # by pytest-socket's `--allow-hosts`
    if guarded is not None:
        del socket.socket.connect
    try:
        yield
    finally:
        if guarded is not None:
            socket.socket.connect = guarded  # type: ignore[method-assign]
        for module, name, fake, _ in fakes:
            _put(module, name, fake)
        if patcher is not None:
            patcher.resume()


def _put(module: ModuleType | type, name: str, value: Any) -> None:
    if value is _ABSENT:
        delattr(module, name)
    else:
        setattr(module, name, value)


def _is_untouched() -> bool:
    try:
        return len(vars(pathlib.Path)) == _OF_PATH and all(
            look(vars(module)) == real for (module, look), real in zip(_LOOKS, _UNTOUCHED, strict=True)
        )
    except Exception:  # noqa: BLE001 - a name is gone, or a fake cannot be compared
        return False


def faked() -> list[tuple[ModuleType | type, str, Any, Any]]:
    """List the current replacements: (module or class, name, fake, original)."""
    return [
        (module, name, vars(module).get(name, _ABSENT), value)
        for module, names in _REAL.items()
        for name, value in names.items()
        if vars(module).get(name, _ABSENT) is not value
    ]


def really(call: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that it runs with Python's real functions."""

    @wraps(call)
    def outside(*args: P.args, **kwargs: P.kwargs) -> T:
        with real():
            return call(*args, **kwargs)

    return outside


def is_faked_as_a_whole() -> bool:
    """Return whether background work would meet, or disturb, the test's fakes; then all work is done at once."""
    return has_green_threads() or "pyfakefs.fake_filesystem_unittest" in sys.modules or settings.has_variables("PG")


def has_green_threads() -> bool:
    """Return whether gevent or eventlet has replaced threads: their sockets must stay, or all would wait for one."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))


def _file_system() -> Any:
    """The patcher of pyfakefs, while it replaces the file system."""
    pyfakefs = sys.modules.get("pyfakefs.fake_filesystem_unittest")
    patcher = pyfakefs.Patcher.PATCHER if pyfakefs is not None else None
    return patcher if patcher is not None and patcher.is_patching else None

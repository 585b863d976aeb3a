"""A Python that has imported a program, and forks for each call of it: importing takes most of a short call.

A call runs as `python -m` would run it, with folder, variables, arguments, outputs and exit code of its own. What only
a new Python would take note of, other variables of Python's own or of the locale, is run by a new Python.
"""

import ast
import errno
import fcntl
import gc
import hashlib
import importlib
import os
import pkgutil
import runpy
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_AT_ITS_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "TZ", "COVERAGE_PROCESS_START")
# Plugins of libraries that happen to be installed beside us: importing them takes longer than most suites here.
WITHOUT = ("langsmith_plugin", "valkey", "hypothesispytest", "anyio")
_NOT_WRITTEN = "PYTHONDONTWRITEBYTECODE"  # can be changed later
_MESSAGE_BYTES = 100_000
# All workers of a run have it, and no run on another root of files has, which would see the same abstract sockets.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(16)
# A program that is run there, in its caller's streams. Its own Python loads nothing: it starts in a few milliseconds.
_LED = """#!{python} -IS
import _socket, os, sys
variables = open("/proc/self/environ", errors="surrogateescape").read().split(chr(0))[:-1]  # Python may add LC_CTYPE
environ = dict(each.split("=", 1) for each in variables)
at_its_start = {{k: v for k, v in environ.items() if k.startswith({names!r}) and k != {not_written!r}}}
if at_its_start != {alike!r} or not "".join(sys.argv[1:2]).endswith({ending!r}):
    os.execv({other!r}, [{other!r}, *sys.argv[1:]])
channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
channel.connect({address!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2, 0))
request = repr([{ending!r}, sys.argv[1:], os.getcwd(), environ]).encode()
channel.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
code = int(channel.recv(20))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
ONE_OUTPUT: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
Ended = subprocess.CompletedProcess[str]


class Warm:
    """One such Python for all workers of pytest-xdist, which ends with their controller. Its first call starts it.

    Args:
        module: The program, as `python -m` names it.
        imported: What it has imported; with `.*` after a package's name, each module in it.
        environ: The variables that it starts with.
        first: What it does before it imports anything, in Python.
    """

    def __init__(self, module: str, *imported: str, environ: Mapping[str, str], first: str = "") -> None:
        self._order = [first, module, *imported]
        self._environ = dict(environ)
        self._owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
        alike = hashlib.sha256(repr((self._order, _at_its_start(environ))).encode()).hexdigest()[:32]
        self._address = f"\0testbay-warm-{_RUN}-{alike}"
        self._is_started = False

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str], said: str = "", apart: bool = False
    ) -> Ended:
        """Run the program to its end, with this on its standard input; both outputs are one, unless `apart`."""
        argv = [sys.executable, "-m", self._order[1], *arguments]
        request = repr(["", argv[3:], str(cwd), dict(environ)]).encode()
        if _at_its_start(environ) != _at_its_start(self._environ) or len(request) > _MESSAGE_BYTES:
            how: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE if apart else subprocess.STDOUT}
            how |= {"cwd": cwd, "env": environ, "input": said, "text": True, "errors": "replace"}
            return subprocess.run(argv, check=False, **how)
        self._start()
        ours, theirs = os.pipe()
        with (
            os.fdopen(ours, encoding="utf-8", errors="replace") as output,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as error,
            tempfile.TemporaryFile("w+", encoding="utf-8") as given,
            _socket() as channel,
        ):
            given.write(said)
            given.seek(0)
            try:
                channel.connect(self._address)
                socket.send_fds(channel, [request], [theirs, error.fileno() if apart else theirs, given.fileno()])
            finally:
                os.close(theirs)
            out = output.read()
            code = int(channel.recv(_MESSAGE_BYTES))
            error.seek(0)
            return Ended(argv, code, out, error.read())

    def lead(self, program: Path, other: Path, *, ending: str = "") -> None:
        """Write a program that is run here. It is no child of its caller, whose end sends it SIGTERM.

        Args:
            program: The file, executable afterwards.
            other: A program that does the same, for what only a new Python would take note of.
            ending: If not empty, `other` is Python, and what is run here are files whose names end so.
        """
        self._start()
        alike = _at_its_start(self._environ)
        facts = {"names": _AT_ITS_START, "not_written": _NOT_WRITTEN, "alike": alike, "address": self._address}
        text = _LED.format(python=sys.executable, other=str(other), ending=ending, **facts)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)

    def _start(self) -> None:
        if self._is_started:
            return
        with Path(__file__).open() as turn, _socket() as listener:
            fcntl.flock(turn, fcntl.LOCK_EX)  # who finds the address taken finds it listening
            try:
                listener.bind(self._address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:  # else another worker was first
                    raise
            else:
                listener.listen()
                self._begin(listener)
        self._is_started = True

    def _begin(self, listener: socket.socket) -> None:
        ending = os.pidfd_open(self._owner)
        numbers = [listener.fileno(), ending]
        argv = [sys.executable, __file__, *map(str, numbers), *self._order]
        null = subprocess.DEVNULL  # on a terminal, a call's output would be buffered in another way
        python = subprocess.Popen(argv, cwd="/", env=self._environ, stdin=null, stdout=null, pass_fds=numbers)
        python.returncode = 0  # it is not ours to wait for
        os.close(ending)


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _at_its_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(_AT_ITS_START) and k != _NOT_WRITTEN}


def main(listening: int, owner: int, first: str, module: str, *imported: str) -> str:
    """Fork for each call until the owner ends; return only in a call: the file to run, or nothing."""
    forked = importlib.import_module("forked")
    sys.path.pop(0)  # the folder of this file
    exec(first, {})  # noqa: S102 - a test's own words
    for name in imported:
        found = importlib.import_module(name.removesuffix(".*"))
        for each in _inside(found) if name.endswith(".*") else ():
            importlib.import_module(each)
    rewritten = forked.plugins(without=WITHOUT) if "pytest" in sys.modules else {}
    if module == "testbay":
        ours = _at_its_start(os.environ)
        forked.install(lambda environ: _at_its_start(environ) == ours, rewritten)
        _make_parsers()
    else:
        sys.modules.update(rewritten)
    gc.collect()
    gc.freeze()  # a call's own collections pass over what was there before it
    return _serve(socket.socket(fileno=listening), owner, module)


def _make_parsers() -> None:
    """Have typer make the parsers of all commands once; it makes them in each call."""
    typer, cli = importlib.import_module("typer.main"), importlib.import_module("testbay.cli.app")
    made: Any = typer.get_command(cli.app)
    for parameter in [parameter for command in made.commands.values() for parameter in command.params]:
        parameter.get_runtime_param()
    vars(typer)["get_command"] = lambda _: made


def _inside(package: ModuleType) -> Iterator[str]:
    """The modules in a package, at any depth, except its commands."""
    found = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
    return (each.name for each in found if not each.name.endswith(".__main__"))


def _serve(listener: socket.socket, owner: int, module: str) -> str:
    """Fork for each caller, and tell it how that ended; return in the fork what `_become` does."""
    ready = selectors.DefaultSelector()
    ready.register(owner, selectors.EVENT_READ)
    ready.register(listener, selectors.EVENT_READ, _Call)
    while True:
        for key, _ in ready.select():
            if key.data is _Call:
                channel = listener.accept()[0]
                request, streams, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 3)
                if (child := os.fork()) == 0:
                    importlib.import_module("forked").keep(ready, listener, channel)
                    return _become(module, streams, ast.literal_eval(request.decode()))
                for stream in streams:
                    os.close(stream)
                call = _Call(child, os.pidfd_open(child), channel)
                ready.register(call.end, selectors.EVENT_READ, call)
                ready.register(channel, selectors.EVENT_READ, call)
            elif key.data is None:
                os._exit(0)
            elif ready.get_map().get(key.fd) == key:  # if not, its call has just ended
                for over in key.data.look(key.fd):
                    with suppress(KeyError):
                        ready.unregister(over)


class _Call(NamedTuple):
    """A child, the descriptor that tells its end, and the connection of its caller."""

    child: int
    end: int
    channel: socket.socket

    def look(self, descriptor: int) -> list[int]:
        """Tell the caller of the child's end, or end the child of a caller that is gone; return what is over."""
        number = self.channel.fileno()
        if descriptor == number:
            os.kill(self.child, signal.SIGTERM)
            return [number]
        code = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        os.close(self.end)
        with suppress(OSError), self.channel:
            self.channel.send(b"%d" % code)
        return [number, self.end]


def _become(module: str, streams: list[int], request: tuple[str, list[str], str, dict[str, str]]) -> str:
    """Have what `python -m`, or `python FILE`, has before its first line; return the file."""
    ending, arguments, cwd, environ = request
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for theirs, stream in zip(streams, (1, 2, 0), strict=False):
        os.dup2(theirs, stream)
    importlib.import_module("forked").close_others()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.dont_write_bytecode = bool(environ.get(_NOT_WRITTEN))
    file = arguments[0] if ending else ""
    sys.path.insert(0, str(Path(file).resolve().parent) if file else cwd)
    sys.argv[:] = arguments if file else ["-m", *arguments]
    sys.orig_argv[:] = [sys.executable, *([] if file else ["-m", module]), *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    vars(sys.modules["__main__"])["__builtins__"] = __builtins__
    return file


if __name__ == "__main__":
    called = main(int(sys.argv[1]), int(sys.argv[2]), *(order := sys.argv[3:]))
    with importlib.import_module("forked").End():
        if called:
            runpy.run_path(called, run_name="__main__")
        else:
            runpy._run_module_as_main(order[1])  # type: ignore[attr-defined] # what `python -m` calls

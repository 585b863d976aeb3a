"""A Python that has imported a program, and forks for each call of it: importing takes most of a short call.

A call runs as `python -m` would run it, with folder, variables, arguments, outputs and exit code of its own. What only
a new Python would take note of, other variables of Python's own or of the locale, is run by a new Python.
"""

import ast
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

_AT_ITS_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "TZ", "COVERAGE_PROCESS_START")
_NOT_WRITTEN = "PYTHONDONTWRITEBYTECODE"  # can be changed later
_MESSAGE_BYTES = 100_000
_LED = """#!{python} -IS
import _socket, os, sys
channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
channel.connect({address!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2, 0))
variables = open("/proc/self/environ", errors="surrogateescape").read().split(chr(0))[:-1]  # Python may add LC_CTYPE
environ = dict(each.split("=", 1) for each in variables)
request = repr([{before!r}, sys.argv[1:], os.getcwd(), environ]).encode()
channel.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
code = channel.recv(20)
if code == b"no":
    os.execv({other!r}, [{other!r}, *sys.argv[1:]])
if int(code) < 0:
    os.kill(os.getpid(), -int(code))
sys.exit(int(code))
"""
ONE_OUTPUT: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
Ended = subprocess.CompletedProcess[str]


class Warm:
    """One such Python, which ends with us. It is started by its first call.

    Args:
        module: The program, as `python -m` names it.
        imported: What it has imported; with `.*` after a package's name, each module in it.
        environ: The variables that it starts with.
    """

    def __init__(self, module: str, *imported: str, environ: Mapping[str, str]) -> None:
        self._order = [module, *imported]
        self._environ = dict(environ)
        self._turn = threading.Lock()
        self._python: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None

    def run(self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Ended:
        """Run the program to its end, with both outputs in one. Only one call at a time is forked."""
        argv = [sys.executable, "-m", self._order[0], *arguments]
        ours, theirs = os.pipe()
        with os.fdopen(ours, encoding="utf-8", errors="replace") as output, self._at_hand(environ) as free:
            request = json.dumps(["", argv[3:], str(cwd), dict(environ)]).encode()
            try:
                called = free and self._called(request, [theirs, theirs])
            finally:
                os.close(theirs)
            if called:
                said = output.read()
                return Ended(argv, self._code(), said)
        return subprocess.run(argv, cwd=cwd, env=environ, text=True, errors="replace", check=False, **ONE_OUTPUT)

    def lead(self, program: Path, other: Path, before: str = "") -> None:
        """Write a program that is run here, in the streams, folder and variables of its caller, or else is `other`.

        Args:
            program: The file, executable afterwards.
            other: A program that does the same, for when a call is running, or would not be alike.
            before: What `other` does before it begins, in Python.
        """
        address = f"\0testbay-warm-{os.getpid()}-{id(self)}"
        if self._listener is None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._listener.bind(address)
            self._listener.listen()
            threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()
        text = _LED.format(python=sys.executable, address=address, before=before, other=str(other))
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                caller = listener.accept()[0]
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            request, streams, _, _ = socket.recv_fds(caller, _MESSAGE_BYTES, 3)
            asked = ast.literal_eval(request.decode())
            with self._at_hand(asked[-1]) as free:
                called = free and self._called(json.dumps(asked).encode(), streams)
                for stream in streams:
                    os.close(stream)
                caller.send(b"%d" % self._code() if called else b"no")

    @contextmanager
    def _at_hand(self, environ: Mapping[str, str]) -> Iterator[bool]:
        """Have it for a call with these variables; False while another one runs."""
        alike = _at_its_start(environ) == _at_its_start(self._environ)
        if not alike or not self._turn.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        except BaseException:
            self.close()  # it is still at that call
            raise
        finally:
            self._turn.release()

    def _called(self, request: bytes, streams: list[int]) -> bool:
        """Begin a call with these outputs, and perhaps an input; False if it is too long."""
        if len(request) < _MESSAGE_BYTES:
            self._start()
            socket.send_fds(self._channel, [request], streams)
        return len(request) < _MESSAGE_BYTES

    def _code(self) -> int:
        """Wait until it ends."""
        return int(self._channel.recv(_MESSAGE_BYTES))

    def _start(self) -> None:
        if self._python is None:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                argv = [sys.executable, __file__, str(theirs.fileno()), *self._order]
                null = subprocess.DEVNULL  # on a terminal, a call's output would be buffered in another way
                self._python = subprocess.Popen(
                    argv, cwd="/", env=self._environ, stdin=null, stdout=null, pass_fds=[theirs.fileno()]
                )

    def close(self) -> None:
        """End it."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone ends no waiting `accept`
            self._listener.close()
            self._listener = None
        if self._python is not None:
            self._channel.close()
            self._python.kill()
            self._python.wait()
            self._python = None


def _at_its_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(_AT_ITS_START) and k != _NOT_WRITTEN}


def main(number: int, module: str, *imported: str) -> None:
    """Fork for each request on that descriptor. Returns only in a call, which is then still to be made."""
    sys.path.pop(0)  # the folder of this file
    for name in imported:
        found = importlib.import_module(name.removesuffix(".*"))
        for each in _inside(found) if name.endswith(".*") else ():
            importlib.import_module(each)
    gc.collect()
    gc.freeze()  # a call's own collections pass over what was there before it
    channel = socket.socket(fileno=number)
    while True:
        request, streams, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 3)
        if not request:
            os._exit(0)
        if (child := os.fork()) == 0:
            channel.close()
            for theirs, stream in zip(streams, (1, 2, 0), strict=False):
                os.dup2(theirs, stream)
                os.close(theirs)
            _become(module, *json.loads(request))
            return
        for theirs in streams:
            os.close(theirs)
        channel.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _inside(package: ModuleType) -> Iterator[str]:
    """The modules in a package, at any depth, except its commands."""
    found = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
    return (each.name for each in found if not each.name.endswith(".__main__"))


def _become(module: str, before: str, arguments: list[str], cwd: str, environ: dict[str, str]) -> None:
    """Have what `python -m` has before its first line, and do what comes before that."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.dont_write_bytecode = bool(environ.get(_NOT_WRITTEN))
    sys.path.insert(0, cwd)
    sys.argv[:] = ["-m", *arguments]
    sys.orig_argv[:] = [sys.executable, "-m", module, *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    vars(sys.modules["__main__"])["__builtins__"] = __builtins__
    exec(before, {})  # noqa: S102 - a test's own words


if __name__ == "__main__":
    main(int(sys.argv[1]), *(order := sys.argv[2:]))
    runpy._run_module_as_main(order[0])  # type: ignore[attr-defined] # what `python -m` calls

"""A Python that has imported a program, and forks for each call of it: importing takes most of a short call.

A call runs as `python -m` would run it, with folder, variables, arguments, outputs and exit code of its own. What only
a new Python would take note of, other variables of Python's own or of the locale, is run by a new Python.
"""

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
from pathlib import Path
from types import ModuleType
from typing import Any

_AT_ITS_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "TZ", "COVERAGE_PROCESS_START")
_NOT_WRITTEN = "PYTHONDONTWRITEBYTECODE"  # can be changed later
_MESSAGE_BYTES = 100_000
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

    def run(self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Ended:
        """Run the program to its end, with both outputs in one. Only one call at a time is forked."""
        argv = [sys.executable, "-m", self._order[0], *arguments]
        request = json.dumps([argv[3:], str(cwd), dict(environ)]).encode()
        alike = _at_its_start(environ) == _at_its_start(self._environ) and len(request) < _MESSAGE_BYTES
        if not alike or not self._turn.acquire(blocking=False):
            return subprocess.run(argv, cwd=cwd, env=environ, text=True, errors="replace", check=False, **ONE_OUTPUT)
        try:
            return Ended(argv, *self._forked(request))
        except BaseException:
            self.close()  # it is still at that call
            raise
        finally:
            self._turn.release()

    def _forked(self, request: bytes) -> tuple[int, str]:
        self._start()
        ours, theirs = os.pipe()
        with os.fdopen(ours, encoding="utf-8", errors="replace") as output:
            try:
                socket.send_fds(self._channel, [request], [theirs])
            finally:
                os.close(theirs)
            said = output.read()
        return int(self._channel.recv(_MESSAGE_BYTES)), said

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
        request, output, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 1)
        if not request:
            os._exit(0)
        if (child := os.fork()) == 0:
            channel.close()
            for stream in (1, 2):
                os.dup2(output[0], stream)
            os.close(output[0])
            _become(module, *json.loads(request))
            return
        os.close(output[0])
        channel.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _inside(package: ModuleType) -> Iterator[str]:
    """The modules in a package, at any depth, except its commands."""
    found = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
    return (each.name for each in found if not each.name.endswith(".__main__"))


def _become(module: str, arguments: list[str], cwd: str, environ: dict[str, str]) -> None:
    """Have what `python -m` has before its first line."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.dont_write_bytecode = bool(environ.get(_NOT_WRITTEN))
    sys.path.insert(0, cwd)
    sys.argv[:] = ["-m", *arguments]
    sys.orig_argv[:] = [sys.executable, "-m", module, *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    vars(sys.modules["__main__"])["__builtins__"] = __builtins__


if __name__ == "__main__":
    main(int(sys.argv[1]), *(order := sys.argv[2:]))
    runpy._run_module_as_main(order[0])  # type: ignore[attr-defined] # what `python -m` calls

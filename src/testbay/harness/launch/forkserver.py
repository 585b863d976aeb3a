"""An interpreter that has loaded libraries, and forks for each start of a service.

Run as a file by `launch.warm`, without importing testbay: each service inherits everything that is loaded here.
Standard input is a socket. The first message is the order, `{"modules", "own"}`, which is answered: see
`preloading.load`. Each further message requests a start, and brings two descriptors: the service's output, and a pipe
for its process id and exit code. Each message is JSON behind its length.
"""

import ctypes
import gc
import importlib.machinery
import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

_PR_SET_NAME = 15
_LENGTH_BYTES = 8
_ORIGINAL_PATH = sys.path[:] if sys.flags.safe_path else sys.path[1:]  # Python puts our own folder first
_libc = ctypes.CDLL(None)


def main() -> Callable[[], None]:
    """Serve until the socket is closed. Returns only in a forked service: the function that becomes it."""
    here = Path(__file__).parent
    preloading, reaper = _beside(here / "preloading.py"), _beside(here.parent / "reaper.py")
    sys.path[:] = _ORIGINAL_PATH
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    order, _ = _receive(channel)
    answer = preloading.load(order["modules"], order["own"])
    for stream in (sys.stdout, sys.stderr):  # or each fork would print a library's buffered output again
        stream.flush()
    children = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing here waits for them
    gc.freeze()  # these objects live as long as the process: no fork scans, and thereby copies, them
    body = json.dumps(answer).encode()
    channel.sendall(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
    while True:
        request, (output, status) = _receive(channel)
        if request["measured"]:
            _find_module_files()
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, children)
            _split(reaper, request, output, status)
            return lambda: _become(request, answer["written"], preloading)
        os.close(output)
        os.close(status)


@cache
def _find_module_files() -> None:
    """Find every module's file once: coverage.py asks for all of them when it begins, in each fork."""
    import inspect

    import coverage  # noqa: F401 - a fork then need not

    inspect.stack()
    gc.freeze()


def _beside(file: Path) -> Any:
    """Load a neighbouring file as a module that does not appear in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(f"testbay_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH_BYTES, 2)
    if not head:
        os._exit(0)
    body = bytearray()
    while len(head) < _LENGTH_BYTES:
        head += channel.recv(_LENGTH_BYTES - len(head))
    length = int.from_bytes(head, "big")
    while len(body) < length:
        body += channel.recv(length - len(body))
    return json.loads(body), descriptors


def _split(reaper: Any, request: dict[str, Any], output: int, status: int) -> None:
    """Fork the processes that end whatever the service leaves behind, and the service. Returns in the service."""
    os.setsid()
    os.write(status, f"{os.getpid()}\n".encode())
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    mask = reaper.split(lambda code: os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode()))
    os.close(status)
    _libc.prctl(_PR_SET_NAME, request["name"].encode()[:15], 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become(request: dict[str, Any], written: dict[str, str | None], preloading: Any) -> None:
    """Become the service: set its variables and folder, start coverage, run its code."""
    environ = {**request["env"], **written}
    os.environ.clear()
    os.environ.update({name: value for name, value in environ.items() if value is not None})
    os.chdir(request["cwd"])
    _begin_anew(preloading.COPIES)
    gc.enable()
    if request["record"]:
        sys.meta_path.insert(0, preloading.ModuleNotes(request["record"]))
    if request["measured"]:
        import coverage

        coverage.process_startup()
    sys.orig_argv[:] = request["argv"]
    module = ModuleType("__main__")
    module.__dict__.update(__builtins__=__builtins__)
    if sys.version_info < (3, 14):  # which makes a module's annotations when they are asked for
        module.__dict__.update(__annotations__={})
    sys.modules["__main__"] = module
    run = _run_module if request["module"] else _run_file
    try:
        run(request, module)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - told as Python tells it, without the lines of this file
        _tell(error)


def _begin_anew(copies: dict[str, str]) -> None:
    """Renew what an interpreter sets at start-up, and every copy of the environment."""
    for name, copy in copies.items():
        if module := sys.modules.get(name):
            getattr(module, copy).os_environ = module.read_environ()
    if logging := sys.modules.get("logging"):
        import time

        vars(logging)["_startTime"] = time.time_ns() if sys.version_info >= (3, 13) else time.time()
    if chance := sys.modules.get("numpy.random"):
        chance.seed()


def _run_module(request: dict[str, Any], _: ModuleType) -> None:
    """Run a module as `python -m` does."""
    import runpy

    sys.argv[:] = ["-m", *request["arguments"]]
    if not sys.flags.safe_path:
        sys.path.insert(0, request["cwd"])
    runpy._run_module_as_main(request["module"])  # type: ignore[attr-defined] # noqa: SLF001 - what `python -m` calls


def _run_file(request: dict[str, Any], module: ModuleType) -> None:
    """Run a file as `python FILE` does."""
    sys.argv[:] = [request["file"], *request["arguments"]]
    file = os.path.join(request["cwd"], request["file"].removeprefix("./"))  # noqa: PTH118 - as Python writes it
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(file)))  # noqa: PTH120 - as Python writes it
    loader = importlib.machinery.SourceFileLoader("__main__", file)
    module.__dict__.update(__file__=file, __cached__=None, __loader__=loader)
    with open(file, "rb") as source:  # noqa: PTH123 - a relative name stays one
        code = compile(source.read(), file, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - the service


def _tell(error: BaseException) -> NoReturn:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    sys.exit(1)


if __name__ == "__main__":
    finish = _beside(Path(__file__).with_name("ending.py")).finish
    run_service = main()
    try:
        run_service()
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        code = ended.code or 0
    else:
        code = 0
    finish(code)
    os._exit(code)

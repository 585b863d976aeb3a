"""Being a fork of a Python that has imported much: its beginning and its end, and the pytest of a warm `testbay run`.

That pytest is forked, too, as a start takes most of a short run. What stands between testbay and pytest is real: the
reaper's processes, their signals, descriptors and exit codes. testbay's own modules are forgotten: pytest gets others,
loaded before as pytest rewrites them, and used by nobody.
"""

import contextlib
import gc
import importlib
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any, NoReturn

# By its file: where pytest is forked, nothing of testbay may have been imported.
_finish = runpy.run_path(str(Path(__file__).parents[1] / "src/testbay/harness/launch/ending.py"))["finish"]
_PATH = sys.path[1:]  # without this file's folder, as with -P
_FILTERS = warnings.filters[:]
_KEPT: list[object] = []  # an object that is finalised here could close a descriptor of ours


class End:
    """The end of a forked Python, whatever the block raises, without its last step.

    That one finalises every library, and so copies the memory of the fork: it takes longer than most calls.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> NoReturn:
        asked = error.code if isinstance(error, SystemExit) else int(error is not None)
        if kind is not None and error is not None and not isinstance(error, SystemExit):
            sys.excepthook(kind, error, trace)
        elif isinstance(asked, str):
            sys.stderr.write(f"{asked}\n")
        code = asked if isinstance(asked, int) else int(asked is not None)
        _finish(code)
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code)


def close_others(handed: Sequence[int] = ()) -> None:
    """Close all descriptors but the three streams and these; where their limit is high, `os.closerange` takes long."""
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - pathlib is slower
        if descriptor > 2 and descriptor not in handed:
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(descriptor)


def keep(*things: object) -> None:
    """Keep what has a descriptor from before the fork: collected later, it would close another of that number."""
    _KEPT.extend(things)


class _Child(subprocess.Popen[bytes]):
    """A child that we forked ourselves."""

    def __init__(self, pid: int) -> None:
        facts: dict[str, Any] = {"_child_created": True, "_waitpid_lock": threading.Lock(), "_sigint_wait_secs": 0.25}
        vars(self).update(facts, pid=pid, args=[], returncode=None, stdin=None, stdout=None, stderr=None)


def plugins(without: Sequence[str]) -> dict[str, ModuleType]:
    """Load pytest's plugins, except these, as pytest itself does; return testbay's modules among them.

    They are not in `sys.modules`: a `testbay` that runs here has its own, and changes them.
    """
    configuration, assertion = importlib.import_module("_pytest.config"), importlib.import_module("_pytest.assertion")
    ours = _take_out()
    config = configuration.get_config()
    hook = assertion.install_importhook(config)
    config._mark_plugins_for_rewrite(hook, disable_autoload=False)
    for plugin in metadata.entry_points(group="pytest11"):
        if plugin.name not in without:
            plugin.load()
    sys.meta_path.remove(hook)
    importlib.import_module("_pytest.junitxml").bin_xml_escape("")  # compiles its expression once
    rewritten = _take_out()
    sys.modules.update(ours)
    return rewritten


def _take_out() -> dict[str, ModuleType]:
    """Forget testbay's modules; they are returned."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "testbay"}


def install(as_at_its_start: Callable[[Mapping[str, str]], bool], rewritten: Mapping[str, ModuleType]) -> None:
    """Have testbay fork for the pytest that it would start, with variables for which that is the same."""
    process: Any = importlib.import_module("testbay.process")
    start = process.spawn

    def spawn(
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        output: IO[bytes] | None = None,
        handed: Sequence[int] = (),
        **more: Any,
    ) -> Any:
        words = [os.fspath(word) for word in argv]
        is_pytest = words[:2] == [sys.executable, "-P"] and words[2].endswith("/startpytest.py")
        if not is_pytest or env is None or cwd is None or not as_at_its_start(env):
            return start(argv, env=env, cwd=cwd, output=output, handed=handed, **more)
        if child := os.fork():
            return _Child(child)
        try:
            os.setsid()
            process.die_with_parent(signal.SIGTERM)
            for stream in (1, 2) if output else ():
                os.dup2(output.fileno(), stream)  # type: ignore[union-attr]
            close_others(handed)
            os.chdir(cwd)
            _split(process)
            _become(words, env, rewritten)
        finally:
            os._exit(1)  # never back to testbay's own work

    process.spawn = spawn


def _split(process: Any) -> None:
    """Do what `reaper.main` does, with handlers and name as after `exec`."""
    handled = [n for n in signal.valid_signals() if callable(signal.getsignal(n))]
    for number in handled:
        signal.signal(number, signal.SIG_DFL)
    reaper: Any = importlib.import_module("testbay.harness.reaper")
    signal.pthread_sigmask(signal.SIG_SETMASK, reaper.split(reaper._end_as))
    process.rename("python")
    if signal.SIGINT in handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(words: list[str], environ: Mapping[str, str], rewritten: Mapping[str, ModuleType]) -> None:
    """Be the Python of these words, to its end."""
    gc.enable()
    gc.set_threshold(700, 10, 10)
    gc.freeze()
    os.environ.clear()
    os.environ.update(environ)
    sys.dont_write_bytecode = bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    _KEPT.extend((sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__, dict(sys.modules)))
    _take_out()
    sys.modules.update(rewritten)
    importlib.invalidate_caches()
    warnings.filters[:] = _FILTERS  # type: ignore[index]
    sys.path[:] = _PATH
    sys.argv[:] = words[2:]
    sys.orig_argv[:] = words
    out, err = (io.TextIOWrapper(io.FileIO(stream, "w", closefd=False)) for stream in (1, 2))
    vars(sys).update(stdout=out, stderr=err, __stdout__=out, __stderr__=err)
    with End():
        runpy.run_path(words[2], run_name="__main__")

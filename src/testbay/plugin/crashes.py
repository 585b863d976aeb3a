"""Why a worker of pytest-xdist crashed, told by the process that is left: how it ended, where it was, the logs."""

import contextlib
import faulthandler
import itertools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from testbay import process
from testbay.logs import tail
from testbay.plugin.evidence import Windows, add_sections

_STACK_LINES = 1000
_ENDS_WITHIN_S = 5.0


class Crashes:
    """In the controller. Every worker is told a folder, leaves its notes there and its stack when it crashes."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Before a worker starts."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="testbay-workers-")
        node.workerinput["testbay_notes"] = self._folder.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: Any) -> None:
        """The report of a test whose worker is gone."""
        worker = report.node.gateway
        assert self._folder is not None
        notes = Path(self._folder.name)
        stack = _frames(notes / f"{worker.id}.stack")
        report.longrepr = "\n".join([f"{report.longrepr}: {_ending(worker)}", *stack])
        with contextlib.suppress(OSError, ValueError):
            windows = Windows.from_json((notes / f"{worker.id}.json").read_bytes())
            add_sections(report, {f"{title} log": text for title, text in windows.cut().items()}, self._mask)

    def pytest_unconfigure(self) -> None:
        """The notes have been read."""
        if self._folder is not None:
            self._folder.cleanup()


def _ending(worker: Any) -> str:
    """How the worker's process ended, as far as the library that started it tells."""
    popen: Any = getattr(getattr(worker, "_io", None), "popen", None)
    try:
        code = popen.wait(_ENDS_WITHIN_S)  # its connection is closed a moment before it has ended
    except (AttributeError, subprocess.TimeoutExpired):
        return "its connection broke"
    if code >= 0:
        return f"it ended with exit code {code}"
    return process.ended_by(-code)


def _frames(stack: Path) -> list[str]:
    """Of what faulthandler wrote: the error, and the thread it was in down to where pytest called the test."""
    lines = tail(stack, _STACK_LINES).splitlines()
    error = [line for line in lines if line.startswith("Fatal Python error")]
    from_thread = itertools.dropwhile(lambda line: not line.startswith("Current thread"), lines)
    return error + list(itertools.takewhile(lambda line: line and "/_pytest/" not in line, from_thread))


def keep_stack(notes: Path, worker: str) -> IO[str]:
    """In a worker: when a signal such as SIGSEGV ends it, its Python stack is written here. Keep the file open."""
    file = (notes / f"{worker}.stack").open("w", encoding="utf-8")
    faulthandler.enable(file)
    return file

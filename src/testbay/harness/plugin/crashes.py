"""Crash reports for pytest-xdist workers, made by the controller: how the worker ended, its stack, the logs."""

import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import pytest

from testbay import process
from testbay.harness.plugin.evidence import Windows, add_sections, blame
from testbay.text import visible

_MOST_BYTES = 1 << 20
_ENDS_WITHIN_S = 5.0


class Crashes:
    """The controller's part: opens two files for each worker, one for its notes and one for its stack at a crash.

    The files are unnamed: they vanish with the controller, however it ends. A worker reaches them through /proc, so
    outside of Linux there are none, and only the worker's end is reported.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._files: dict[str, dict[str, IO[bytes]]] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Prepare a worker before it starts."""
        opened = {what: cast("IO[bytes]", tempfile.TemporaryFile()) for what in ("notes", "stack")}  # noqa: SIM115
        self._files[node.gateway.id] = opened
        for what, file in opened.items():
            node.workerinput[f"testbay_{what}"] = f"/proc/{os.getpid()}/fd/{file.fileno()}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: Any) -> None:
        """Complete the report of the test that was running when the worker crashed."""
        worker = report.node.gateway
        texts = {what: os.pread(file.fileno(), _MOST_BYTES, 0) for what, file in self._files.get(worker.id, {}).items()}
        stack = _frames(texts.get("stack", b"").decode(errors="replace"))
        report.longrepr = "\n".join([f"{report.longrepr}: {_ending(worker)}", *stack])
        try:
            left = Windows.from_json(texts.get("notes", b""))
            raised, windows = left.raised(Path.cwd()), left.cut()
        except (OSError, ValueError) as error:  # it was ended while it wrote them
            add_sections(report, {"testbay": f"the worker's logs could not be read: {error}"}, self._mask)
        else:
            if raised is not None:
                blame(report, *raised, self._mask)
            add_sections(report, {f"{title} log": text for title, text in windows.items()}, self._mask)

    def pytest_unconfigure(self) -> None:
        for file in itertools.chain(*(opened.values() for opened in self._files.values())):
            file.close()


def _ending(worker: Any) -> str:
    """Describe how the worker's process ended, as far as execnet knows."""
    popen: Any = getattr(getattr(worker, "_io", None), "popen", None)
    try:
        code = popen.wait(_ENDS_WITHIN_S)  # its connection is closed a moment before it has ended
    except (AttributeError, subprocess.TimeoutExpired):
        return "its connection broke"
    if code >= 0:
        return f"it ended with exit code {code}"
    return process.ended_by(-code)


def _frames(stack: str) -> list[str]:
    """Extract from faulthandler's text the error, and its thread's frames down to pytest's call of the test."""
    lines = visible(stack).splitlines()
    error = [line for line in lines if line.startswith(("Fatal Python error", "Timeout ("))]
    begins = [number for number, line in enumerate(lines) if line.startswith("Thread ")]  # the main one comes last
    current = [number for number, line in enumerate(lines) if line.startswith("Current thread")]
    from_thread = lines[(current or begins[-1:] or [len(lines)])[0] :]
    return error + list(itertools.takewhile(lambda line: line and "/_pytest/" not in line, from_thread))


def own_file(worker: Mapping[str, Any] | None, what: str) -> IO[bytes] | None:
    """Open a worker's file for its controller; None elsewhere, or if it cannot be reached."""
    try:
        return open(worker[f"testbay_{what}"], "r+b", buffering=0) if worker else None  # noqa: PTH123 - kept open
    except (OSError, KeyError):
        return None

"""Parsing the measured code while its tests run: at the end that is most of what the reports of coverage.py take."""

import math
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from testbay import process
from testbay.harness.launch.warm import MEASURING
from testbay.harness.plugin.suite import READINGS

_RULES = "coveragerc-service"
_PROGRAM = Path(__file__).with_name("parseahead.py")
_WORTH_S = 2.0  # a shorter run has little to parse, and is not slowed down by another process


class ReadAhead:
    """A process that parses on a processor that is idle; pytest takes what it has read until the reports begin.

    Args:
        folder: The run's, where pytest writes with which settings it measures.
        python: The project's Python.
        environ: The project's variables.
        cwd: The folder that the settings' paths are relative to.
        worth_s: How long tests have to run before it begins.
    """

    def __init__(
        self, folder: Path, python: Path, environ: Mapping[str, str], cwd: Path, *, worth_s: float = _WORTH_S
    ) -> None:
        self._rules, self._readings = folder / _RULES, folder / READINGS
        self._argv = [str(python), "-P", str(_PROGRAM), str(self._rules), str(self._readings)]
        self._environ = {name: value for name, value in environ.items() if name not in MEASURING}
        self._cwd = cwd
        self._due_s = time.monotonic() + worth_s
        self._child: process.Child | None = None

    def begin_when_due(self) -> None:
        """Start it once, when the tests have run for a while and are measured; what it cannot do, the reports do."""
        if time.monotonic() >= self._due_s and self._rules.exists():
            self._due_s = math.inf
            with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
                self._child = process.spawn(
                    self._argv, env=self._environ, cwd=self._cwd, stdin=subprocess.DEVNULL, output=nowhere
                )

    def end(self) -> None:
        """End it, and remove what it has written."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._readings.unlink(missing_ok=True)

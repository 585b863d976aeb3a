"""The other end of warm.py: starts the service without waiting for its libraries, and sees how it ends."""

import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.environment import SERVICE_FOLDER
from harness.process import end, spawn

# What makes an interpreter measure coverage from its first line on; warm.py does it when it becomes the service.
COVERAGE_VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
PATIENCE_S = 15.0


class Launcher:
    """One process of the service at a time."""

    def __init__(self, argv: Sequence[str], log: "IO[bytes]") -> None:
        """Begin to load the libraries."""
        said, saying = os.pipe()
        launcher = [sys.executable, str(Path(__file__).with_name("warm.py")), str(saying)]
        unmeasured = dict.fromkeys(COVERAGE_VARIABLES)
        self._process = spawn([*launcher, *argv], cwd=SERVICE_FOLDER, env=unmeasured, log=log, pass_fds=[saying])
        os.close(saying)
        self._said = os.fdopen(said, "rb", buffering=0)
        self._pid: int | None = None
        self._code: int | None = None

    def start(self, env: Mapping[str, str]) -> None:
        """Have the service started with these variables as soon as the libraries are there; nobody waits."""
        self._pid = self._code = None
        measure = {name: value for name, value in os.environ.items() if name in COVERAGE_VARIABLES}
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a library cannot be loaded: `poll` tells that it ended, the log why
            os.write(self._process.stdin.fileno(), json.dumps({**env, **measure}).encode() + b"\n")

    def poll(self) -> int | None:
        """The exit code of what was started, or None while it runs."""
        while self._code is None and self._hear(0):
            pass
        return self._code

    def end(self, how: signal.Signals) -> int:
        """Send a signal and wait; the exit code. A service that ignores it is killed, which then shows in the code."""
        while self.poll() is None and self._pid is None:
            self._hear(PATIENCE_S)
        for signum in (how, signal.SIGKILL):
            if self.poll() is None and self._pid is not None:
                os.kill(self._pid, signum)
                self._hear(PATIENCE_S)
        code = self.poll()
        assert code is not None, "the service survived SIGKILL"
        return code

    def close(self) -> None:
        """End the launcher; what it started has ended."""
        end(self._process, signal.SIGKILL)
        self._said.close()

    def _hear(self, timeout_s: float) -> bool:
        """Note the next thing it says; whether there was one. That it ended, all its own, is an end too."""
        if not select.select([self._said], [], [], timeout_s)[0]:
            return False
        what, _, number = self._said.readline().decode().partition(" ")
        if what == "started":
            self._pid = int(number)
        else:
            self._code = int(number) if what == "ended" else self._process.wait()
        return True

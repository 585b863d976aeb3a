"""Starts processes of the service by forking a warm interpreter, and sees how each ends."""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SERVICE_FOLDER = Path(__file__).parents[3]
COVERAGE_VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
PATIENCE_S = 240.0  # one command takes 20 s where ten others run beside it
PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec nothing should import or allocate.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Warm:
    """The warm interpreter, which all workers share."""

    def __init__(self) -> None:
        """Begin to load the libraries; nobody waits."""
        rules = os.environ.get("TESTBAY_COVERAGE", os.environ.get("COVERAGE_PROCESS_START", ""))
        unmeasured = {name: value for name, value in os.environ.items() if name not in COVERAGE_VARIABLES}
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("")  # Linux chooses a name, which no file has
            listening.listen()
            self.address: bytes = listening.getsockname()
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("warm.py")), str(listening.fileno()), rules],
                cwd=SERVICE_FOLDER,
                env=unmeasured,
                stdin=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                preexec_fn=_die_with_parent,  # noqa: PLW1509 -- between fork and exec only prctl is called
            )

    def close(self) -> None:
        """End it, and with it everything that was started."""
        self._process.kill()
        self._process.wait()


class Launcher:
    """A connection to the warm interpreter, and what it knows of those it started."""

    def __init__(self, address: bytes) -> None:
        """Connect; it may still be loading."""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        self._said = self._connection.makefile("rb", buffering=0)
        self._started: list[int] = []
        self._ended: dict[int, int] = {}

    def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
        """Start `error-monitor ARGV…`; its process id."""
        asked = {"argv": list(argv), "env": dict(env), "log": str(log)}
        self._connection.sendall(json.dumps(asked).encode() + b"\n")
        while not self._started:
            self._hear(PATIENCE_S)
        return self._started.pop()

    def code(self, pid: int) -> int | None:
        """The exit code, or None while the process runs."""
        while pid not in self._ended and self._hear(0):
            pass
        return self._ended.get(pid)

    def wait(self, pid: int) -> int:
        """The exit code, when the process has ended. One that does not end is killed, which then shows in the code."""
        if self.code(pid) is None and not self._heard_of(pid):
            os.kill(pid, signal.SIGKILL)
            self._heard_of(pid)
        return self._ended[pid]

    def end(self, pid: int, how: signal.Signals) -> int:
        """Send a signal, also to a frozen process, and wait; the exit code."""
        if self.code(pid) is None:
            os.kill(pid, how)
            with suppress(ProcessLookupError):  # SIGKILL needs no more
                os.kill(pid, signal.SIGCONT)
        return self.wait(pid)

    def close(self) -> None:
        """End everything that was started."""
        self._connection.close()
        self._said.close()

    def _heard_of(self, pid: int) -> bool:
        while pid not in self._ended:
            if not self._hear(PATIENCE_S):
                return False
        return True

    def _hear(self, timeout_s: float) -> bool:
        if not select.select([self._said], [], [], timeout_s)[0]:
            return False
        try:
            words = self._said.readline().decode().split()
        except ConnectionResetError:
            words = []  # it ended before it took our connection
        assert words, "the warm interpreter has ended: a library cannot be loaded"
        if words[0] == "started":
            self._started.append(int(words[1]))
        else:
            self._ended[int(words[1])] = int(words[2])
        return True


def _die_with_parent() -> None:
    # A `kill -9` of pytest runs no fixture's teardown; the kernel then ends the child for us.
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

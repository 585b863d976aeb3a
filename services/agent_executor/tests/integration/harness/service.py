"""The service under test, as one process of its own."""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from harness.contract import SERVICE_FOLDER
from harness.process import end, new_log, spawn
from harness.waiting import eventually

# What makes an interpreter measure coverage from its first line on; warm.py does it after the libraries are loaded,
# which takes a process twice the time while it is traced.
COVERAGE_VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
MEASURE_LATER = "LATER_"

if TYPE_CHECKING:
    import subprocess


class Service:
    """Starts, stops and kills `uvicorn agent_executor.app:app`; the URL stays the same."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = new_log()
        self._process: subprocess.Popen[bytes] | None = None
        self._spare: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start the process unless it runs, without waiting until it is ready; whether it was started."""
        if self._process is not None and self._process.poll() is None:
            return False
        self._process, self._spare = self._spare or self._spawn(), None
        assert self._process.stdin is not None
        self._process.stdin.write(b"start\n")
        self._process.stdin.flush()
        return True

    def prepare_spare(self) -> None:
        """Have an interpreter load its libraries now, for the next call of `start`."""
        self._spare = self._spare or self._spawn()

    def drop_spare(self) -> None:
        """End the spare interpreter; the next `start` is a cold one, with the environment as it is then."""
        spare, self._spare = self._spare, None
        if spare is not None:
            end(spare, signal.SIGKILL)

    def wait_until_healthy(self) -> None:
        """Return when the service says so; fail at once when it has ended."""
        eventually(self._is_healthy, f"{self.url}/api/health to be healthy")

    def stop(self) -> int | None:
        """SIGTERM; the exit code, or None when it did not run."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """SIGKILL; the exit code, or None when it did not run."""
        return self._end(signal.SIGKILL)

    def logs(self, since: int = 0) -> str:
        """What the service wrote, from an offset as `log_size` gave it."""
        return os.pread(self._log.fileno(), self.log_size() - since, since).decode(errors="replace")

    def log_size(self) -> int:
        """How much it has written."""
        return os.fstat(self._log.fileno()).st_size

    def close(self) -> None:
        """End every process; the log stays readable, for the report of a test that failed while it was closed."""
        self.drop_spare()
        self.stop()

    def forget_log(self) -> None:
        """Let go of the log."""
        self._log.close()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        """An interpreter that loads the libraries, unmeasured, and waits for the word to become the service."""
        launcher = str(Path(__file__).with_name("warm.py"))
        measure = {MEASURE_LATER + name: value for name, value in os.environ.items() if name in COVERAGE_VARIABLES}
        env = {**self.env, **dict.fromkeys(COVERAGE_VARIABLES, None), **measure}
        application = ["uvicorn", "agent_executor.app:app", "--host", "127.0.0.1", "--port", str(self.port)]
        return spawn([sys.executable, launcher, *application], cwd=SERVICE_FOLDER, env=env, log=self._log)

    def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        return None if process is None else end(process, how)

    def _is_healthy(self) -> bool:
        assert self._process is not None, "the service was not started"
        code = self._process.poll()
        assert code is None, f"the service ended with exit code {code}:\n{self.logs()[-4000:]}"
        try:
            with urlopen(f"{self.url}/api/health", timeout=5) as response:  # noqa: S310 -- our own http URL
                return bool(json.load(response)["status"] == "healthy")
        except (URLError, OSError):
            return False  # not listening yet, or a 503


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

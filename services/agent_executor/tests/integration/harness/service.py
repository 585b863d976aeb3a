"""The service under test, as one process of its own."""

import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from harness.launcher import Launcher
from harness.waiting import eventually


class Service:
    """Starts, stops and kills `uvicorn agent_executor.app:app`; the URL stays the same.

    `env` is what a process is told when it starts, beside the environment we had when this was made.
    """

    def __init__(self) -> None:
        """Begin to load its libraries."""
        self.env: Mapping[str, str] = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = _log()
        self.log = Path(self._log.name)
        argv = ["uvicorn", "agent_executor.app:app", "--host", "127.0.0.1", "--port", str(self.port)]
        self._launcher = Launcher(argv, self._log)
        self._is_started = False
        self._is_closed = False

    def start(self) -> bool:
        """Start the process unless it runs, without waiting until it is ready; whether it was started."""
        if self._is_started and self._launcher.poll() is None:
            return False
        self._launcher.start(self.env)
        self._is_started = True
        return True

    def wait_until_healthy(self) -> None:
        """Return when the service says so; fail at once when it has ended."""
        eventually(self._is_healthy, f"{self.url}/api/health to be healthy")

    def stop(self) -> int | None:
        """SIGTERM; the exit code, or None when it did not run."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """SIGKILL; the exit code, or None when it did not run."""
        return self._end(signal.SIGKILL)

    def logs(self) -> str:
        """What the service wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End it for good; the log stays readable, for the report of a test that failed while it was closed."""
        if not self._is_closed:
            self.stop()
            self._launcher.close()
        self._is_closed = True

    def forget_log(self) -> None:
        """Let go of the log."""
        self._log.close()

    def _end(self, how: signal.Signals) -> int | None:
        was_started, self._is_started = self._is_started, False
        return self._launcher.end(how) if was_started else None

    def _is_healthy(self) -> bool:
        assert self._is_started, "the service was not started"
        code = self._launcher.poll()
        assert code is None, f"the service ended with exit code {code}:\n{self.logs()[-4000:]}"
        try:
            with urlopen(f"{self.url}/api/health", timeout=5) as response:  # noqa: S310 -- our own http URL
                return bool(json.load(response)["status"] == "healthy")
        except HTTPError as error:
            error.close()  # it holds the answer's body
            return False
        except (URLError, OSError):
            return False  # not listening yet


def _log() -> "IO[bytes]":
    """With the run's other logs; of a plain pytest it is gone with the last who holds it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if folder := os.environ.get("TESTBAY_RUN_DIR"):
        return (Path(folder) / "logs" / f"agent_executor{worker and '-'}{worker}.log").open("ab")
    return NamedTemporaryFile(prefix="agent_executor-", suffix=".log")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""One instance of the monitor as a process of its own, and what a test asks it."""

import os
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from harness.launcher import Launcher
from harness.waiting import PATIENCE_S, eventually
from testbay import fixtures

TOKEN = "only-for-tests-0123456789"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts no certificate: loading those that are takes 30 ms


class Instance:
    """Starts, freezes and kills `error-monitor serve`; the address stays the same."""

    def __init__(self, launcher: Launcher, env: Mapping[str, str], log: Path) -> None:
        self.env = dict(env)
        self.log = log
        self._held = held_port()
        self.port: int = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/error-monitor"
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, verify=NO_TLS, trust_env=False
        )
        self._launcher = launcher
        self.pid = 0

    def start(self) -> "Instance":
        """Start it, without waiting until it answers."""
        self.pid = self._launcher.start(["serve", "--port", str(self.port)], self.env, self.log)
        return self

    def ready(self) -> "Instance":
        """Wait until it answers, well or not; fail at once when it has ended."""
        fixtures.eventually(self._answers, f"{self.url} to answer", PATIENCE_S)
        return self

    def scan(self) -> dict[str, Any]:
        """What a whole scan came to that began after this call. Where others may lead, `several.scan` asks all."""
        try:
            answer = eventually(self.try_scan, f"{self.url} to scan")
        except AssertionError as exc:
            exc.add_note(self.logs()[-4000:])
            raise
        assert answer is not None
        return answer

    def try_scan(self) -> dict[str, Any] | None:
        """What a scan came to; None where another instance leads, or the scan was interrupted."""
        assert self._launcher.code(self.pid) is None, self.logs()[-4000:]
        try:
            response = self.client.post("/monitor/scan")
        except httpx.HTTPError:
            return None
        return response.json() if response.status_code == 200 else None

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of an address that has to answer 200."""
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def patterns(self, **params: Any) -> list[dict[str, Any]]:
        """The patterns that fit, in a fixed order."""
        found: list[dict[str, Any]] = self.get("/errors/patterns", order="events", limit=200, **params)["patterns"]
        return found

    def counts(self, **params: Any) -> dict[str, int]:
        """How often each message, or type and message, was counted; of the patterns that fit."""
        found = self.patterns(**params)
        return {f"{one['type']}: {one['message']}".removeprefix(": "): one["events"] for one in found}

    def status(self) -> dict[str, Any]:
        """The state of things."""
        found: dict[str, Any] = self.get("/autonomous/status")
        return found

    def leads(self) -> bool:
        """Return whether it holds the lease."""
        try:
            return bool(self.client.get("/health", timeout=5).json()["leader"])
        except httpx.HTTPError:
            return False

    def freeze(self) -> None:
        """Stop it where it stands, as a machine that is suspended."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        return self._launcher.end(self.pid, signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._launcher.end(self.pid, signal.SIGTERM)

    def exit_code(self) -> int:
        """The exit code, when it ends by itself."""
        return self._launcher.wait(self.pid)

    def logs(self) -> str:
        """What it said."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        """End it for good."""
        self.client.close()  # first: uvicorn does not end while a connection is open
        if self.pid:
            self.stop()
        self._held.close()

    def _answers(self) -> bool:
        code = self._launcher.code(self.pid)
        assert code is None, f"the monitor ended with exit code {code}:\n{self.logs()[-4000:]}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()  # a refusal costs far less this way
            return self.client.get("/health", timeout=5).status_code in {200, 503}
        except (OSError, httpx.HTTPError):
            return False


Make = Callable[..., Instance]


def held_port() -> socket.socket:
    """A socket that keeps a port for servers that set SO_REUSEADDR, as asyncio's do: the kernel gives it to no other.

    A port that is only looked for can be taken before the server binds it: by another worker, or by the very connection
    that asks whether the server answers, which may meet itself there.
    """
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only now: it has to be free, and may then be shared
    return held

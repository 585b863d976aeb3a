"""The service under test: a process on a lease, started until it is ready, and ended with the test."""

import http.client
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from testbay import ports, process
from testbay.errors import EngineUnavailableError, ManifestError, NotReadyError
from testbay.harness import commandline, world
from testbay.harness.plans import PORT, Tenancy
from testbay.logs import tail
from testbay.manifest.environments import installer
from testbay.text import nearest

if TYPE_CHECKING:
    import httpx

    from testbay.harness.launch.launcher import Launcher
    from testbay.harness.launch.warm import Forked

_FIRST_PORT = 18100
_PATIENCE_S = 10.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.003, 0.02
_REAPED_WITHIN_S = 6.0 if process.LINUX else 0.0  # for the processes of a killed service
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)  # others are sent by someone
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no http_proxy leads to our own loopback


class Service:
    """The `service` fixture. Start, stop and restart the service as a test needs it; the log grows through all of it.

    Args:
        tenancy: The stack it belongs to, with the manifest's start command and ready path.
        env: The whole environment, with the addresses of the dependencies.
        log: The file for standard output and standard error.
        launcher: Starts its processes.
        ready_timeout_s: The time limit for becoming ready.
        values: The values of the command's placeholders, besides `{port}`.
        name: The name in reports, if it is not the manifest's.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        env: Mapping[str, str],
        log: Path,
        launcher: "Launcher",
        ready_timeout_s: float,
        *,
        values: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        if not tenancy["start"]:
            raise ManifestError(
                f"{tenancy['service']}: the manifest does not say how the service is started",
                todo='add start = "uvicorn app:app --port {port}" and ready = "/health": testbay explain add-a-service',
            )
        self.env = {"PYTHONUNBUFFERED": "1"} | dict(env)  # or its last output is lost when it is killed
        self.name = name or tenancy["service"]
        self.log = log
        self.closed = False
        self._tenancy = tenancy
        self._values = dict(values or {})
        self._launcher = launcher
        self._ready_timeout_s = ready_timeout_s
        self._port, self._lock = ports.hold(_FIRST_PORT, fixed=False, name="service")
        self._child: process.Child | Forked | None = None
        self._client: httpx.Client | None = None

    @property
    def url(self) -> str:
        """The address of the service; the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def client(self) -> "httpx.Client":
        """An HTTP client with that address as its base.

        Raises:
            EngineUnavailableError: The Python of the tests has no httpx.
        """
        if self._client is None:
            import ssl

            try:
                import httpx  # half the start-up of a small suite: only when it is asked for
            except ModuleNotFoundError as error:
                raise EngineUnavailableError(
                    f"service.client: {error}",
                    why="the Python of the tests lacks it",
                    todo=f"{installer(Path(sys.executable))} httpx; or ask service.url by a client of your own",
                ) from None
            no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the trusted certificates takes 30 ms
            self._client = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False, verify=no_tls)
        return self._client

    @property
    def logs(self) -> str:
        """The log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def condition(self) -> str:
        """The condition of the process, in words."""
        if self._child is None:
            return f"{self.name}: not running"
        code = self._child.poll()
        if code is None:
            return f"{self.name}: running on port {self._port}"
        return f"{self.name}: {f'ended with exit code {code}' if code >= 0 else process.ended_by(-code)}"

    def crash(self) -> str:
        """Return how the process ended by itself, in words; empty if it runs, was stopped, or ended in order."""
        code = None if self._child is None else self._child.poll()
        return self.condition() if code is not None and (code > 0 or -code in _CRASHES) else ""

    @world.really
    def start(self, *, wait: bool = True) -> None:
        """Start the service and wait until its `ready` path answers; without `wait` return at once.

        Raises:
            NotReadyError: It ended, or stayed silent; its last lines are the evidence.
            ManifestError: The command cannot be run.
        """
        if self._child is not None and self._child.poll() is None:
            return
        with self.log.open("ab") as output:
            command, port = self._tenancy["start"], str(self._port)
            env = self.env if PORT in command else {**self.env, "PORT": port}  # as platforms tell a program
            self._child = self._launcher.start(command, self._values | {"port": port}, env, output)
        if wait:
            self.await_ready()

    @world.really
    def await_ready(self) -> None:
        """Wait until its `ready` path answers.

        Raises:
            NotReadyError: It ended, or stayed silent; its last lines are the evidence.
        """
        if self._child is None:
            raise self._not_ready("was not started")
        self._await_ready(self._child)
        self._launcher.answered(self._child)

    def _await_ready(self, child: "process.Child | Forked") -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        pause_s = _FIRST_PAUSE_S
        said = "no answer yet"
        while time.monotonic() < deadline:
            if child.poll() is not None:
                todo = "" if child.returncode else "keep it in the foreground: testbay watches what `start` starts"
                raise self._not_ready(f"ended with exit code {child.returncode} before it answered", todo)
            try:
                with _DIRECT.open(f"{self.url}/{self._tenancy['ready'].lstrip('/')}", timeout=2.0):
                    return
            except urllib.error.HTTPError as error:
                error.close()
                said = f"HTTP {error.code}"
            except (OSError, http.client.HTTPException) as error:
                said = str(error)
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, _LAST_PAUSE_S)
        raise self._not_ready(f"did not answer {self._tenancy['ready']} within {self._ready_timeout_s:g} s: {said}")

    def _not_ready(self, what: str, todo: str = "") -> NotReadyError:
        self.stop()
        said = tail(self.log)
        how = "`start` and `ready` in the manifest say how it is started and asked"
        known = self._values | {"port": ""}
        if strange := [name for name in commandline.names_in(self._tenancy["start"]) if name not in known]:
            how = f"`start` has {{{strange[0]}}}, which testbay does not know{nearest(strange[0], known)}"
        return NotReadyError(
            f"{self._tenancy['service']} {what}",
            why="its last log lines say" if said else "it logged nothing",
            todo=todo or (f"fix what they name; {how}" if said else how),
            evidence=f"{self.log}\n{said}",
        )

    @world.really
    def stop(self) -> int | None:
        """Stop the service as an orchestrator does: SIGTERM, and after ten seconds SIGKILL to what is left of it.

        Return its exit code, negative for the signal that ended it; None when it was not started.
        """
        if self._child is None:
            return None
        if commandline.needs_shell(self._tenancy["start"]):  # a shell waits for its child, and does not tell it
            process.signal_each(process.descendants(self._child.pid), signal.SIGTERM)
        else:
            self._child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_PATIENCE_S)
        return self.kill()

    @world.really
    def kill(self) -> int | None:
        """SIGKILL the service and everything it started: nothing is flushed or handed back; `start` starts it again.

        Coverage since its start is lost, as it would have been saved at the end; that of earlier and later processes is
        not. Returns the same as `stop`.
        """
        if self._child is None:
            return None
        process.end(process.descendants(self._child.pid), first=signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_REAPED_WITHIN_S)
        process.end(process.in_session(self._child.pid), first=signal.SIGKILL)
        code = self._child.wait()
        self._child = None
        return code

    def restart(self) -> None:
        """Stop the service, start it again, wait until it is ready."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the service and free its port."""
        self.closed = True
        self.stop()
        if self._client is not None:
            self._client.close()
        self._lock.close()

"""The caller's side of the fork server: orders modules, requests starts, waits for processes to end."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from testbay import process
from testbay.harness.launch.program import PythonProgram

_PROGRAM = Path(__file__).with_name("forkserver.py")
_LENGTH_BYTES = 8
_LOADED_WITHIN_S = 120.0
_STARTED_WITHIN_S = 30.0
_MEASURING = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
# Read by Python and by C libraries at their start: no fork can be told another value.
_FROM_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "OMP_", "MKL_", "OPENBLAS_")
_CHANGES_ALWAYS = "PYTEST_CURRENT_TEST"


def request(
    program: PythonProgram, argv: Sequence[str], env: Mapping[str, str], cwd: str, record: Path | None
) -> dict[str, Any]:
    """Compose the request for one start; the process writes the names of its modules to `record`."""
    return {
        "name": Path(program.file or "python").name,
        "argv": list(argv),
        "module": program.module,
        "file": program.file,
        "arguments": list(program.arguments),
        "env": dict(env),
        "cwd": cwd,
        "measured": any(env.get(name) for name in _MEASURING),
        "record": str(record or ""),
    }


def read_at_start(*environs: Mapping[str, str]) -> set[str]:
    """Select the variables that Python and C libraries read at their start."""
    return {name for environ in environs for name in environ if name.startswith(_FROM_THE_START)}


class GoneError(Exception):
    """The fork server ended, or did not answer."""


class Forked:
    """A process that the fork server started, with those members of `process.Child` that a service needs."""

    def __init__(self, status: int) -> None:
        self.returncode: int | None = None
        self._status = status
        said = self._line(_STARTED_WITHIN_S)
        if not said:
            os.close(status)
            raise GoneError
        self.pid = int(said)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        self._read_status(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        self._read_status(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("the service", timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal the process, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _read_status(self, timeout_s: float | None) -> None:
        if self.returncode is not None:
            return
        said = self._line(timeout_s)
        if said is not None:
            self.returncode = int(said) if said else -signal.SIGKILL  # it was killed before it could say
            os.close(self._status)

    def _line(self, timeout_s: float | None) -> bytes | None:
        """The next line of the status pipe; empty at its end, None after the time-out."""
        said = b""
        waiting = select.poll()  # `select.select` refuses a descriptor above 1023
        waiting.register(self._status, select.POLLIN)
        while not said.endswith(b"\n"):
            if not waiting.poll(None if timeout_s is None else timeout_s * 1000):
                return None
            if not (byte := os.read(self._status, 1)):
                return b""
            said += byte
        return said


class ForkServer:
    """An interpreter that loads modules in the background, and forks on request.

    Args:
        options: The interpreter's own options.
        env: The interpreter's environment from its start.
        cwd: The interpreter's working folder.
        order: The `modules` to load, and the names of the service's `own` modules.
        log: The file for its output; services have their own.
    """

    def __init__(
        self, options: Sequence[str], env: Mapping[str, str], cwd: str, order: Mapping[str, Any], log: IO[bytes]
    ) -> None:
        self.env = {name: value for name, value in env.items() if name not in _MEASURING}
        self.options = tuple(options)
        self._answer: dict[str, Any] = {}
        ours, theirs = socket.socketpair()
        self._channel = ours
        argv = [sys.executable, *options, str(_PROGRAM)]
        with theirs:
            self._child = process.spawn(
                argv, env=self.env, cwd=cwd, stdin=theirs.fileno(), output=log, new_session=True
            )
        self._say(order)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its session."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def loaded(self) -> dict[str, Any]:
        """Wait until the modules are loaded; return the answer of `preloading.load`.

        Raises:
            GoneError: It ended, or takes too long.
        """
        if not self._answer:
            self._channel.settimeout(_LOADED_WITHIN_S)
            try:
                self._answer = json.loads(self._receive(int.from_bytes(self._receive(_LENGTH_BYTES), "big")))
            except (OSError, ValueError):
                raise GoneError from None
        return self._answer

    def differs(self, env: Mapping[str, str]) -> str:
        """Say which variable had another value than in `env` when it was read, and by which module; empty if none."""
        answer = self.loaded()
        read = {name: (self.env.get(name), "Python") for name in read_at_start(self.env, env)}
        if answer["whole"]:
            read |= {name: (self.env.get(name), answer["whole"]) for name in {**self.env, **env}}
        read |= answer["reads"]
        other = (name for name, (value, _) in read.items() if _is_another(name, value, env.get(name)))
        return next((f"{read[name][1]} read {name} as it was loaded, which has changed since" for name in other), "")

    def start(self, request: Mapping[str, Any], output: IO[bytes]) -> Forked:
        """Fork a process that becomes the requested program, in a session of its own.

        Raises:
            GoneError: It ended.
        """
        reading, writing = os.pipe()
        try:
            self._say(request, [output.fileno(), writing])
        except OSError:
            os.close(reading)
            raise GoneError from None
        finally:
            os.close(writing)
        return Forked(reading)

    def close(self) -> None:
        """End the fork server and everything it started."""
        self._channel.close()
        process.end(process.in_session(self.pid), first=signal.SIGKILL)  # also what a library has started
        self._child.wait()

    def _say(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        body = json.dumps(message).encode()
        self._channel.settimeout(_STARTED_WITHIN_S)
        with contextlib.suppress(BrokenPipeError) if not descriptors else contextlib.nullcontext():
            socket.send_fds(self._channel, [len(body).to_bytes(_LENGTH_BYTES, "big")], list(descriptors))
            self._channel.sendall(body)

    def _receive(self, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            if not (part := self._channel.recv(length - len(found))):
                raise OSError("the fork server ended")
            found += part
        return bytes(found)


def _is_another(name: str, value: str | None, wanted: str | None) -> bool:
    if name in _MEASURING:
        return False
    return (value is None) != (wanted is None) if name == _CHANGES_ALWAYS else value != wanted

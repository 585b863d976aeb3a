"""Starting the processes of one service: as a fork of a warm interpreter if that is safe, else cold."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from testbay import process
from testbay.errors import ManifestError
from testbay.harness import commandline
from testbay.harness.launch import learned, warm
from testbay.harness.launch.learned import Learned
from testbay.harness.launch.program import PythonProgram, taken_apart
from testbay.harness.launch.warm import Forked, ForkServer, GoneError
from testbay.harness.plans import Tenancy

_ROUNDS = 5  # interpreters until one has nothing that must not be loaded ahead
_AFTER_FORK = "COV_CORE_SOURCE"  # how pytest-cov before 7 measures: at an interpreter's start


def with_path(env: Mapping[str, str]) -> dict[str, str]:
    """The variables, with the folder of the tests' Python first on the PATH."""
    return dict(env) | {"PATH": commandline.search_path(str(Path(sys.executable).parent), env.get("PATH"))}


class Launcher:
    """Starts the processes of one service.

    Args:
        tenancy: The service's start command and folder.
        cache_dir: The folder for the list of modules that the service loads.
        log: The file for the warm interpreter's own output.
        own: Called with each process session, which then ends with us.
    """

    def __init__(self, tenancy: Tenancy, cache_dir: Path, log: Path, own: Callable[[int], None]) -> None:
        self.cold_starts = 0
        self.why_cold = ""
        self._gave_up = False
        self.name = tenancy["service"]
        self._tenancy = tenancy
        self._preload = tenancy.get("preload", "auto")
        self._learned = Learned(cache_dir, tenancy)
        self._log = log
        self._own = own
        self._server: ForkServer | None = None
        self._others: list[ForkServer] = []  # processes that they started may still run
        self._modules: list[str] | None = None
        self._records: dict[int, Path] = {}

    def begin(self, env: Mapping[str, str]) -> None:
        """Begin to load, in the background, the modules that the service is known to import."""
        env = with_path(env)
        program = self._warm(commandline.argv(self._tenancy["start"], {"port": "0"}, env["PATH"]), env)
        if program is not None and self._known() is not None:
            self._ordered(program, env)

    def start(
        self, command: str, values: Mapping[str, str], env: Mapping[str, str], output: IO[bytes]
    ) -> "process.Child | Forked":
        """Start a process of the service, or another program of the project; `values` fill the command's placeholders.

        Raises:
            ManifestError: The command cannot be run.
        """
        env = with_path(env)
        argv = commandline.argv(command, values, env["PATH"])
        started: process.Child | Forked | None = self._forked(
            argv, env, output, learn=command == self._tenancy["start"]
        )
        if started is None:
            self.cold_starts += 1
            started = self._cold(argv, env, output)
        self._own(started.pid)
        return started

    def _cold(self, argv: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> process.Child:
        where = self._tenancy["root"]
        try:
            return process.spawn(
                argv, env=env, cwd=where, stdin=subprocess.DEVNULL, output=output, new_session=True, reaped=True
            )
        except OSError as error:
            raise ManifestError(
                f"start: cannot run {shlex.join(argv)}: {error.strerror}", todo="name a program of this environment"
            ) from None

    def _forked(self, argv: Sequence[str], env: Mapping[str, str], output: IO[bytes], *, learn: bool) -> Forked | None:
        program = self._warm(argv, env)
        try:
            if program is None or (server := self._ready(program, env)) is None:
                return None
            record = self._learned.record() if learn and self._known() is None else None
            started = server.start(warm.request(program, argv, env, self._tenancy["root"], record), output)
        except GoneError:
            self._give_up("the warm interpreter has ended")
            return None
        except OSError as error:  # a full disk, no more descriptors
            self._give_up(str(error))
            return None
        if record is not None:
            self._records[started.pid] = record
        return started

    def answered(self, child: "process.Child | Forked") -> None:
        """Note that a process is ready: the modules it has loaded by now are preloaded for the next one."""
        if (record := self._records.pop(child.pid, None)) is None:
            return
        self._modules = learned.recorded(record)
        self._learned.keep(self._modules)
        self._retire()

    def close(self) -> None:
        """End the interpreters, and everything they started."""
        self._retire()
        for server in self._others:
            server.close()
        self._others.clear()
        for record in self._records.values():  # of processes that never answered
            record.unlink(missing_ok=True)

    def _warm(self, argv: Sequence[str], env: Mapping[str, str]) -> PythonProgram | None:
        """The command as a Python program if it may be forked, else None."""
        if self._preload == "off" or not process.LINUX or self._gave_up:
            return None
        if _AFTER_FORK in env:
            self._give_up("pytest-cov before 7 measures it")
            return None
        found = taken_apart(argv, env["PATH"])
        if isinstance(found, PythonProgram):
            return found
        self.why_cold = found
        return None

    def _known(self) -> list[str] | None:
        """The modules to preload; None while they are to be learned."""
        if self._modules is None:
            self._modules = self._preload if isinstance(self._preload, list) else self._learned.modules()
        return self._modules

    def _ordered(self, program: PythonProgram, env: Mapping[str, str]) -> ForkServer:
        """The existing interpreter for such programs, else a new one that begins to load."""
        server = self._server
        if server is not None and server.options == program.options and server.is_alive:
            return server
        self._retire()
        own = learned.own_names(Path(self._tenancy["root"]), env)
        order = {"modules": self._known() or [], "own": own}
        with self._log.open("ab") as log:
            self._server = ForkServer(program.options, env, self._tenancy["root"], order, log)
        self._own(self._server.pid)
        return self._server

    def _ready(self, program: PythonProgram, env: Mapping[str, str]) -> ForkServer | None:
        """An interpreter that may be forked for this environment; None, with the reason noted, if none may."""
        for _ in range(_ROUNDS):
            server = self._ordered(program, env)
            answer = server.loaded()
            if spoilt := answer["spoilt"]:
                self._do_without(spoilt)
                continue
            if answer["unsafe"]:
                self._give_up(answer["unsafe"])
                return None
            if stale := server.differs(env):
                self.why_cold = stale
                return None
            return server
        self._give_up("too many of its libraries cannot be loaded ahead")
        return None

    def _do_without(self, spoilt: Mapping[str, str]) -> None:
        """Leave these modules out and take another interpreter: this one may have executed them in part."""
        left = [name for name in self._known() or () if name not in spoilt]
        self._modules = left
        if not isinstance(self._preload, list):
            self._learned.keep(left)
        self._retire()

    def _retire(self) -> None:
        if self._server is not None:
            self._others.append(self._server)
            self._server = None

    def _give_up(self, why: str) -> None:
        """Start cold from now on, and note why."""
        self._gave_up, self.why_cold = True, why

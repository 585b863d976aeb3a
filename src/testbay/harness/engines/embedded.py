"""The embedded engine: servers as our own child processes, which die with us and listen on loopback only."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from testbay import ports, process
from testbay.errors import EngineUnavailableError
from testbay.harness.engines import Report, sandbox, templates
from testbay.harness.plans import PORT, Preparation, ProcessPlan, StackPlan
from testbay.logs import tail

_UNPRIVILEGED = "nobody"
_DOCTOR = "`testbay doctor` looks at this machine's programs"
NAMELESS = "give this user a line in /etc/passwd, run as root, or take --engine compose"
_CAP_SETPCAP = 8  # linux/capability.h
_PATIENCE_S = 3.0  # a PostgreSQL that is killed instead of ended leaves a shared memory segment behind


class Embedded:
    """Native servers of one stack. Start and stop from the same, main thread: the kernel ties the children to it."""

    def __init__(self) -> None:
        self._plans: dict[str, ProcessPlan] = {}
        self._ports: dict[str, int] = {}
        self._held: dict[str, socket.socket] = {}
        self._further: set[str] = set()
        self._running: dict[str, process.Child] = {}
        self._report: Report = lambda _: None
        self._stack = ""

    def start(self, plan: StackPlan, report: Report) -> None:
        """Start the servers that need no preparation first, so that they come up while the others are prepared."""
        self._report = report
        self._stack = plan["home"]
        for server in plan["processes"]:
            self._hold(server)
        report({"ports": self._ports})
        for server in sorted(plan["processes"], key=lambda server: len(server["prepare"])):
            self._prepare(server)
            self._launch(server)

    def _hold(self, server: ProcessPlan) -> None:
        port, lock = ports.hold(server["port"], fixed=server["fixed_port"], name=server["name"])
        self._held[server["name"]] = lock
        self._ports[server["name"]] = port
        self._plans[server["name"]] = server

    def serve(self, server: ProcessPlan) -> int:
        """Start the server as at the stack's start."""
        self._further.add(server["name"])
        try:
            self._hold(server)
            self._prepare(server)
            self._launch(server)
        except BaseException:
            self.unserve(server["name"])
            raise
        return self._ports[server["name"]]

    def unserve(self, name: str) -> None:
        """End the server; its port is free afterwards."""
        if name not in self._further:
            return
        self._further.remove(name)
        if child := self._running.pop(name, None):
            child.send_signal(self._plans[name]["stop_signal"])
            _wait(child, _PATIENCE_S)
        if lock := self._held.pop(name, None):
            lock.close()
        if plan := self._plans.pop(name, None):
            shutil.rmtree(plan["home"], ignore_errors=True)

    def _prepare(self, server: ProcessPlan) -> None:
        home = Path(server["home"])
        home.mkdir(mode=0o700)
        for name, text in server["files"].items():
            (home / name).write_text(text, encoding="utf-8")
        if server["caged"]:
            _give_away(home)
        warm = bool(server["template"]) and templates.restore(Path(server["template"]), Path(server["data"]))
        if server["template"]:
            self._report({"warm": {server["name"]: warm}})
        if not warm:
            self._initialise(server)

    def _initialise(self, server: ProcessPlan) -> None:
        """Make the data directory, or copy what the same steps made before."""
        data = Path(server["data"])
        if server["initial"] and templates.restore(Path(server["initial"]), data):
            return
        for step in server["prepare"]:
            self._run_step(server, step)
        if server["initial"]:
            templates.save(Path(server["initial"]), data)

    def _run_step(self, server: ProcessPlan, step: Preparation) -> None:
        """Run a preparation to its end. If we die, SIGTERM ends it: initdb hands it on, so shared memory is freed."""
        log = Path(server["log"])
        with log.open("ab") as output:
            child = self._spawn(
                server, step["argv"], signal.SIGTERM, cwd=server["home"], stdin=subprocess.PIPE, output=output
            )
            self._report({"pids": {f"{server['name']} (preparing)": process.identify(child.pid)}})
            child.communicate(step.get("stdin", "").encode())
        if child.returncode != 0:
            program = Path(step["argv"][0]).name
            said = tail(log)
            why, todo = unprepared(said, server["home"])
            raise EngineUnavailableError(
                f"{server['name']}: {program} failed with exit code {child.returncode} while preparing its data",
                why=why,
                todo=todo,
                evidence=said,
            )

    def _launch(self, server: ProcessPlan) -> None:
        argv = [word.replace(PORT, str(self._ports[server["name"]])) for word in server["argv"]]
        with Path(server["log"]).open("ab") as log:
            child = self._spawn(
                server, argv, server["stop_signal"], cwd=server["cwd"], stdin=subprocess.DEVNULL, output=log
            )
        self._running[server["name"]] = child
        self._report({"pids": {server["name"]: process.identify(child.pid)}})

    def _spawn(self, server: ProcessPlan, argv: list[str], death_signal: int, **streams: Any) -> process.Child:
        """Start a server's program as an ordinary user and in its cage."""
        user = _unprivileged(server, death_signal)
        with _cage(server, [*user[:1], *_programs(argv[0])]) as confine:
            try:
                return process.spawn(
                    [*user, *argv],
                    env=self._environment(server),
                    new_session=True,
                    death_signal=death_signal,
                    confine=confine,
                    **streams,
                )
            except subprocess.SubprocessError:  # Popen's only report of an error in the child before exec
                raise _unconfined(server) from None

    def _environment(self, server: ProcessPlan) -> dict[str, str]:
        """Make an environment without the caller's variables: a server must inherit no secret, PGDATA or locale.

        Each process also shows to which stack it belongs.
        """
        base = {"PATH": os.defpath, "HOME": server["home"], "LANG": "C", "TESTBAY_STACK": self._stack}
        return base | server["env"]

    def snapshot(self, name: str, template: str) -> bool:
        """Stop a server properly, save its data, and start it again on the same port."""
        child = self._running.pop(name, None)
        if child is None:  # `exited` has told so
            return False
        server = self._plans[name]
        child.send_signal(server["pause_signal"])
        _wait(child, 30.0)
        kept = child.returncode == 0 and templates.save(Path(template), Path(server["data"]))
        self._launch(server)
        return kept

    def exited(self) -> list[tuple[str, int]]:
        """Return the servers that have ended, without waiting."""
        ended = [(name, code) for name, child in self._running.items() if (code := child.poll()) is not None]
        for name, _ in ended:
            del self._running[name]
        return [(name, code) for name, code in ended if name not in self._further]

    def stop(self) -> list[str]:
        """Stop all servers at once, then SIGKILL the rest; a server's children (PostgreSQL's) are in its session."""
        for name, child in self._running.items():
            child.send_signal(self._plans[name]["stop_signal"])
        deadline = time.monotonic() + _PATIENCE_S
        for child in self._running.values():
            _wait(child, max(0.0, deadline - time.monotonic()))
        left = []
        for child in self._running.values():
            left += process.end(process.in_session(child.pid), first=signal.SIGKILL)
        for lock in self._held.values():
            lock.close()
        return [f"process {member.pid}" for member in left]


def unprepared(output: str, home: str) -> tuple[str, str]:
    """Say why a preparation failed, by its own last words, and what to do."""
    if "could not look up effective user ID" in output:
        return "this user has no name", NAMELESS
    if "No space left on device" in output:
        return f"the disk of {home} is full", "free some space there, or name another folder: TESTBAY_CACHE_DIR"
    return "its last lines say", f"fix what they name; {_DOCTOR}"


def collect(record: dict[str, Any]) -> list[str]:
    """Clean up after a dead guard, from its record: its children got their death signal; wait, and make sure."""
    named = [process.ProcessId(*pid) for pid in record.get("pids", {}).values()]
    stragglers = [p for p in named if p.alive()]
    left = process.end(stragglers, first=signal.SIGQUIT, patience_s=_PATIENCE_S)
    for leader in named:
        left += process.end(process.session_of(leader), patience_s=_PATIENCE_S)
    return [f"process {p.pid}" for p in left]


def _give_away(home: Path) -> None:
    if process.is_root():
        for path in (home, *home.iterdir()):
            shutil.chown(path, _UNPRIVILEGED)


def _programs(program: str) -> list[str]:
    """List all programs that a server may execute: itself; for initdb also postgres, through the shell."""
    path = Path(program).resolve()
    return [str(path), str(path.with_name("postgres")), sandbox.SHELL] if path.name == "initdb" else [str(path)]


@contextlib.contextmanager
def _cage(server: ProcessPlan, programs: list[str]) -> Iterator[Callable[[], None] | None]:
    """Confine a child to its cage; yield None if the kernel has no Landlock, or the process is not a server."""
    caged = server["caged"] and all(map(sandbox.is_program, programs))
    ruleset = sandbox.cage(programs, server["reads"], [server["home"]]) if caged else None
    if ruleset is None:
        yield None
        return
    try:
        yield partial(sandbox.enter, ruleset)
    finally:
        os.close(ruleset)


def _unconfined(server: ProcessPlan) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"{server['name']}: the kernel refused to confine it (Landlock)",
        why=f"testbay itself runs in {sandbox.NESTED} Landlock sandboxes, which is as deep as the kernel nests them, "
        "or a filter of system calls forbids it",
        todo="start testbay outside of one of them, or use --engine compose",
    )


def _unprivileged(server: ProcessPlan, death_signal: int) -> list[str]:
    """Run no server as root: give it another user, and the right to read root's own folders.

    Other tools widen the permissions of every folder up to the root instead, or copy the programs.
    """
    if not server["caged"] or not process.is_root():
        return []
    program = setpriv()
    if program is None:
        raise EngineUnavailableError(
            "no server runs as root, and `setpriv` to run it as another user is missing",
            todo="apt-get install util-linux, run testbay as a normal user, or use --engine compose",
        )
    name = signal.Signals(death_signal).name.removeprefix("SIG")
    user = [f"--reuid={_UNPRIVILEGED}", f"--regid={_group()}", "--clear-groups"]
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", f"--pdeathsig={name}"]
    if _may_set_securebits():
        # initdb asks access(2) whether it may run postgres, and that disregards capabilities of an ordinary user.
        rights.append("--securebits=+no_setuid_fixup")
    return [program, *user, *rights, "--"]


def setpriv() -> str | None:
    """Find the program that runs a server as another user: on the PATH, or where a system has it."""
    return shutil.which("setpriv") or shutil.which("setpriv", path=os.defpath)


def _may_set_securebits() -> bool:
    """Return whether root has CAP_SETPCAP, which some containers drop."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return bool(int(facts["CapEff"], 16) >> _CAP_SETPCAP & 1)


def _group() -> str:
    import pwd  # only needed as root

    return str(pwd.getpwnam(_UNPRIVILEGED).pw_gid)


def _wait(child: process.Child, timeout_s: float) -> None:
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()

"""The embedded engine: servers as our own child processes, which die with us and never listen beyond loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from testbay import ports, process
from testbay.engines import Report
from testbay.errors import EngineUnavailableError
from testbay.spec import PORT, ProcessPlan, StackPlan

_UNPRIVILEGED = "nobody"
_TAIL_BYTES = 4096


class Embedded:
    """Native servers of one stack. Start and stop from the same, main thread: the kernel ties the children to it."""

    def __init__(self) -> None:
        self._running: dict[str, process.Child] = {}
        self._stop_signals: dict[str, int] = {}
        self._held_ports: list[socket.socket] = []

    def start(self, plan: StackPlan, report: Report) -> None:
        """Start the servers that need no preparation first, so that they come up while the others are prepared."""
        held = {}
        for server in plan["processes"]:
            port, lock = ports.hold(server["port"], fixed=server["fixed_port"], name=server["name"])
            self._held_ports.append(lock)
            held[server["name"]] = port
        report({"ports": held})
        for server in sorted(plan["processes"], key=lambda server: len(server["prepare"])):
            self._start_one(server, held[server["name"]], report)

    def _start_one(self, server: ProcessPlan, port: int, report: Report) -> None:
        home = Path(server["home"])
        home.mkdir(mode=0o700)
        for name, text in server["files"].items():
            (home / name).write_text(text, encoding="utf-8")
        prefix = _unprivileged(home, server["stop_signal"]) if server["unprivileged"] else []
        env = _environment(server)
        for step in server["prepare"]:
            _prepare(server, [*prefix, *step["argv"]], step.get("stdin", ""), env)
        argv = [word.replace(PORT, str(port)) for word in server["argv"]]
        with Path(server["log"]).open("ab") as log:
            child = process.spawn(
                [*prefix, *argv],
                env=env,
                cwd=server["cwd"],
                stdin=subprocess.DEVNULL,
                output=log,
                new_session=True,
                death_signal=server["stop_signal"],
            )
        self._running[server["name"]] = child
        self._stop_signals[server["name"]] = server["stop_signal"]
        report({"pids": {server["name"]: process.identify(child.pid)}})

    def exited(self) -> list[tuple[str, int]]:
        """Reap without waiting."""
        ended = [(name, code) for name, child in self._running.items() if (code := child.poll()) is not None]
        for name, _ in ended:
            del self._running[name]
        return ended

    def stop(self) -> list[str]:
        """All at once, then SIGKILL; a server's own children (PostgreSQL's) are in its session."""
        sessions = {child.pid: self._stop_signals[name] for name, child in self._running.items()}
        for name, child in self._running.items():
            _signal(child, self._stop_signals[name])
        deadline = time.monotonic() + 1.5
        for child in self._running.values():
            _wait(child, max(0.0, deadline - time.monotonic()))
        left = [member for sid in sessions for member in process.end(process.in_session(sid), first=signal.SIGKILL)]
        for lock in self._held_ports:
            lock.close()
        self._running.clear()
        return [f"process {member.pid}" for member in left]


def collect(record: dict[str, Any]) -> list[str]:
    """End what a dead guard's record names; its children got their death signal, this waits for them and makes sure."""
    named = [process.ProcessId(*pid) for pid in record.get("pids", {}).values()]
    stragglers = [p for p in named if p.alive()]
    left = process.end(stragglers, first=signal.SIGQUIT)
    for leader in named:
        left += process.end(process.in_session(leader.pid), first=signal.SIGKILL)
    return [f"process {p.pid}" for p in left]


def _environment(server: ProcessPlan) -> dict[str, str]:
    """Nothing of the caller's environment: a server must not inherit secrets, PGDATA or a foreign locale."""
    base = {"PATH": os.defpath, "HOME": server["home"], "LANG": "C"}
    return base | server["env"]


def _prepare(server: ProcessPlan, argv: list[str], stdin: str, env: dict[str, str]) -> None:
    log = Path(server["log"])
    with log.open("ab") as output:
        child = process.spawn(argv, env=env, cwd=server["home"], stdin=subprocess.PIPE, output=output)
        child.communicate(stdin.encode())
    if child.returncode != 0:
        program = Path(argv[argv.index("--") + 1] if "--" in argv else argv[0]).name  # behind a setpriv prefix
        raise EngineUnavailableError(
            f"{server['name']}: {program} failed with exit code {child.returncode} while preparing its data",
            todo="`testbay doctor` looks at this machine's programs",
            evidence=tail(log),
        )


def _unprivileged(home: Path, death_signal: int) -> list[str]:
    """PostgreSQL refuses to run as root: give it another user, and the right to pass through root's own folders.

    The capability replaces what others do here: widening the permissions of every folder up to the root, or copying the
    programs to a world-readable place.
    """
    if not process.is_root():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EngineUnavailableError(
            "PostgreSQL refuses to run as root, and there is no `setpriv` to run it as another user",
            todo="apt-get install util-linux, run testbay as a normal user, or use --engine compose",
        )
    shutil.chown(home, _UNPRIVILEGED)
    for file in home.iterdir():
        shutil.chown(file, _UNPRIVILEGED)
    name = signal.Signals(death_signal).name.removeprefix("SIG")
    user = [f"--reuid={_UNPRIVILEGED}", f"--regid={_group()}", "--clear-groups"]
    return [
        setpriv,
        *user,
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        f"--pdeathsig={name}",
        "--",
    ]


def _group() -> str:
    import pwd  # only needed as root

    return str(pwd.getpwnam(_UNPRIVILEGED).pw_gid)


def _signal(child: process.Child, number: int) -> None:
    try:
        child.send_signal(number)
    except ProcessLookupError:
        return


def _wait(child: process.Child, timeout_s: float) -> None:
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, bounded, undecodable bytes replaced."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])

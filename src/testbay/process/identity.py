"""Identifying processes despite reused pids, finding those that belong together, and ending them."""

import os
import signal
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from testbay.process.starting import LINUX, run

# In the caller's language and zone `ps` would tell another time than in the guard's.
_PLAIN = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


class ProcessId(NamedTuple):
    """The identity of a process: its pid and start time, which no later process shares."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Return whether this process still runs; a zombie does not."""
        return self.started != "" and _start_time(self.pid) == self.started


def identify(pid: int) -> ProcessId:
    """Identify a running process; `started` is empty if it does not exist."""
    return ProcessId(pid, _start_time(pid))


def _start_time(pid: int) -> str:
    if not LINUX:
        listed = run(["ps", "-o", "state=,lstart=", "-p", str(pid)], env=_PLAIN)
        state, _, started = listed.out.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()
    fields = _stat_fields(pid)
    return "" if not fields or fields[0] in "ZX" else fields[19]


_IGNORED = 30  # among the fields of /proc/PID/stat from the state on: the signals that are ignored, as bits


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before them may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def is_root() -> bool:
    """Return whether we run as root, as which PostgreSQL refuses to run."""
    return os.geteuid() == 0


def in_session(sid: int) -> list[ProcessId]:
    """List the running processes of a session, the leader last so that it cannot restart the others."""
    members = [identify(pid) for pid in _pids() if _session(pid) == sid]
    return sorted((m for m in members if m.started), key=lambda m: m.pid == sid)


def descendants(pid: int) -> list[ProcessId]:
    """List the running descendants of a process, in all sessions."""
    parents = {other: _parent(other) for other in _pids()}
    found = {pid}
    while new := {other for other, parent in parents.items() if parent in found} - found:
        found |= new
    return [who for who in map(identify, sorted(found - {pid})) if who.started]


def session_of(leader: ProcessId) -> list[ProcessId]:
    """List the processes of the session that a process led, also after its end.

    A session's id is not reused while anyone is in it. If a process with that pid started at another time, the session
    ended long ago, and that process is unrelated.
    """
    now = identify(leader.pid)
    return in_session(leader.pid) if now.started in ("", leader.started) else []


def _pids() -> Iterable[int]:
    if LINUX:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(pid) for pid in run(["ps", "-axo", "pid="]).out.split()]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def end(processes: Iterable[ProcessId], *, first: int = signal.SIGTERM, patience_s: float = 1.0) -> list[ProcessId]:
    """Signal each process, wait, then SIGKILL the remaining ones; return those that outlived even that.

    These are in an uninterruptible call, or not ours to kill.
    """
    left = signal_each(processes, first)
    left = _wait_gone(left, patience_s)
    left = signal_each(left, signal.SIGKILL)
    return _wait_gone(left, 2.0)


def signal_each(processes: Iterable[ProcessId], number: int) -> list[ProcessId]:
    """Signal the processes that still run, and return them."""
    living = [p for p in processes if p.alive()]
    for process in living:
        try:
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue
    return living


def _wait_gone(processes: list[ProcessId], patience_s: float) -> list[ProcessId]:
    deadline = time.monotonic() + patience_s
    while (left := [p for p in processes if p.alive()]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return left


@cache
def callers() -> list[ProcessId]:
    """List the ancestors that exist only to run us, as of the first call: make, and shells with a script.

    Interactive shells, editors and CI agents do not count: their end does not stop us. Nor do scripts that started us
    in the background, or in a session of our own (`setsid`): they may return long before us. A shell's background job
    ignores Ctrl-C or, with `set -m`, has its own process group. Before 5.3, bash lets only the subshell of `( … ) &`
    ignore it, which ends with us.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return []
    chain = []
    child, pid = os.getpid(), os.getppid()
    while pid > 1 and _session(pid) == os.getsid(0) and _only_runs_us(pid) and _one_job(pid, child):
        chain.append(identify(pid))
        if _ignores_ctrl_c(pid):
            break
        child, pid = pid, _parent(pid)
    return chain


def _one_job(pid: int, child: int) -> bool:
    """Return whether no shell made the child a job; `timeout` leaves its caller's process group by itself."""
    try:
        return os.getpgid(pid) == os.getpgid(child) or Path(_command_line(child)[0]).name == "timeout"
    except (ProcessLookupError, IndexError):  # one has just ended
        return False


def _ignores_ctrl_c(pid: int) -> bool:
    fields = _stat_fields(pid) if LINUX else []
    return len(fields) > _IGNORED and bool(int(fields[_IGNORED]) & 1 << signal.SIGINT - 1)


def _parent(pid: int) -> int:
    if not LINUX:
        return int(run(["ps", "-o", "ppid=", "-p", str(pid)]).out.strip() or 0)
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def _only_runs_us(pid: int) -> bool:
    argv = _command_line(pid)
    if not argv:
        return False
    name = Path(argv[0]).name.lstrip("-")
    if name in ("make", "gmake"):
        return True
    return name in ("sh", "bash", "dash", "zsh", "env", "timeout") and any(not a.startswith("-") for a in argv[1:])


def _command_line(pid: int) -> list[str]:
    if not LINUX:
        return run(["ps", "-o", "args=", "-p", str(pid)]).out.split()
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []

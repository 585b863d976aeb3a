"""The one door to other processes: start them so that they die with us, know them beyond a reused pid, end them by id.

Kept light on imports: the guard starts through here and its start-up time is a number we publish.
"""

import ctypes
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from testbay.errors import BayError, InterruptedRunError

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
LINUX = sys.platform == "linux"
_REAPER = Path(__file__).parent / "harness" / "reaper.py"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None  # loaded before any fork: a child must not import


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid: pid and the kernel's start time."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.started != "" and _start_time(self.pid) == self.started


class Completed(NamedTuple):
    """What a finished command left: exit code (negative: the signal), standard output and standard error as text."""

    code: int
    out: str
    err: str


def identify(pid: int) -> ProcessId:
    """The identity of a running process; `started` is empty when absent."""
    return ProcessId(pid, _start_time(pid))


def _start_time(pid: int) -> str:
    if not LINUX:
        listed = subprocess.run(
            ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, started = listed.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()
    fields = _stat_fields(pid)
    return "" if not fields or fields[0] in "ZX" else fields[19]


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before them may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def die_with_parent(death_signal: int) -> None:
    """Ask the kernel to signal this process when the thread that started it ends (Linux; elsewhere nothing happens)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


def rename(name: str) -> None:
    """Give this process a name that `ps` and `top` show (at most 15 characters)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


Child = subprocess.Popen[bytes]


def fork() -> int:
    """Split this (single-threaded) process in two: 0 in the child, the child's pid in the parent."""
    return os.fork()


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: int | None = None,
    output: IO[bytes] | None = None,
    errors: IO[bytes] | None = None,
    new_session: bool = False,
    death_signal: int | None = signal.SIGKILL,
    confine: Callable[[], None] | None = None,
    reaped: bool = False,
) -> Child:
    """Start a command; standard output and error both go to `output` (default: ours), unless `errors` gets the latter.

    With a `death_signal` the child gets that signal when we die, however we die. Must then be called from a thread that
    lives as long as the child should: the kernel watches the thread, not the process. `confine` is called in the child
    before the command: system calls alone. With `reaped` the child is a process that ends, with the command or with us,
    whatever the command has started, also what left its session (Linux).

    Raises:
        OSError: It could not be started.
    """
    parent = os.getpid()
    if reaped and LINUX:
        argv, death_signal = _reaped(argv, env, cwd), signal.SIGTERM
    ignored = [number for number in (signal.SIGINT, signal.SIGQUIT) if signal.getsignal(number) == signal.SIG_IGN]

    def in_child() -> None:
        for number in ignored:  # as a shell leaves them for what it starts in the background
            signal.signal(number, signal.SIG_DFL)
        if confine is not None:
            confine()
        if death_signal is not None:
            die_with_parent(death_signal)
            if os.getppid() != parent:  # the parent died before the line above: no signal would tell us
                os.kill(os.getpid(), signal.SIGKILL)

    return subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=errors if errors is not None or output is None else subprocess.STDOUT,
        start_new_session=new_session,
        # Unsafe only if the function takes a lock another thread held at the fork: it makes a few system calls.
        preexec_fn=in_child if LINUX and (death_signal is not None or confine) else None,  # noqa: PLW1509
    )


def _reaped(
    argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None
) -> list[str]:
    """The command behind the reaper. What cannot run is told here, as without one."""
    words = [os.fspath(word) for word in argv]
    path = None if env is None else env.get("PATH", os.defpath)
    named = words[0] if os.sep in words[0] else (shutil.which(words[0], path=path) or "")
    where = Path(cwd or ".") / named
    mode = where.stat().st_mode if named else 0  # os.access would forget an ordinary user's capabilities
    if not named or stat.S_ISDIR(mode) or not mode & 0o111:
        number = errno.EACCES if named else errno.ENOENT
        raise OSError(number, os.strerror(number), words[0])
    return [sys.executable, "-I", "-S", "-X", "frozen_modules=on", str(_REAPER), *words]


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout_s: float | None = 60,
) -> Completed:
    """Run a command to its end and keep what it said; no standard input, undecodable bytes replaced.

    Raises:
        subprocess.TimeoutExpired: It did not end in time; it has been killed.
        OSError: It could not be started.
    """
    done = subprocess.run(
        argv, env=env, cwd=cwd, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@contextmanager
def run_in_place(argv: Sequence[str], *, env: Mapping[str, str], patience_s: float = 60.0) -> Iterator[int]:
    """Run a command as if it stood in our place: our terminal, our signals, its exit code (128 + signal).

    A signal that we get is handed on; a command that has not ended `patience_s` after the first one is ended. In the
    block it has ended, and what must be done then is not interrupted.

    Raises:
        OSError: It could not be started.
    """
    child: Child | None = None
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        if child is None:
            early.append(number)
            return
        if overdue.ident is None:
            overdue.start()
        if number != signal.SIGINT or not _in_foreground():  # the terminal sends Ctrl-C to every process there
            child.send_signal(number)

    overdue = threading.Timer(patience_s, lambda: end([identify(child.pid)] if child else []))
    overdue.daemon = True
    with _handlers(hand_on):
        child = spawn(argv, env=env, death_signal=signal.SIGTERM)
        for number in early:
            child.send_signal(number)
        try:
            code = child.wait()
        finally:
            overdue.cancel()
        yield code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # no terminal
        return False


def is_root() -> bool:
    """Whether we run as root, which PostgreSQL refuses to."""
    return os.geteuid() == 0


def in_session(sid: int) -> list[ProcessId]:
    """Every living process of a session, the leader last so that it cannot reap and restart the others."""
    members = [identify(pid) for pid in _pids() if _session(pid) == sid]
    return sorted((m for m in members if m.started), key=lambda m: m.pid == sid)


def descendants(pid: int) -> list[ProcessId]:
    """Every living process below one, whatever its session."""
    parents = {other: _parent(other) for other in _pids()}
    found = {pid}
    while new := {other for other, parent in parents.items() if parent in found} - found:
        found |= new
    return [who for who in map(identify, sorted(found - {pid})) if who.started]


def session_of(leader: ProcessId) -> list[ProcessId]:
    """Who is left in the session a process led, also when it is gone itself.

    A session's number is not given to another process while anybody is in it; when its number now belongs to a
    process that started at another time, the session is long gone and that process is a stranger.
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


def signal_name(number: int) -> str:
    """`SIGKILL`; the real-time signals between the first and the last have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ended_by(number: int) -> str:
    """In words, with the likely reason for the one signal that cannot be logged."""
    why = " (out of memory, or killed by hand)" if number == signal.SIGKILL else ""
    return f"ended by {signal_name(number)}{why}"


def end(processes: Iterable[ProcessId], *, first: int = signal.SIGTERM, patience_s: float = 1.0) -> list[ProcessId]:
    """Signal each, wait, then SIGKILL what remains.

    Returns:
        Those that outlived even that (in an uninterruptible call, or not ours to kill).
    """
    left = signal_each(processes, first)
    left = _wait_gone(left, patience_s)
    left = signal_each(left, signal.SIGKILL)
    return _wait_gone(left, 2.0)


def signal_each(processes: Iterable[ProcessId], number: int) -> list[ProcessId]:
    """Signal those that still run, and return them."""
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
    """Our chain of parents that only exists to run us, as it was when first asked: make, and shells that run a script.

    An interactive shell, an editor or a CI agent is not part of it: its end does not stop us. Nor is a script that
    has started us in the background: it may return long before us. Its shell has us ignore Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return []
    chain = []
    pid = os.getppid()
    while pid > 1 and _only_runs_us(pid):
        chain.append(identify(pid))
        pid = _parent(pid)
    return chain


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


@contextmanager
def signals_as_errors() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal become one error that unwinds through every teardown.

    The error may be raised in the middle of anything, also in a library's callback that wraps or swallows it. Whatever
    came of it there, it leaves this context as what it is.
    """
    received: list[int] = []

    def interrupted() -> InterruptedRunError:
        todo = "everything was torn down; run it again"
        return InterruptedRunError(f"interrupted by {signal_name(received[0])}", todo=todo)

    def raise_it(number: int, _frame: object) -> None:
        received.append(number)
        raise interrupted()

    with _handlers(raise_it):
        try:
            yield
        except BayError:
            raise
        except (Exception, KeyboardInterrupt) as error:  # the latter comes out of a loop
            if received:
                raise interrupted() from error
            raise
        if received:
            raise interrupted()


@contextmanager
def signals_ignored() -> Iterator[None]:
    """For the moment in which an interruption would leave something behind."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup was asked for; an ignored SIGINT is only a shell's `&`
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

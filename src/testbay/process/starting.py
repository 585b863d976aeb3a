"""Starting other processes so that they end with this one. No other module of testbay spawns processes."""

import ctypes
import errno
import functools
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
LINUX = sys.platform == "linux"
_REAPER = Path(__file__).parents[1] / "harness" / "reaper.py"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None  # loaded before any fork: a child must not import


class Completed(NamedTuple):
    """A command's result: exit code (negative: the signal), standard output and standard error as text."""

    code: int
    out: str
    err: str


def die_with_parent(death_signal: int) -> None:
    """Ask the kernel to signal this process when the thread that started it ends (Linux; elsewhere nothing happens)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


def rename(name: str) -> None:
    """Set this process's name in `ps` and `top` (at most 15 characters)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


Child = subprocess.Popen[bytes]


def fork() -> int:
    """Fork this (single-threaded) process: return 0 in the child, the child's pid in the parent."""
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
    handed: Sequence[int] = (),
) -> Child:
    """Start a command; standard output and error both go to `output` (default: ours), unless `errors` gets the latter.

    With a `death_signal` the child gets that signal when we die, however we die. `spawn` must then be called from a
    thread that lives as long as the child should: the kernel watches the thread, not the process. `confine` is called
    in the child before the command, and may only make system calls. With `reaped` the child is a process that ends
    everything the command started when the command or we end, even what left its session (Linux). `handed` are open
    descriptors that the child gets, too.

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
        pass_fds=handed,
        # Unsafe only if the function takes a lock another thread held at the fork: it makes a few system calls.
        preexec_fn=in_child if LINUX and (death_signal is not None or confine) else None,  # noqa: PLW1509
    )


def _reaped(
    argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None
) -> list[str]:
    """Put the reaper before a command; a command that cannot run is refused here, as it is without the reaper."""
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
    death_signal: int | None = None,
) -> Completed:
    """Run a command to completion and return its output; standard input is empty, undecodable bytes are replaced.

    A daemon thread, for which no end of ours waits, needs a `death_signal`: the command would outlive us.

    Raises:
        subprocess.TimeoutExpired: It did not end in time; it has been killed.
        OSError: It could not be started.
    """
    done = subprocess.run(
        argv,
        env=env,
        cwd=cwd,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        preexec_fn=functools.partial(die_with_parent, death_signal) if death_signal is not None else None,
    )
    return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

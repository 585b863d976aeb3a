"""The process between testbay and a command: whatever that starts stays its descendant, and ends with it.

A program can leave its session and its parent (a daemon forks twice), but not its subreaper: orphans become this
process's children. When the command ends, or the one who started us, all of them are ended. Signals are handed on, and
the command's way to end is ours.

Run as a file by `process.spawn`, with nothing of testbay imported: each start of a service waits for it. A part of the
program `launch/forkserver.py` too.
"""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_HANDED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
_GONE_WITHIN_S = 5.0
_CANNOT_RUN = 127  # as a shell says it
_libc = ctypes.CDLL(None)


def main(argv: list[str]) -> None:
    """Run the command; ends as it ended."""
    caller = os.getppid()
    child, mask = split()
    if child == 0:
        _become(argv, mask)
    status = attend(child, caller)
    end_descendants()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def split() -> tuple[int, set[int]]:
    """Fork: 0 in the process that is to be the command, and what signals it blocks."""
    _libc.prctl(_PR_SET_NAME, b"testbay-reaper", 0, 0, 0)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_HANDED_ON, signal.SIGCHLD})
    return os.fork(), mask


def _become(argv: list[str], mask: set[int]) -> None:
    """The command itself; it dies with us."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - words, not a line for a shell
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    os._exit(_CANNOT_RUN)


def attend(child: int, caller: int) -> int:
    """Wait for the command's end; hand on what we are told, and end it when our caller is gone."""
    while True:
        if os.getppid() != caller:
            return int(signal.SIGKILL)
        told = signal.sigtimedwait({*_HANDED_ON, signal.SIGCHLD}, 1.0)
        if told is not None and told.si_signo != signal.SIGCHLD and os.getppid() == caller:
            os.kill(child, told.si_signo)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    return ended[1]


def end_descendants() -> None:
    """SIGKILL for all, again and again: what they start meanwhile becomes ours too."""
    deadline = time.monotonic() + _GONE_WITHIN_S
    while time.monotonic() < deadline:
        for pid in _descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _descendants() -> set[int]:
    """Every process whose chain of parents leads to us."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - as light as possible
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parents[int(name)] = int(
                    Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
                )
    found = {os.getpid()}
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    return found - {os.getpid()}


if __name__ == "__main__":
    main(sys.argv[1:])

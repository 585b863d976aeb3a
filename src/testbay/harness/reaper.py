"""Two processes between testbay and a command: everything that the command starts is their descendant, and ends.

A program can leave its session and its parent (a daemon forks twice), but not its subreaper: orphans become children of
the inner process, or of the outer one if the inner was killed. When the command ends, or its caller, all of them are
ended. Signals are passed on, and the command's exit status is ours. Run as a file by `process.spawn`, without importing
testbay: each start of a service waits for it. Also a part of `launch/forkserver.py`.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_HANDED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
_GONE_WITHIN_S = 5.0
_CANNOT_RUN = 127  # as a shell says it
_libc = ctypes.CDLL(None)


def main(argv: list[str]) -> None:
    """Run the command; ends as it ended."""
    _become(argv, split(_end_as))


def split(ended: Callable[[int], object]) -> set[int]:
    """Become three processes, and return in the third, the future command, with the signals it should block.

    `ended` is called in the first, the one that the caller knows, with the command's wait status.
    """
    caller = os.getppid()
    _libc.prctl(_PR_SET_NAME, b"testbay-reaper", 0, 0, 0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_HANDED_ON, signal.SIGCHLD})
    for finish in (ended, _end_as):
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        above = os.getpid()
        if child := os.fork():
            status = attend(child, caller)
            end_descendants()
            finish(status)
            os._exit(0)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        caller = above
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != caller:  # it was killed before the kernel knew that we go with it
        os._exit(_CANNOT_RUN)
    return mask


def _end_as(status: int) -> None:
    """End with the same signal or exit code."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def _become(argv: list[str], mask: set[int]) -> None:
    """Become the command."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - words, not a line for a shell
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    os._exit(_CANNOT_RUN)


def attend(child: int, caller: int) -> int:
    """Wait for the command, pass signals on, and end it when our caller is gone; return its wait status."""
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
    """Kill all descendants repeatedly, since what they start meanwhile becomes ours, too.

    Without a child there are no descendants: mostly nothing is left, and the machine's processes need no scan.
    """
    deadline = time.monotonic() + _GONE_WITHIN_S
    while _has_children() and time.monotonic() < deadline:
        for pid in _descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _has_children() -> bool:
    """Return whether a child runs; collect those that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


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

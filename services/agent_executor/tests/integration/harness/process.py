"""Child processes that cannot outlive pytest."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PR_SET_PDEATHSIG = 1

# Loaded here: between fork and exec nothing should import or allocate.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def new_log() -> "IO[bytes]":
    """A log file without a name: readable as long as somebody holds it, gone with the last one, however they ended."""
    return TemporaryFile("a+b")


def spawn(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str | None], log: "IO[bytes]", pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start a program whose output is appended to a log file; its standard input stays open and empty.

    A variable that is None is taken out of the environment.
    """
    given = {**os.environ, **env}
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env={name: value for name, value in given.items() if value is not None},
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 -- between fork and exec only prctl is called
    )


def end(process: "subprocess.Popen[bytes]", how: signal.Signals, timeout_s: float = 15.0) -> int:
    """Send a signal and wait; the exit code. A program that ignores it is killed, which then shows in the code."""
    process.send_signal(how)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()


def _die_with_parent() -> None:
    # A `kill -9` of pytest runs no fixture's teardown; the kernel then ends the child for us.
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

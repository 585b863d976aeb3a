"""A user's command on a running stack: it has the stack's variables, and ends with the stack."""

import errno
import os
import shlex
import shutil
import signal
from collections.abc import Sequence

from testbay import process
from testbay.errors import InterruptedRunError, ManifestError
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.stack.request import Request
from testbay.harness.stack.stack import Stack


def refuse_unknown(command: Sequence[str], request: Request) -> None:
    """Refuse a program that will not be on the command's PATH, before any server starts.

    Raises:
        ManifestError: The program does not exist.
    """
    program = command[0]
    if "/" not in program and program not in dragonfly.CLIENTS and not shutil.which(program, path=request.path):
        raise _cannot_run(command, os.strerror(errno.ENOENT))


def run(stack: Stack, command: Sequence[str]) -> int:
    """Run the command to its end; return its exit code (128 + N when signal N ended it).

    Raises:
        ManifestError: The program does not exist.
    """
    try:
        # The caller's own session: an interactive psql or a debugger needs the terminal.
        child = process.spawn(_completed(command, stack), env=stack.client_environment())
    except OSError as error:
        raise _cannot_run(command, str(error.strerror)) from None
    try:
        with process.ctrl_c_for_the_command():
            while (code := child.poll()) is None:
                stack.check(0.02)
    except InterruptedRunError:
        child.send_signal(signal.SIGINT)
        raise
    finally:
        process.end([process.identify(child.pid)])
        child.wait()
    return int(code) if code >= 0 else 128 - int(code)


def _cannot_run(command: Sequence[str], why: str) -> ManifestError:
    return ManifestError(f"cannot run {shlex.join(command)}: {why}", todo="name a program on the PATH")


def _completed(words: Sequence[str], stack: Stack) -> Sequence[str]:
    """Complete a Redis client's command with the server's address; psql finds its server by variables."""
    if words[0] not in dragonfly.CLIENTS or "dragonfly" not in stack.endpoints:
        return words
    program = dragonfly.client_program(stack.request.settings.environ) or str(dragonfly.OWN_CLIENTS / "redis-cli")
    endpoint = stack.endpoints["dragonfly"]
    return [program, "-h", endpoint.host, "-p", str(endpoint.port), "-n", endpoint.db, *words[1:]]

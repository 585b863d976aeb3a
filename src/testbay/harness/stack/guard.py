"""The guard: the process that owns one stack, and outlives its caller just long enough to clean up.

It is a pair. The *worker* runs the engine, holds the callers' lifelines (sockets) and tears down when the last one
closes, when a watched process ends, or on command. The *undertaker*, its parent, waits for it and finishes the teardown
if the worker was killed; if the undertaker is killed, the kernel tells the worker, which tears down. A stack is left
over only if both are killed at once; the next testbay call then collects it from its record. Started as `python -m
testbay.harness.stack.guard` with a socket as standard input: the plan on the first line, then commands; the guard
answers with events.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from testbay import process
from testbay.errors import BayError
from testbay.harness.plans import StackPlan
from testbay.harness.stack import registry
from testbay.harness.stack.worker import Worker, failure, send


def main() -> None:
    """Read the plan, claim the folder, become undertaker and worker."""
    process.rename("testbay-guard")
    # Handlers that do nothing, not SIG_IGN: that would be inherited, and a server that has not yet set its own SIGQUIT
    # would miss being told to stop. A caller in a background shell hands us ignored signals too.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    channel = socket.socket(fileno=0)
    plan, more = _read_plan(channel)
    home = Path(plan["home"])
    try:
        lock = registry.claim(home)
    except BayError as error:
        send(channel, failure(error))
        return
    undertaker = os.getpid()
    worker = process.fork()
    if worker == 0:
        process.die_with_parent(signal.SIGTERM)
        if os.getppid() != undertaker:
            os._exit(1)  # it was killed before the kernel knew that we want to hear of it
        Worker(plan, channel, lock).run(more)
        os._exit(0)
    channel.detach()
    os.close(0)  # the lifeline is the worker's alone: its end must be an end of file for the caller
    _undertake(worker, home)


def _read_plan(channel: socket.socket) -> tuple[StackPlan, bytes]:
    """Read the plan; return it with the bytes that follow it."""
    said = b""
    while b"\n" not in said:
        data = channel.recv(65536)
        if not data:
            sys.exit(0)  # the caller died before it sent the plan
        said += data
    line, _, more = said.partition(b"\n")
    plan: StackPlan = json.loads(line)
    return plan, more


def _undertake(worker: int, home: Path) -> None:
    """Wait for the worker, however it ends, then make sure that nothing is left."""
    while True:
        try:
            os.waitpid(worker, 0)
        except InterruptedError:
            continue
        except ChildProcessError:
            pass
        break
    if home.exists():
        registry.collect(home)


if __name__ == "__main__":
    main()

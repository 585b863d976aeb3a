"""Signals to this process: raised as one error, ignored for a moment, or passed on to a command."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from testbay.errors import BayError, InterruptedRunError
from testbay.process.identity import end, identify
from testbay.process.starting import Child, spawn


@contextmanager
def run_in_place(argv: Sequence[str], *, env: Mapping[str, str], patience_s: float = 60.0) -> Iterator[int]:
    """Run a command as if in our place: our terminal, our signals, its exit code (128 + signal).

    Signals are passed on; a command that has not ended `patience_s` after the first one is ended. When the block begins
    the command has ended, and the block is not interrupted.

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
    with _handlers(hand_on, ending_signals()):
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


def signal_name(number: int) -> str:
    """The name of a signal, such as `SIGKILL`; its number if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ended_by(number: int) -> str:
    """Describe the end by a signal; for SIGKILL with the likely reason."""
    why = " (out of memory, or killed by hand)" if number == signal.SIGKILL else ""
    return f"ended by {signal_name(number)}{why}"


@contextmanager
def signals_as_errors() -> Iterator[None]:
    """Raise InterruptedRunError on Ctrl-C, SIGTERM and a closed terminal, so that every teardown runs.

    The error may be raised anywhere, also in a library's callback that wraps or swallows it. In any case it leaves this
    context unchanged.
    """
    received: list[int] = []

    def interrupted() -> InterruptedRunError:
        todo = "what this call had started has ended; run it again"
        return InterruptedRunError(f"interrupted by {signal_name(received[0])}", todo=todo)

    def raise_it(number: int, _frame: object) -> None:
        received.append(number)
        raise interrupted()

    with _handlers(raise_it, ending_signals()):
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
def signals_between_callbacks(call_soon: Callable[..., object]) -> Iterator[None]:
    """Have an event loop call the handlers of signals, by its `call_soon_threadsafe`.

    An error that a handler raises in the middle of a callback can leave a coroutine that is never awaited.
    """
    is_main = threading.current_thread() is threading.main_thread()  # Python handles signals in no other thread
    before = {number: signal.getsignal(number) for number in ending_signals()} if is_main else {}
    ours = {number: handler for number, handler in before.items() if callable(handler)}
    for number, handler in ours.items():
        signal.signal(number, partial(call_soon, handler))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def ending_signals() -> list[signal.Signals]:
    """List the signals that end a command. Under nohup SIGHUP stays ignored; a shell's `&` ignores only SIGINT."""
    lasting = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *[signal.SIGHUP] * (not lasting)]


@contextmanager
def ctrl_c_without_a_traceback() -> Iterator[None]:
    """Let Ctrl-C end this process at once while it has nothing to undo: during its imports."""
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell's `&` ignores it: so it stays
    with _handlers(signal.SIG_DFL, [signal.SIGINT] if is_usual else []):
        yield


@contextmanager
def ctrl_c_for_the_command() -> Iterator[None]:
    """Leave Ctrl-C at a terminal to the running command: psql drops a line, a debugger comes back.

    The terminal sends it to both. A SIGINT from elsewhere still interrupts us.
    """
    before = signal.getsignal(signal.SIGINT)

    def take(number: int, frame: Any) -> None:
        if callable(before) and not _in_foreground():
            before(number, frame)

    with _handlers(take, [signal.SIGINT]):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore signals while an interruption would leave something behind."""
    with _handlers(signal.SIG_IGN, ending_signals()):
        yield


@contextmanager
def _handlers(handler: Any, numbers: Iterable[signal.Signals]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

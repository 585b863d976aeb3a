"""The end of a pytest whose test hangs in a call of C, where no handler of a signal in Python runs."""

import faulthandler
import os
import signal
import threading
import weakref
from collections.abc import Generator
from typing import Any

import pytest

from testbay.harness.plugin import crashes

_GRACE_S = (10.0, 60.0)  # at least and at most, between them the limit again: a call of C that is only slow returns


class Hanging:
    """Writes all stacks and ends pytest some time after the limit of a test that pytest-timeout could not interrupt.

    psycopg2 that waits for a lock of another session of the same test is such a call. Where a person sits at a
    terminal, or a debugger runs, nothing is ended; nor in a fork, which lacks faulthandler's thread.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        is_of_a_run = config.getoption("--testbay-record") and not os.isatty(0)
        is_on = is_of_a_run and not float(config.getini("faulthandler_timeout") or 0)  # which is pytest's own
        worker = getattr(config, "workerinput", None)
        self._file = (crashes.own_file(worker, "stack") or os.dup(2)) if is_on else None  # 2 is not yet captured
        self._limit_s = 0.0  # while it is armed
        _ALL.add(self)

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> Generator[None, Any, Any]:
        """Arm a thread of C beside pytest-timeout's own timer, whose handler disarms it: then Python is not stuck."""
        done = yield
        known: Any = self._config.pluginmanager.get_plugin("timeout")
        by_signal = settings.method == "signal" and threading.current_thread() is threading.main_thread()
        own: Any = signal.getsignal(signal.SIGALRM)
        if self._file is None or not by_signal or not callable(own) or known.is_debugging():
            return done

        def handler(number: int, frame: Any) -> None:
            __tracebackhide__ = True
            self.disarm()
            own(number, frame)

        signal.signal(signal.SIGALRM, handler)
        least, most = _GRACE_S
        grace_s = min(max(settings.timeout, least), most)
        self._limit_s = settings.timeout + grace_s
        self.arm()
        return done

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        """Disarm it: the test is over."""
        self.disarm()

    def pytest_enter_pdb(self) -> None:
        """Disarm it: a person thinks."""
        self.disarm()

    def disarm(self) -> None:
        """End the thread, and forget the limit."""
        self.pause()
        self._limit_s = 0.0

    def arm(self) -> None:
        """Start the thread for the test that runs, if it has a limit."""
        if self._limit_s and self._file is not None:
            faulthandler.dump_traceback_later(self._limit_s, exit=True, file=self._file)

    def pause(self) -> None:
        """End the thread, whose limit stays."""
        if self._limit_s:
            faulthandler.cancel_dump_traceback_later()


_ALL: "weakref.WeakSet[Hanging]" = weakref.WeakSet()


def _pause_all() -> None:
    for hanging in list(_ALL):
        hanging.pause()


def _arm_all() -> None:
    for hanging in list(_ALL):
        hanging.arm()


def _disarm_all() -> None:
    for hanging in list(_ALL):
        hanging.disarm()


# A fork inherits the lock of a thread that it lacks, and would wait for it where pytest disarms faulthandler, for ever.
os.register_at_fork(before=_pause_all, after_in_parent=_arm_all, after_in_child=_disarm_all)

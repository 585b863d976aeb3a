"""The end of a pytest whose test hangs in a call of C, where no handler of a signal in Python runs."""

import faulthandler
import os
from typing import Any

import pytest

from testbay.harness.plugin import crashes

_GRACE_S = 10.0  # in which the failure that pytest-timeout makes of a signal would have come


class Hanging:
    """Writes all stacks and ends pytest some time after the limit of a test that pytest-timeout could not interrupt.

    psycopg2 that waits for a lock of another session of the same test is such a call. Where a person sits at a
    terminal, or a debugger runs, nothing is ended.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        is_of_a_run = config.getoption("--testbay-record") and not os.isatty(0)
        self._is_on = is_of_a_run and not float(config.getini("faulthandler_timeout") or 0)  # which is pytest's own
        worker = getattr(config, "workerinput", None)
        self._file = (crashes.own_file(worker, "stack") or os.dup(2)) if self._is_on else None  # 2 is not yet captured

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, settings: Any) -> None:
        """Arm a thread of C beside pytest-timeout's own timer; None lets that be set, too."""
        known: Any = self._config.pluginmanager.get_plugin("timeout")
        if self._file is not None and settings.method == "signal" and not known.is_debugging():
            faulthandler.dump_traceback_later(settings.timeout + _GRACE_S, exit=True, file=self._file)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        """Disarm it: the test is over."""
        self._disarm()

    def pytest_enter_pdb(self) -> None:
        """Disarm it: a person thinks."""
        self._disarm()

    def pytest_exception_interact(self) -> None:
        """Disarm it: a failure came, so Python is not stuck."""
        self._disarm()

    def _disarm(self) -> None:
        if self._is_on:
            faulthandler.cancel_dump_traceback_later()

"""Other processes: starting them so that they end with us, identifying them despite reused pids, ending them.

Light on imports: the guard starts through here, and its start-up time is a published number.
"""

from testbay.process.identity import (
    ProcessId,
    callers,
    descendants,
    end,
    identify,
    in_session,
    is_root,
    session_of,
    signal_each,
)
from testbay.process.signals import (
    ctrl_c_for_the_command,
    ctrl_c_without_a_traceback,
    ended_by,
    ending_signals,
    run_in_place,
    signal_name,
    signals_as_errors,
    signals_between_callbacks,
    signals_ignored,
)
from testbay.process.starting import LINUX, Child, Completed, die_with_parent, fork, rename, run, spawn

__all__ = [
    "LINUX",
    "Child",
    "Completed",
    "ProcessId",
    "callers",
    "ctrl_c_for_the_command",
    "ctrl_c_without_a_traceback",
    "descendants",
    "die_with_parent",
    "end",
    "ended_by",
    "ending_signals",
    "fork",
    "identify",
    "in_session",
    "is_root",
    "rename",
    "run",
    "run_in_place",
    "session_of",
    "signal_each",
    "signal_name",
    "signals_as_errors",
    "signals_between_callbacks",
    "signals_ignored",
    "spawn",
]

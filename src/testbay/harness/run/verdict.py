"""The verdict on a run: what was planned is compared with what ran, whatever pytest's exit code says."""

from pathlib import Path

from testbay import process
from testbay.errors import TestsDidNotRunError
from testbay.harness.run.results import SHOWN, Results

_TESTS_FAILED, _NO_TESTS_COLLECTED = 1, 5


def verify(results: Results, code: int, tests_dir: Path) -> int:
    """Check that the planned tests ran, independently of pytest's exit code; return the run's exit code.

    An exit code 0 does not hide pytest's intended one, as something may call os._exit after the session; nor does it
    hide a failed test, as a plugin may set the session's exit code.

    Raises:
        TestsDidNotRunError: pytest was killed, nothing was collected, or some tests never reported.
    """
    if code < 0 or (results.cut_off and code > 0):
        raise _cut_off(results, code)
    if code == _NO_TESTS_COLLECTED and results.is_empty_shard:
        return 0
    if code == _NO_TESTS_COLLECTED or (code == 0 and not results.planned):
        raise _nothing_ran(results, tests_dir)
    if code:
        return code
    if results.silent:
        raise _left(results)
    if not results.collected and (nothing := only_skipped(results)):
        raise nothing
    return results.exit_code or (_TESTS_FAILED if results.is_red else 0)


def _left(results: Results) -> TestsDidNotRunError:
    return TestsDidNotRunError(
        f"{len(results.silent)} of {len(results.planned)} planned tests did not run",
        why=f"pytest ended early with exit code 0: {results.ended or 'a plugin, os._exit or a crashed worker'}",
        todo="see `addopts` and PYTEST_ADDOPTS" if results.ended.startswith("--") else "run them alone",
        evidence="\n".join(results.silent[:SHOWN]),
    )


def _cut_off(results: Results, code: int) -> TestsDidNotRunError:
    silent = results.silent
    left, evidence = f"{len(silent)} of {len(results.planned)} tests had not run", "\n".join(silent[:SHOWN])
    if code < 0:
        name = process.signal_name(-code)
        return TestsDidNotRunError(
            f"{name} ended pytest; {left}",
            why=_why_signalled(name),
            todo="run the first test below alone",
            evidence=evidence,
        )
    return TestsDidNotRunError(
        f"pytest ended while {results.cut_off[0]} ran; {left}",
        why=results.ended
        or "a time limit ended all of pytest: the test hung where Python cannot interrupt it, as in a client that "
        "waits for a lock, or pytest-timeout's method is `thread`; or something called os._exit",
        todo=f"see its stack above, and run it alone: testbay run -- '{results.cut_off[0]}'",
        evidence=evidence,
    )


def _why_signalled(name: str) -> str:
    if name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"):
        return "code outside Python crashed, an extension module most often: its stack stands above"
    if name == "SIGKILL":
        return "the system was out of memory, or it was killed: by hand, or by a test that kills its process group"
    return "it was sent by hand, or by a test that signals its own process or process group"


def _nothing_ran(results: Results, tests_dir: Path) -> TestsDidNotRunError:
    """Tell apart why pytest had nothing to run."""
    if nothing := only_skipped(results):
        return nothing
    if left_out := results.counts.get("deselected"):
        return TestsDidNotRunError(
            f"no test was left to run in {tests_dir}: {left_out} were deselected",
            why="-k, -m, --deselect, --lf or a plugin chose none of them; pytest alone ends with 5 then",
            todo="see `addopts`, PYTEST_ADDOPTS and the arguments after `--`",
        )
    if results.ended.startswith("--"):
        return TestsDidNotRunError(
            "pytest was not asked to run tests",
            why=results.ended,
            todo="see `addopts` and PYTEST_ADDOPTS",
        )
    if results.ended:
        return TestsDidNotRunError("no test was collected", why=results.ended, todo="see what pytest says above")
    if results.exit_code is None:
        return TestsDidNotRunError(
            "pytest ended with exit code 0 before it had collected the tests",
            why="a conftest.py, a plugin or what they import called sys.exit or os._exit; or `addopts` has --help",
            todo="search conftest.py, and what it imports, for them",
        )
    return TestsDidNotRunError(
        f"no test was collected in {tests_dir}",
        why="no file there is called test_*.py or *_test.py, none holds a test, or -k / -m deselected all",
        todo="add a test, fix `tests` in the manifest, or name your files in pytest's `python_files`",
    )


def only_skipped(results: Results) -> TestsDidNotRunError | None:
    """Return an error if every test was skipped; it shows each reason once, mostly one package that is missing."""
    if not results.counts.get("skipped") or results.counts.keys() - {"skipped", "deselected"}:
        return None
    reasons = dict.fromkeys([*results.skipped_files, *(attempt.reason for attempt in results.attempts)])
    skipped = results.counts["skipped"]
    return TestsDidNotRunError(
        f"no test ran: {'the only one was' if skipped == 1 else f'all {skipped} were'} skipped",
        why="the reasons that the tests give stand below",
        todo="install or set what they miss, or take the tests out",
        evidence="\n".join([reason for reason in reasons if reason][:SHOWN]) or "none gives a reason",
    )

"""Running pytest in a session of its own, and recording what its tests did."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from testbay import process
from testbay.errors import BayError
from testbay.harness import interpreter
from testbay.harness.interpreter import Interpreter
from testbay.harness.plugin import coveragerc, suite
from testbay.harness.run import connections, coveragexml, installed, results, verdict, workers
from testbay.harness.run.pytestprocess import PytestProcess
from testbay.harness.run.recordparts import TESTS_STEP, ShardPart
from testbay.harness.run.results import Results
from testbay.harness.run.run import Run, begin_report
from testbay.harness.run.shards import split as shards
from testbay.harness.stack import lifeline, registry
from testbay.harness.stack.migrations import complaints
from testbay.harness.stack.stack import Stack
from testbay.manifest.testpaths import folders_of_tests

_PYTEST_PATIENCE_S = 10.0
_LOOK_S = 0.25  # the interval of copying logs, which takes CPU from the tests
# With one of these pytest shows something and runs no test.
_SHOWS = frozenset(
    {
        *("--collect-only", "--co", "--setup-plan", "--setup-only", "--fixtures", "--funcargs", "--fixtures-per-test"),
        *("--markers", "--cache-show", "--help", "-h", "--version", "-V"),
    }
)
_POLL_S = 0.02  # where only asking tells that pytest has ended


def test(run: Run, stack: Stack, pytest: PytestProcess, pytest_args: Sequence[str]) -> int:
    """Run pytest, record its results and add the closing lines, also after an interruption; return the exit code."""
    began = time.monotonic()
    good, done = False, None
    is_whole = not pytest_args and run.settings.shard is None
    accepted = connections.count(stack.endpoints.values()) if is_whole else {}
    try:
        with run.step(TESTS_STEP):
            code = _pytest(run, stack, pytest, pytest_args)
        done = results.read(run.dir)
        if code > 0 and done == Results():
            done = Results(ended=f"exit code {code} before it recorded anything; its own words stand above")
        if not _SHOWS & set(pytest_args):
            code = verdict.verify(done, code, run.collect or run.manifest.root)
        good = code == 0
        if good and done.count("passed") and not done.elsewhere:
            _note_unasked(run, stack, accepted)
        if done.is_red:
            _note_lacking(run)
    finally:
        done = results.read(run.dir) if done is None else done
        _record(run, done)
        _close(run, done, stack.request.interpreter, time.monotonic() - began, good=good)
    return code


def _note_unasked(run: Run, stack: Stack, accepted: Mapping[str, int]) -> None:
    """Name the servers that accepted no connection since; a test that held a lease had one."""
    if not registry.has_been_leased(stack.home):
        for line in connections.missed(stack.endpoints.values(), accepted):
            run.voice.detail(f"note: {line}")


def _note_lacking(run: Run) -> None:
    """Name what PostgreSQL came without and was asked for: a program that goes on then misses a table."""
    for log in sorted((run.dir / "logs").glob("postgres*.log")):
        if error := complaints.lacking("a test", log.read_text(encoding="utf-8", errors="replace")):
            run.voice.detail(f"note: {error.what}: {error.todo}")


def _record(run: Run, done: Results) -> None:
    run.record.collected, run.record.planned, run.record.counts = done.collected, done.planned, done.counts
    results.relocate(done.attempts, run.manifest.root, run.project)
    run.record.attempts = done.attempts
    run.record.coverage_percent = done.coverage_percent
    results.keep(done, run.dir)
    coveragexml.relocate(run.dir / "coverage.xml", run.manifest.root, run.project)


def _close(run: Run, done: Results, python: Interpreter, duration_s: float, *, good: bool) -> None:
    """Add the closing lines of the tests; `good` is false if the exit code is not 0, also by coverage alone."""
    project = coveragerc.reporting(run.dir / "coveragerc")
    low = done.coverage_percent is not None and project.is_low(done.coverage_percent)
    passed = (good or low) and not done.is_red
    for line in done.elsewhere:
        run.voice.detail(f"note: {line} when the tests begin, not to this run's server: the suite replaced it")
    run.add_closing_line(results.tests_line(done, duration_s), good=passed)
    if run.record.llm:
        run.add_closing_line(f"LLM: {run.record.llm}", good=True)
    if done.coverage_percent is None:
        return
    text, whole = results.coverage_line(done, project)
    if copies := installed.copies_met(run.dir / "coverage.json", run.manifest.root, python.program):
        met = f"the tests met {', '.join(map(str, copies))}, not the files here: pip install -e . helps"
        run.add_closing_line(f"{text} ({met})", good=False)
        return
    if not done.coverage_percent:
        run.voice.detail("note: none of the measured code ran: `source` in the manifest selects it")
    run.add_closing_line(text, good=whole)


def _pytest(run: Run, stack: Stack, pytest: PytestProcess, pytest_args: Sequence[str]) -> int:
    """Run pytest in its session, handed to the guard: nothing it starts survives it or this process."""
    stack.mark(pytest.mark)
    environ = _environment(run, stack)
    arguments, child = _arguments(run, stack.request.interpreter, pytest_args), pytest.child
    stack.own(child.pid)
    begin_report()  # while pytest is loading: later a person would wait for it
    try:
        with run.voice.fenced() if run.output is None else nullcontext(), lifeline.ending(child) as ended:
            pytest.begin(arguments, environ)
            while (code := child.poll()) is None:
                stack.check(_LOOK_S if ended else _POLL_S, ended)
                run.logs.catch_up()
    except BayError:
        _interrupt(child)
        raise
    finally:
        pytest.end()
    if code < 0:
        stack.check(0.5)  # it may have been the guard that ended it: then the guard's reason is the news
    return code


def _environment(run: Run, stack: Stack) -> dict[str, str]:
    """The environment of pytest; what in it weakens the tests, or keeps parts of testbay out, is said."""
    handed = {"TESTBAY_RUN_DIR": str(run.dir), "TESTBAY_STACK": str(stack.home)}
    environ = stack.command_environment() | handed | {"TESTBAY_SECRETS": ",".join(run.manifest.secrets)}
    python = stack.request.interpreter
    if python.said:
        environ |= _crossing(run, python, environ)
    elif python.passed_over:
        run.voice.detail(f"note: {python.passed_over} has no pytest, so testbay's own Python runs the tests")
    if environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        run.voice.detail(
            "note: PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: coverage and the limit for a test that hangs "
            "need `-p pytest_cov -p pytest_timeout` in `addopts`"
        )
    if environ.get("PYTHONOPTIMIZE"):
        run.voice.detail(
            "note: PYTHONOPTIMIZE is set: Python executes no `assert` outside of the test files, as in helpers"
        )
    return environ


def _crossing(run: Run, python: Interpreter, environ: Mapping[str, str]) -> dict[str, str]:
    """Prepare pytest in another environment for our plugin; report a package that is missing there."""
    run.voice.detail(f"Python: {python.program} ({python.said})")
    for module, what in (("pytest_cov", "coverage"), ("pytest_timeout", "limit for a test that hangs")):
        if python.lacks(module):
            run.voice.detail(f"note: no {what}: {module.replace('_', '-')} is not installed there")
    folders = [interpreter.bridge(run.settings.cache_dir), *filter(None, [environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(folders)}


def _interrupt(child: process.Child) -> None:
    """Send pytest Ctrl-C, so that it tears down its fixtures, and wait ten seconds for it."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_PYTEST_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return


def _shard_argv(run: Run) -> list[str]:
    """Write this shard's durations for pytest, record them, and return the option that names the file."""
    shard = run.settings.shard
    if shard is None:
        return []
    durations, notes = shards.find_durations(run.settings.durations, run.project, run.manifest.service)
    by = f"the durations of {len(durations)} tests" if durations else "number: no durations are recorded"
    for line in (*notes, f"shard {shard}, split by {by}"):
        run.voice.detail(line)
    run.record.shard = ShardPart(
        number=shard.number,
        of=shard.of,
        durations=shards.fingerprint(durations),
        source=str(run.manifest.source_dir.resolve()),
    )
    run.save()  # a shard that is killed is known for one
    shards.hand_down(run.dir / "shard.json", shard, durations)
    return [f"--testbay-shard={run.dir / 'shard.json'}"]  # with =, or pytest looks for its settings beside the file


def _where(run: Run) -> str:
    """The argument with the tests' location; pytest would take a `[` in an absolute path for test parameters.

    Empty if pytest's own `testpaths` give it: with an argument, pytest prefers settings in that folder.
    """
    folders = [os.path.normpath(run.manifest.root / name) for name in folders_of_tests(run.manifest.root)[1]]
    if run.collect is None or (folders and os.path.commonpath(folders) == os.path.normpath(run.collect)):
        return ""
    path = str(run.collect)
    return f"./{os.path.relpath(path, run.manifest.root)}" if "[" in path else path


def _coverage(run: Run) -> str:
    """Choose what to measure: nothing if coverage.py could not write the folder's name into its data."""
    asked = "off" if run.settings.no_coverage else run.manifest.coverage
    path = f"{run.dir}{run.manifest.root.resolve()}"
    if asked == "off" or path.encode(errors="ignore").decode() == path:
        return asked
    run.voice.detail(
        "note: no coverage: coverage.py cannot record this folder's path, which is not UTF-8 for Python; "
        "in a folder with an ordinary name and with LC_ALL=C.UTF-8 it can"
    )
    return "off"


def _arguments(run: Run, python: Interpreter, pytest_args: Sequence[str]) -> list[str]:
    """The arguments of pytest; the plugin adds what the suite's own settings leave open, from suite.json."""
    number, order = workers.decide(run, python)
    asked = suite.Suite(
        collect=_where(run),
        coverage=_coverage(run),
        source=str(run.manifest.source_dir),
        timeout_s=run.settings.test_timeout_s,
        timeout_asked=run.settings.test_timeout_asked,
        run_dir=str(run.dir),
        workers=number,
    )
    return [
        *([asked.collect] if asked.collect else []),
        *("-p", python.plugin, f"--testbay-record={run.dir / 'tests.jsonl'}", *_shard_argv(run), *order),
        f"--testbay-suite={asked.write(run.dir / 'suite.json')}",
        *suite.as_seen_from(run.manifest.root, pytest_args, [Path.cwd(), run.project]),
    ]

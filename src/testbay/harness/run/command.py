"""One integration run of one service: start, ready, migrate, test, stop; its record; its closing lines."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from testbay import masking, process
from testbay.errors import BayError, FilesError, LeftBehindError, unusable
from testbay.harness import interpreter
from testbay.harness.interpreter import Interpreter
from testbay.harness.leases import attach
from testbay.harness.leases.attach import Borrowed
from testbay.harness.plugin import coveragerc, suite
from testbay.harness.run import coveragexml, folder, results, workers
from testbay.harness.run.record import Record
from testbay.harness.run.shards import split as shards
from testbay.harness.stack import lifeline, prepare, request
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.logcopies import Copies
from testbay.harness.stack.prepared import Stages, prepared
from testbay.harness.stack.request import Request
from testbay.harness.stack.stack import Stack
from testbay.manifest.service import Manifest
from testbay.output import Voice, append_summary, write_whole
from testbay.settings import Settings

_PYTEST_PATIENCE_S = 10.0
_LOOK_S = 0.25  # for what the servers have logged: looking takes its time from the tests
_POLL_S = 0.02  # where only asking tells that pytest has ended


class Run:
    """A run in progress: its folder, its clock, its record; `closing` collects the lines it will end with.

    `collect` is what pytest looks for tests in, the manifest's folder of tests unless said; `output` where it speaks.
    """

    def __init__(
        self,
        manifest: Manifest,
        project: Path,
        settings: Settings,
        voice: Voice,
        *,
        collect: Path | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        self.output = output
        self.manifest = manifest
        self.collect = collect or manifest.tests_dir
        self.project = project
        self.settings = settings
        self.voice = voice
        run_id = folder.run_id(manifest.service, secrets.token_hex(2))
        self.dir = folder.make(project, run_id)
        self.record = Record(
            id=run_id,
            service=manifest.service,
            started=datetime.now(UTC).isoformat(),
            startup_budget_s=settings.startup_budget_s,
        )
        self.closing: list[tuple[str, bool]] = []
        self._secrets = masking.values_of(manifest.secrets, settings.environ)
        self.logs = Copies(self.dir / "logs", self.mask)
        self._clock = time.monotonic()

    def mask(self, text: str) -> str:
        """Without the values of the manifest's secrets."""
        return masking.masked(text, self._secrets) if self._secrets else text

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step on the run's timeline; the record on disk is brought up to date after each."""
        began = time.monotonic()
        entry: dict[str, Any] = {"name": title, "start_s": self.clock_s, "outcome": "failed"}
        try:
            with self.voice.step(title):
                yield
            entry["outcome"] = "ok"
        finally:
            entry["duration_s"] = round(time.monotonic() - began, 4)
            self.record.steps.append(entry)
            self.save()

    @property
    def clock_s(self) -> float:
        """Seconds since it began."""
        return round(time.monotonic() - self._clock, 4)

    def finish(self, code: int) -> None:
        """The last word of its record."""
        self.record.finished, self.record.duration_s = datetime.now(UTC).isoformat(), self.clock_s
        self.record.exit_code = code
        self.save()

    def close(self, text: str, *, good: bool) -> None:
        """Add a closing line."""
        self.closing.append((text, good))

    def save(self) -> None:
        """Write run.json in one step.

        Raises:
            FilesError: It cannot be written.
        """
        try:
            self.record.save(self.dir)
        except OSError as error:
            raise unusable(error) from None


def execute(run: Run, pytest_args: Sequence[str]) -> int:
    """The whole of tier 3."""
    return conclude(run, lambda: _steps(run, pytest_args))


def conclude(run: Run, work: Callable[[], int], end: Callable[[], None] = lambda: None) -> int:
    """Do it; an error is said, recorded and turned into the exit code, which is returned after the closing lines.

    `end` comes between: it may correct when the run ended, before that is told.
    """
    try:
        with process.signals_as_errors():
            code = _usable(work)
    except BayError as error:
        code = error.exit_code
        run.record.error = {
            "class": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "do": error.todo,
        }
        run.voice.error(error)
    try:
        run.finish(code)
    except FilesError as error:
        code = code or error.exit_code
        run.voice.error(error)
    end()
    if not any(text.startswith("Tests:") for text, _ in run.closing):
        run.close("Tests: did not run", good=False)
    for text, good in run.closing:
        run.voice.verdict(text, good=good)
    _tell(run)
    run.voice.detail(f"record: {os.path.relpath(run.dir)}")
    return code


def _usable(work: Callable[[], int]) -> int:
    try:
        return work()
    except OSError as error:
        raise unusable(error) from error


def _tell(run: Run) -> None:
    """The record as people read it: a page, a summary, annotations. None of them changes how the run ended."""
    from testbay.harness.run import report
    from testbay.harness.run.report import runfile, summary

    try:
        record = runfile.read(run.dir, run.mask)
        report.write(record, run.dir / "report.html")
        text = summary.markdown(record)
        write_whole(run.dir / "summary.md", text)
    except (BayError, OSError) as error:
        run.voice.detail(f"no report: {error}")
        return
    summary.annotate(record, run.voice, run.settings.path_in_workspace(run.project))
    if run.settings.step_summary and (problem := append_summary(text, run.settings.step_summary)):
        run.voice.detail(problem)


def _steps(run: Run, pytest_args: Sequence[str]) -> int:
    asked = request.request(run.manifest, run.project, run.settings, run.voice.progress)
    run.record.engine, run.record.engine_reason = asked.engine, asked.reason
    run.record.llm = prepare.decide_model(asked)
    if asked.interpreter.said:
        asked.interpreter.check()
    prepare.announce(asked, run.voice, run.record.llm)
    borrowed = attach.borrow(asked)
    with _leased(run, borrowed) if borrowed else prepared(asked, _Recorded(run)) as stack:
        return _test(run, stack, pytest_args)


class _Recorded(Stages):
    """A stack for this run alone: its stages are steps of the run, and stand in its record."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.voice, copies=run.logs, sets_aside=True)
        self._run = run
        self._began_s = 0.0

    @contextmanager
    def starting(self, asked: Request) -> Iterator[None]:
        with self._run.step(f"Start {asked.said}"):
            self._began_s = self._run.clock_s
            yield

    def started(self, stack: Stack) -> None:
        self._run.record.startup = [
            {"name": name, "start_s": self._began_s, "duration_s": s} for name, s in stack.ready_s.items()
        ]
        super().started(stack)
        _note_dependencies(self._run, stack)

    def migrating(self) -> AbstractContextManager[None]:
        return _migrations(self._run)

    def migrated(self, names: list[str]) -> None:
        self._run.record.migrations = names

    def end(self, stack: Stack) -> None:
        """Teardown is not interrupted: a second Ctrl-C would leave what the first meant to end."""
        with process.signals_ignored(), self._run.step("Tear down"):
            self._run.logs.catch_up()
            left = stack.stop()
            self._run.logs.close()
        if left:
            raise LeftBehindError(
                f"teardown left {len(left)} behind: {', '.join(left)}",
                why="they could not be ended or removed",
                todo="`testbay gc` tries again; what it cannot end belongs to another user or hangs in the kernel",
                evidence=str(self._run.settings.cache_dir / "guard.log"),
            )


@contextmanager
def _leased(run: Run, borrowed: Borrowed) -> Iterator[Stack]:
    """A private slice of a kept stack, which stays."""
    stack = borrowed.stack
    run.logs.follow(stack.home, from_now=True)
    _note_dependencies(run, stack)
    try:
        with run.step(f"Take {borrowed.lease.name} on the warm stack {stack.id} ({stack.request.engine})"):
            prepare.describe(stack, run.voice)
        with _migrations(run):
            run.record.migrations = prepare.prepare_lease(stack, run.voice)
        yield stack
    finally:
        run.logs.close()
        borrowed.close()


def _note_dependencies(run: Run, stack: Stack) -> None:
    run.record.dependencies = [stacks.public(endpoint) for endpoint in stack.endpoints.values()]
    for name in run.manifest.needs:
        run.close(_running_line(stack, name), good=True)


def _running_line(stack: Stack, name: str) -> str:
    """`PostgreSQL: Running on port 15433 (18.6, embedded)`."""
    endpoint = stack.endpoints[name]
    facts = ", ".join(part for part in (endpoint.version, stack.request.engine, endpoint.note) if part)
    shared = stack.request.shared(name)
    return f"{endpoint.title}: Running on port {endpoint.port} ({facts}{f'; tests share {shared}' if shared else ''})"


@contextmanager
def _migrations(run: Run) -> Iterator[None]:
    """The step that leaves the database migrated, and its closing line."""
    try:
        with run.step("Apply migrations"):
            yield
    except BayError:
        run.close("Migrations: failed", good=False)
        raise
    applied = run.record.migrations
    run.close("Migrations: Applied successfully" if applied else "Migrations: none in the manifest", good=True)


def _test(run: Run, stack: Stack, pytest_args: Sequence[str]) -> int:
    """Run pytest and close with what it did, also when it was interrupted half-way."""
    began = time.monotonic()
    good = False
    try:
        with run.step("Run the tests"):
            code = _pytest(run, stack, pytest_args)
        if not {"--collect-only", "--co"} & set(pytest_args):
            code = results.verify(results.read(run.dir), code, run.collect or run.manifest.root)
        good = code == 0
    finally:
        done = results.read(run.dir)
        run.record.collected = done.collected
        run.record.planned, run.record.tests = done.planned, results.moved(done.tests, run.manifest.root, run.project)
        run.record.counts = done.counts
        results.keep(done, run.dir)
        coveragexml.relocate(run.dir / "coverage.xml", run.manifest.root, run.project)
        run.record.coverage_percent = done.coverage_percent
        least = coveragerc.fail_under(run.dir / "coveragerc")
        low = done.coverage_percent is not None and done.coverage_percent < least
        passed = good or (low and not done.count("failed") and not {"failed", "error"} & done.counts.keys())
        run.close(results.tests_line(done, time.monotonic() - began), good=passed)
        if run.record.llm:
            run.close(f"LLM: {run.record.llm}", good=True)
        if done.coverage_percent is not None:
            text, whole = results.coverage_line(done, least)
            run.close(text, good=whole)
    return code


def _pytest(run: Run, stack: Stack, pytest_args: Sequence[str]) -> int:
    """Pytest in a session of its own, handed to the guard, so that nothing it starts survives it or us."""
    handed = {"TESTBAY_RUN_DIR": str(run.dir), "TESTBAY_STACK": str(stack.home), "TESTBAY_MARK": stack.mark()}
    environ = stack.command_environment() | handed | {"TESTBAY_SECRETS": ",".join(run.manifest.secrets)}
    python = stack.request.interpreter
    if python.said:
        environ |= _crossing(run, python, environ)
    argv = _pytest_argv(run, python, pytest_args)
    child = process.spawn(argv, env=environ, cwd=run.manifest.root, output=run.output, new_session=True, reaped=True)
    stack.own(child.pid)
    try:
        with run.voice.fenced() if run.output is None else nullcontext(), lifeline.ending(child) as ended:
            while (code := child.poll()) is None:
                stack.check(_LOOK_S if ended else _POLL_S, ended)
                run.logs.catch_up()
    except BayError:
        _interrupt(child)
        raise
    finally:
        process.end(process.in_session(child.pid))
        child.wait()
    if code < 0:
        stack.check(0.5)  # it may have been the guard that ended it: then the guard's reason is the news
    return code


def _crossing(run: Run, python: Interpreter, environ: Mapping[str, str]) -> dict[str, str]:
    """What our plugin needs in the pytest of another environment; what that lacks is said."""
    run.voice.detail(f"Python: {python.program} ({python.said})")
    for module, what in (("pytest_cov", "coverage"), ("pytest_timeout", "limit for a test that hangs")):
        if python.lacks(module):
            run.voice.detail(f"note: no {what}: {module.replace('_', '-')} is not installed there")
    folders = [interpreter.bridge(run.settings.cache_dir), *filter(None, [environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(folders)}


def _interrupt(child: process.Child) -> None:
    """Pytest's own Ctrl-C: it tears its fixtures down and sums up; a second Ctrl-C, or the end of patience, ends it."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_PYTEST_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return


def _shard_argv(run: Run) -> list[str]:
    """Choose what this shard is split by, and hand it down: the record tells whether all shards had the same."""
    shard = run.settings.shard
    if shard is None:
        return []
    durations, notes = shards.find_durations(run.settings.durations, run.project, run.manifest.service)
    by = f"the durations of {len(durations)} tests" if durations else "number: no durations are recorded"
    for line in (*notes, f"shard {shard}, split by {by}"):
        run.voice.detail(line)
    run.record.shard = {
        **shard._asdict(),
        "durations": shards.fingerprint(durations),
        "source": str(run.manifest.source_dir.resolve()),
    }
    run.save()  # a shard that is killed is known for one
    shards.hand_down(run.dir / "shard.json", shard, durations)
    return [f"--testbay-shard={run.dir / 'shard.json'}"]  # with =, or pytest looks for its settings beside the file


def _pytest_argv(run: Run, python: Interpreter, pytest_args: Sequence[str]) -> list[str]:
    """The suite's own settings stand; what they leave open, the plugin adds as the file says."""
    number, order = workers.decide(
        run.manifest, run.settings, run.project, run.dir, python=python, say=run.voice.detail
    )
    asked = suite.Suite(
        collect="" if run.collect is None else str(run.collect),
        coverage="off" if run.settings.no_coverage else run.manifest.coverage,
        source=str(run.manifest.source_dir),
        timeout_s=run.settings.test_timeout_s,
        timeout_asked=run.settings.test_timeout_asked,
        run_dir=str(run.dir),
        workers=number,
    )
    # -P: a signal.py or a folder redis/ of the project's does not stand before Python's own and the libraries.
    return [
        *(str(python.program), "-P", "-m", "pytest", *([asked.collect] if asked.collect else [])),
        *("-p", python.plugin, f"--testbay-record={run.dir / 'tests.jsonl'}", *_shard_argv(run), *order),
        f"--testbay-suite={asked.write(run.dir / 'suite.json')}",
        *suite.as_seen_from(run.manifest.root, pytest_args, [Path.cwd(), run.project]),
    ]

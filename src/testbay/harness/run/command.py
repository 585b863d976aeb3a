"""One integration run of one service: start, ready, migrate, test, stop; its record; its closing lines."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from testbay import process
from testbay.errors import BayError, InterruptedRunError, LeftBehindError
from testbay.harness.leases import attach
from testbay.harness.leases.attach import Borrowed
from testbay.harness.run import testing
from testbay.harness.run.pytestprocess import PytestProcess
from testbay.harness.run.recordparts import RecordedDependency, RecordedStep
from testbay.harness.run.run import Run, conclude
from testbay.harness.stack import planning, prepare
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.migrations.migrated import Migrated
from testbay.harness.stack.prepared import Stages, prepared
from testbay.harness.stack.request import Request, decide
from testbay.harness.stack.stack import Stack


def execute(run: Run, pytest_args: Sequence[str]) -> int:
    """Run the service's tests from start to teardown; return the exit code."""
    return conclude(run, lambda: _steps(run, pytest_args))


def _steps(run: Run, pytest_args: Sequence[str]) -> int:
    request = decide(run.manifest, run.project, run.settings, run.voice.progress)
    run.record.engine, run.record.engine_reason = request.engine, request.reason
    run.record.llm = prepare.decide_model(request)
    if request.interpreter.said:
        request.interpreter.check()
    prepare.announce(request, run.voice, run.record.llm)
    with PytestProcess(request, run.output) as pytest:
        borrowed = attach.borrow(request)
        with _leased(run, borrowed) if borrowed else prepared(request, _Recorded(run)) as stack:
            return testing.test(run, stack, pytest, pytest_args)


class _Recorded(Stages):
    """Records the stages of the run's own stack as steps of the run."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.voice, copies=run.logs, sets_aside=True)
        self._run = run
        self._began_s = 0.0

    @contextmanager
    def starting(self, request: Request) -> Iterator[None]:
        with self._run.step(f"Start {request.said}"):
            self._began_s = self._run.clock_s
            yield

    def started(self, stack: Stack) -> None:
        self._run.record.startup = [
            RecordedStep(name=name, start_s=self._began_s, duration_s=s) for name, s in stack.ready_s.items()
        ]
        super().started(stack)
        _note_dependencies(self._run, stack)

    def migrating(self) -> AbstractContextManager[None]:
        return _migrations(self._run)

    def migrated(self, done: Migrated) -> None:
        _note_migrations(self._run, done)

    def end(self, stack: Stack) -> None:
        """Tear the stack down, uninterrupted: after a second Ctrl-C, things would be left behind."""
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
    """Run on a lease of a kept stack, which keeps running."""
    stack = borrowed.stack
    run.logs.follow(stack.home, from_now=True)
    _note_dependencies(run, stack)
    try:
        with run.step(f"Take {borrowed.lease.name} on the warm stack {stack.id} ({stack.request.engine})"):
            prepare.describe(stack, run.voice)
        with _migrations(run):
            done = prepare.prepare_lease(stack, run.voice)
        _note_migrations(run, done)
        yield stack
    finally:
        run.logs.close()
        borrowed.close()


def _note_dependencies(run: Run, stack: Stack) -> None:
    run.record.dependencies = [RecordedDependency(**stacks.public(endpoint)) for endpoint in stack.endpoints.values()]
    for name in run.manifest.needs:
        run.add_closing_line(_running_line(stack, name), good=True)


def _running_line(stack: Stack, name: str) -> str:
    """The closing line of a dependency: `PostgreSQL: Running on port 15433 (18.6, embedded)`."""
    endpoint = stack.endpoints[name]
    facts = ", ".join(part for part in (endpoint.version, stack.request.engine, endpoint.note) if part)
    shared = planning.shared(stack.request, name)
    return f"{endpoint.title}: Running on port {endpoint.port} ({facts}{f'; tests share {shared}' if shared else ''})"


@contextmanager
def _migrations(run: Run) -> Iterator[None]:
    """The step that applies the migrations, and its closing line if it fails."""
    try:
        with run.step("Apply migrations"):
            yield
    except BayError as error:
        how = "interrupted" if isinstance(error, InterruptedRunError) else "failed"
        run.add_closing_line(f"Migrations: {how}", good=False)
        raise


def _note_migrations(run: Run, done: Migrated) -> None:
    run.record.migrations = done.lines
    run.add_closing_line(f"Migrations: {done}", good=True)

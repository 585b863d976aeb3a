"""One integration run of one service: start, ready, migrate, test, stop; its record; its closing lines."""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbay import migrate, process, registry
from testbay import stack as stacks
from testbay.dependencies import ROOMS, nats
from testbay.errors import (
    BayError,
    InterruptedRunError,
    LeftBehindError,
    MigrationError,
    SecretMissingError,
    TestsDidNotRunError,
)
from testbay.manifest import Manifest
from testbay.output import Voice
from testbay.settings import Settings
from testbay.stack import Request, Stack

_KEPT_RUNS = 20
_PYTEST_NO_TESTS = 5


@dataclass(kw_only=True)
class Record:
    """What a run leaves in run.json. Times are seconds; `steps` are relative to `started`."""

    id: str
    service: str
    started: str
    engine: str = ""
    engine_reason: str = ""
    llm: str = ""
    dependencies: list[dict[str, Any]] = field(default_factory=list)
    migrations: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    tests: list[dict[str, Any]] = field(default_factory=list)
    coverage_percent: float | None = None
    exit_code: int | None = None
    error: dict[str, str] | None = None


class Run:
    """A run in progress: its folder, its clock, its record; `closing` collects the lines it will end with."""

    def __init__(self, manifest: Manifest, project: Path, settings: Settings, voice: Voice) -> None:
        self.manifest = manifest
        self.project = project
        self.settings = settings
        self.voice = voice
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%d-%H%M%S}-{manifest.service}-{secrets.token_hex(2)}"
        self.dir = _make_folder(project, run_id)
        self.record = Record(id=run_id, service=manifest.service, started=now.isoformat())
        self.closing: list[tuple[str, bool]] = []
        self._clock = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step on the run's timeline; the record on disk is brought up to date after each."""
        began = time.monotonic()
        entry: dict[str, Any] = {"name": title, "start_s": round(began - self._clock, 4), "outcome": "failed"}
        try:
            with self.voice.step(title):
                yield
            entry["outcome"] = "ok"
        finally:
            entry["duration_s"] = round(time.monotonic() - began, 4)
            self.record.steps.append(entry)
            self.save()

    def save(self) -> None:
        """Write run.json in one step."""
        scratch = self.dir / ".run.json"
        scratch.write_text(json.dumps(asdict(self.record), indent=1), encoding="utf-8")
        scratch.replace(self.dir / "run.json")


def _make_folder(project: Path, run_id: str) -> Path:
    base = project / ".testbay"
    folder = base / "runs" / run_id
    try:
        (folder / "logs").mkdir(parents=True)
        (base / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise BayError(f"{base}: cannot keep the run's record here", why=str(error.strerror), todo="make it writable") from None
    older = sorted(p for p in folder.parent.iterdir() if p.is_dir())[:-_KEPT_RUNS]
    for stale in older:
        _remove(stale)
    return folder


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def execute(run: Run, pytest_args: Sequence[str]) -> int:
    """The whole of tier 3. Never raises a BayError: it is said, recorded and turned into the exit code."""
    code = 0
    try:
        with signals_as_errors():
            code = _steps(run, pytest_args)
    except BayError as error:
        code = error.exit_code
        run.record.error = {"class": type(error).__name__, "what": error.what, "why": error.why, "do": error.todo}
        run.voice.error(error)
    run.record.exit_code = code
    run.save()
    for text, good in run.closing:
        run.voice.verdict(text, good=good)
    run.voice.say(f"    record: {_shown(run.dir)}")
    return code


def _shown(path: Path) -> str:
    """Relative to where the user stands, when it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _steps(run: Run, pytest_args: Sequence[str]) -> int:
    asked = stacks.request(run.manifest, run.project, run.settings)
    run.record.engine, run.record.engine_reason = asked.engine, asked.reason
    run.record.llm = check_secrets(asked)
    announce(asked, run.voice, run.record.llm)
    with run.step(f"Start {', '.join(run.manifest.needs)} ({asked.engine}: {asked.reason})"):
        stack = stacks.start(asked, logs_dir=run.dir / "logs", progress=run.voice.progress)
        for line in describe(stack):
            run.voice.detail(line)
    run.record.dependencies = [stacks.public(endpoint) for endpoint in stack.endpoints.values()]
    run.closing += [(closing_line(stack, name), True) for name in run.manifest.needs]
    try:
        with run.step("Apply migrations"):
            run.record.migrations = [name for name, _ in prepare(stack, run.voice, run.closing)]
        with run.step("Run the tests"):
            code = _test(run, stack, pytest_args)
    finally:
        _stop(run, stack)
    return _conclude(run, code)


def _stop(run: Run, stack: Stack) -> None:
    """Teardown is not interrupted: a second Ctrl-C would leave what the first meant to end."""
    with signals_ignored(), run.step("Tear down"):
        left = stack.stop()
    if left:
        raise LeftBehindError(
            f"teardown left {len(left)} behind: {', '.join(left)}",
            why="they could not be ended or removed",
            todo="`testbay gc` tries again; what it cannot end belongs to another user or hangs in the kernel",
            evidence=str(run.settings.cache_dir / "guard.log"),
        )


def check_secrets(asked: Request) -> str:
    """Which model answers: `live` or `replay`; empty when the manifest names no replay.

    Raises:
        SecretMissingError: In CI, a secret is absent and nobody asked for the replay by name.
    """
    manifest, environ = asked.manifest, asked.settings.environ
    for name, path in manifest.secrets.items():
        replayed = manifest.replay is not None and manifest.replay.secret == name
        if environ.get(name) or not asked.settings.ci or (replayed and asked.settings.replay_asked):
            continue
        raise SecretMissingError(
            f"{name} is not set",
            why=f"in CI a missing secret is an error, or the tests would silently test something else (it is {path})",
            todo=f"fetch it, or ask for the replay by name: TESTBAY_LLM=replay{'' if replayed else ' does not cover this one'}",
        )
    if manifest.replay is None:
        return ""
    return "replay" if asked.replay else "live"


def announce(asked: Request, voice: Voice, llm: str) -> None:
    """What a reader must know before anything starts."""
    for notice in asked.notices:
        voice.detail(f"note: {notice}")
    if llm == "replay" and asked.manifest.replay is not None:
        voice.detail(f"LLM: replay ({asked.manifest.replay.secret} is not set: recorded answers from a local server)")
    elif llm:
        voice.detail("LLM: live")


def describe(stack: Stack) -> Iterator[str]:
    """One line for each dependency that answered."""
    for name, endpoint in stack.endpoints.items():
        server = stack.request.servers.get(name)
        origin = f"{stack.request.engine}, {server.source}" if server else "stand-in for the model"
        note = f"; {endpoint.note}" if endpoint.note else ""
        moved = _moved(stack, name)
        yield f"{endpoint.title} {endpoint.version} ready on port {endpoint.port} ({origin}{note}){moved}"


def _moved(stack: Stack, name: str) -> str:
    service = stack.request.services.get(name)
    wanted = next((p.host for p in service.ports if p.host), 0) if service else 0
    port = stack.endpoints[name].port
    return f" - port {wanted} is taken" if wanted and port != wanted else ""


def closing_line(stack: Stack, name: str) -> str:
    """`PostgreSQL: Running on port 15433 (18.6, embedded)`."""
    endpoint = stack.endpoints[name]
    facts = ", ".join(part for part in (endpoint.version, stack.request.engine, endpoint.note) if part)
    return f"{endpoint.title}: Running on port {endpoint.port} ({facts})"


def prepare(
    stack: Stack, voice: Voice, closing: list[tuple[str, bool]], applied: Sequence[Sequence[str]] = ()
) -> list[list[str]]:
    """Streams, then the migrations not in `applied`: what a service expects to find.

    Returns:
        Name and digest of every migration the database now has.

    Raises:
        MigrationError: Something was refused.
    """
    manifest = stack.request.manifest
    environ = {**stack.request.settings.environ, **stack.environment()}
    try:
        if manifest.nats.streams:
            nats.create_streams(stack.endpoints["nats"], [s.model_dump() for s in manifest.nats.streams])
            voice.detail(f"streams: {', '.join(s.name for s in manifest.nats.streams)}")
        done = _migrations(stack, voice, environ, applied)
    except OSError as error:
        closing.append(("Migrations: failed", False))
        raise MigrationError(f"NATS refused a stream: {error}", todo="mend [tool.testbay.nats] in the manifest") from None
    except MigrationError:
        closing.append(("Migrations: failed", False))
        raise
    closing.append(("Migrations: Applied successfully" if done else "Migrations: None named in the manifest", True))
    stack.note({"migrations": done})
    return done


def _migrations(
    stack: Stack, voice: Voice, environ: Mapping[str, str], applied: Sequence[Sequence[str]]
) -> list[list[str]]:
    manifest = stack.request.manifest
    if manifest.migrate:
        voice.detail(manifest.migrate)
        migrate.run_command(manifest.migrate, manifest.root, environ)
        return [[manifest.migrate, ""]]
    if not manifest.migrations:
        return []
    files = migrate.ordered(manifest.root / manifest.migrations)
    for number in migrate.missing_numbers(files):
        voice.detail(f"note: no migration has number {number}")
    pending = migrate.pending(files, applied)
    migrate.apply_sql(pending, stack.endpoints["postgres"], environ, voice.detail)
    return [[file.name, migrate.digest(file)] for file in files]


def _test(run: Run, stack: Stack, pytest_args: Sequence[str]) -> int:
    """pytest in a session of its own, owned by the guard, so that nothing it started survives it."""
    environ = {**run.settings.environ, **stack.environment(), "TESTBAY_RUN_DIR": str(run.dir)}
    child = process.spawn(_pytest_argv(run, pytest_args), env=environ, cwd=run.manifest.root, new_session=True)
    stack.own(child.pid)
    try:
        while (code := child.poll()) is None:
            stack.check(0.02)
    except BayError:
        _interrupt(child.pid)
        _wait(child, 10.0)
        raise
    finally:
        process.end(process.in_session(child.pid))
        child.wait()
        _read_results(run)
    return int(code)


def _interrupt(pid: int) -> None:
    """pytest's own Ctrl-C: it runs the fixtures' teardown and prints its summary."""
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return


def _wait(child: Any, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _pytest_argv(run: Run, pytest_args: Sequence[str]) -> list[str]:
    config = run.dir / "coveragerc"
    config.write_text(_coverage_config(run), encoding="utf-8")
    return [
        *(sys.executable, "-m", "pytest", str(run.manifest.tests_dir)),
        *("-p", "testbay.pytest_plugin", "--testbay-record", str(run.dir / "tests.jsonl")),
        *("--tb=short", f"--timeout={run.settings.test_timeout_s}", f"--junitxml={run.dir / 'junit.xml'}"),
        *("--cov", f"--cov-config={config}", "--cov-report=term:skip-covered"),
        *(f"--cov-report=json:{run.dir / 'coverage.json'}", f"--cov-report=xml:{run.dir / 'coverage.xml'}"),
        *pytest_args,
    ]


def _coverage_config(run: Run) -> str:
    """The service's own processes are measured too: in each one that Python starts, also when it ends by SIGTERM."""
    return (
        "[run]\n"
        f"source = {run.manifest.source_dir}\n"
        f"data_file = {run.dir / 'coverage.db'}\n"
        "branch = true\nparallel = true\nsigterm = true\npatch = subprocess\n"
        "concurrency = thread\n"
        "disable_warnings = no-data-collected,module-not-measured\n"
    )


def _read_results(run: Run) -> None:
    file = run.dir / "tests.jsonl"
    facts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    run.record.planned = [nodeid for fact in facts for nodeid in fact.get("planned", [])]
    run.record.tests = [fact for fact in facts if "id" in fact]
    report = run.dir / "coverage.json"
    if report.exists():
        run.record.coverage_percent = round(json.loads(report.read_bytes())["totals"]["percent_covered"], 1)


def _conclude(run: Run, code: int) -> int:
    """The closing lines of the tests, and pytest's exit code unless planned tests did not run."""
    tests = run.record.tests
    failed = [test for test in tests if test["outcome"] == "failed"]
    seconds = next(step["duration_s"] for step in run.record.steps if step["name"] == "Run the tests")
    counts = [f"{n} {word}" for word in ("passed", "failed", "skipped") if (n := sum(t["outcome"] == word for t in tests))]
    text = f"Tests: {', '.join(counts) or 'none ran'} in {seconds:.1f}s"
    text += "".join(f"\n   {test['id']}: {test.get('error', '')}" for test in failed)
    run.closing.append((text, code == 0))
    if run.record.llm:
        run.closing.append((f"LLM: {run.record.llm}", True))
    if run.record.coverage_percent is not None:
        run.closing.append((f"Coverage: {run.record.coverage_percent:.0f}%", True))
    _check_all_ran(run, code)
    return code


def _check_all_ran(run: Run, code: int) -> None:
    """A green run that ran less than it planned is red.

    Raises:
        TestsDidNotRunError: None were collected, or some never reported.
    """
    reported = {test["id"] for test in run.record.tests}
    silent = [nodeid for nodeid in run.record.planned if nodeid not in reported]
    if code == _PYTEST_NO_TESTS or (code == 0 and not run.record.planned):
        raise TestsDidNotRunError(
            f"no test was collected in {run.manifest.tests_dir}",
            why="no file named test_*.py there, or -k / -m left none over",
            todo="add a test, or mend `tests` in the manifest",
        )
    if code == 0 and silent:
        raise TestsDidNotRunError(
            f"{len(silent)} of {len(run.record.planned)} planned tests did not run",
            why="pytest ended early with exit code 0: a plugin, os._exit or a crashed worker",
            todo="run them alone",
            evidence="\n".join(silent[:20]),
        )


@contextmanager
def signals_as_errors() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal become one error that unwinds through every teardown."""

    def raise_it(number: int, _frame: object) -> None:
        raise InterruptedRunError(f"interrupted by {signal.Signals(number).name}", todo="everything was torn down; run it again")

    with _handlers(raise_it):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """For the moment in which an interruption would leave something behind."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: Any) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

"""A run in progress: its folder, its clock, its record, its closing lines, and its end."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from testbay import masking, process
from testbay.errors import BayError, FilesError, unusable
from testbay.files import write_whole
from testbay.harness.run import folder
from testbay.harness.run.record import Record
from testbay.harness.run.recordparts import RecordedFault, RecordedStep
from testbay.harness.stack.logcopies import Copies
from testbay.manifest.service import Manifest
from testbay.output import Voice, append_summary
from testbay.settings import Settings


class Run:
    """A run in progress: its folder, its clock, its record; `closing` collects the closing lines.

    `collect` is the place of the tests, by default the manifest's; `output` is the stream it prints to.
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
            started=datetime.now(UTC),
            startup_budget_s=settings.startup_budget_s,
        )
        self.closing: list[tuple[str, bool]] = []
        self._secrets = masking.values_of(manifest.secrets, settings.environ)
        self.logs = Copies(self.dir / "logs", self.mask)
        self._clock = time.monotonic()

    def mask(self, text: str) -> str:
        return masking.masked(text, self._secrets) if self._secrets else text

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step on the run's timeline; the record on disk is updated after each."""
        began, start_s = time.monotonic(), self.clock_s
        outcome: Literal["ok", "failed"] = "failed"
        try:
            with self.voice.step(title):
                yield
            outcome = "ok"
        finally:
            duration_s = round(time.monotonic() - began, 4)
            done = RecordedStep(name=title, start_s=start_s, outcome=outcome, duration_s=duration_s)
            self.record.steps.append(done)
            self.save()

    @property
    def clock_s(self) -> float:
        """The seconds since the run began."""
        return round(time.monotonic() - self._clock, 4)

    def finish(self, code: int) -> None:
        self.record.finished, self.record.duration_s = datetime.now(UTC).isoformat(), self.clock_s
        self.record.exit_code = code
        self.save()

    def add_closing_line(self, text: str, *, good: bool) -> None:
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


def conclude(run: Run, work: Callable[[], int], end: Callable[[], None] = lambda: None) -> int:
    """Do the work, print the closing lines and return the exit code; an error is printed and recorded.

    `end` is called between the work and the closing lines: it may correct the time of the run's end.
    """
    try:
        with process.signals_as_errors():
            code = _usable(work)
    except BayError as error:
        code = error.exit_code
        error.change(run.mask)
        run.record.error = RecordedFault.of(error)
        run.voice.error(error)
    try:
        run.finish(code)
    except FilesError as error:
        code = code or error.exit_code
        run.voice.error(error)
    end()
    if not any(text.startswith("Tests:") for text, _ in run.closing):
        run.add_closing_line("Tests: did not run", good=False)
    for text, good in run.closing:
        run.voice.verdict(text, good=good)
    _write_reports(run)
    run.voice.detail(f"record: {os.path.relpath(run.dir)}")
    return code


def _usable(work: Callable[[], int]) -> int:
    try:
        return work()
    except OSError as error:
        raise unusable(error) from error


def begin_report() -> None:
    """Begin to load the report's libraries in the background: that takes longer than writing the report."""
    threading.Thread(target=_load_report, name="testbay-report").start()


def _load_report() -> None:
    from testbay.harness.run import report
    from testbay.harness.run.report import runfile, summary  # noqa: F401 - for `_write_reports`

    report.templates()


def _write_reports(run: Run) -> None:
    """Write the report, the summary and annotations. Errors in these do not change the run's result."""
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

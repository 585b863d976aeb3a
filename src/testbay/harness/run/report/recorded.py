"""The model of a run's record when it is read: each field is validated, masked, made printable and bounded."""

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from testbay.harness.run.record import RAISED, in_words
from testbay.text import plural, visible

_LINE_CHARACTERS = 2000
_TEXT_CHARACTERS = 64 << 10
_SECTIONS = 40

Mask = Callable[[str], str]


def _text(value: object, info: ValidationInfo) -> object:
    """Validate a long text: mask it, then keep its end. In the other order, half of a secret could remain."""
    if not isinstance(value, str):
        return value
    mask: Mask = (info.context or {}).get("mask", str)
    text = mask(visible(mask(value[-4 * _TEXT_CHARACTERS :]))).rstrip()
    kept = text[-_TEXT_CHARACTERS:]
    if len(value) <= 4 * _TEXT_CHARACTERS and kept == text:
        return text
    return f"… {len(value) - len(kept)} characters before this\n{kept.partition(chr(10))[2] or kept}"


def _line(value: object, info: ValidationInfo) -> object:
    """Validate a name or a message: mask it, and keep its beginning on one line."""
    if not isinstance(value, str):
        return value
    mask: Mask = (info.context or {}).get("mask", str)
    text = mask(visible(mask(value[: 4 * _LINE_CHARACTERS]))).replace("\n", " ↵ ").replace("\t", " ")
    return text if len(text) <= _LINE_CHARACTERS else f"{text[:_LINE_CHARACTERS]}…"


def _id(value: object, info: ValidationInfo) -> object:
    """Validate a test's id as a line; long ids stay distinct when they are cut."""
    line = _line(value, info)
    if not isinstance(value, str) or not isinstance(line, str) or len(value) <= _LINE_CHARACTERS:
        return line
    return line + hashlib.sha256(value.encode(errors="replace")).hexdigest()[:8]


Line = Annotated[str, BeforeValidator(_line)]
Id = Annotated[str, BeforeValidator(_id)]
Text = Annotated[str, BeforeValidator(_text)]
# A clock that was set meanwhile makes any number of them.
Seconds = Annotated[float, AfterValidator(lambda value: min(max(0.0, value), 1e9))]


class _Part(BaseModel):
    """Base of all parts of a record: null counts as absent, unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class RecordedDependency(_Part):
    """A dependency, as the server itself reported it."""

    name: Line
    title: Line = ""
    port: int | None = None
    version: Line = ""
    note: Line = ""


class RecordedStep(_Part):
    """A step of the run; times are in seconds from the run's start."""

    name: Line
    start_s: Seconds = 0.0
    duration_s: Seconds = 0.0
    outcome: Literal["ok", "failed"] = "ok"


class Share(_Part):
    """The place of a run among its shards."""

    number: int
    of: int


class RecordedShard(_Part):
    """One of the runs that were merged."""

    shard: Line = ""
    id: Line = ""
    duration_s: Seconds = 0.0
    planned: int = 0
    failed: int = 0


class RecordedFault(_Part):
    """The error that ended the run."""

    kind: Line = Field("", alias="class")
    what: Line = ""
    why: Text = ""
    todo: Text = Field("", alias="do")


class Attempt(_Part):
    """One attempt at a test, with the phase that decided it; `start` is in seconds since 1970."""

    id: Id
    outcome: Literal["passed", "failed", "skipped", "rerun"]
    when: Line = ""
    start: Annotated[float, AfterValidator(lambda value: min(max(0.0, value), 1e11))] | None = None
    duration_s: Seconds = 0.0
    setup_s: Seconds = 0.0
    teardown_s: Seconds = 0.0
    worker: Line = ""
    attempt: int = 1
    error: Line = ""
    reason: Line = ""
    location: tuple[Line, int] | None = None
    trace: Text = ""
    sections: Annotated[
        tuple[tuple[Line, Text], ...],
        BeforeValidator(lambda value: value[:_SECTIONS] if isinstance(value, list) else value),
    ] = ()
    kept: Line = ""

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """The sections that explain the outcome: the service's exception, the traceback, then all others."""
        found = [(title, text) for title, text in self.sections if text]
        raised = [one for one in found if one[0].startswith(RAISED)]
        trace = [("traceback", self.trace)] if self.trace else []
        return [*raised, *trace, *(one for one in found if one not in raised)]

    @property
    def whole_s(self) -> float:
        """The duration with setup and teardown."""
        return self.setup_s + self.duration_s + self.teardown_s


@dataclass(frozen=True, kw_only=True)
class Test:
    """A test, with all its attempts."""

    __test__ = False  # the name starts with "Test"; pytest must not collect it
    id: str
    attempts: tuple[Attempt, ...]

    @cached_property
    def outcome(self) -> str:
        """The outcome: failed if any phase failed, or if a rerun was due and did not happen."""
        outcomes = {attempt.outcome for attempt in self.attempts}
        return next((o for o in ("failed", "passed", "skipped") if o in outcomes), "failed")

    @property
    def flaky(self) -> bool:
        return self.outcome == "passed" and any(attempt.outcome == "rerun" for attempt in self.attempts)

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """The attempts with something to explain."""
        return tuple(attempt for attempt in self.attempts if attempt.outcome in ("failed", "rerun"))

    @property
    def last(self) -> Attempt:
        """The decisive attempt: the last failed one of a failed test, else the last."""
        return (self.failures if self.outcome == "failed" else self.attempts)[-1]

    @property
    def reopen(self) -> str:
        """The command that opens the test's kept state; empty if none was kept."""
        return f"testbay open {shlex.quote(self.id)}" if any(attempt.kept for attempt in self.attempts) else ""

    @property
    def duration_s(self) -> float:
        return sum(attempt.whole_s for attempt in self.attempts)


class CoveredFile(_Part):
    """The coverage of a source file."""

    name: Line
    statements: int
    missing: int
    percent: float
    missing_lines: tuple[int, ...] = ()


class RecordedRun(_Part):
    """The content of run.json; docs/reference/records.md explains each field."""

    id: Line
    service: Line = ""
    started: datetime | None = None
    duration_s: Seconds = 0.0
    engine: Line = ""
    engine_reason: Line = ""
    llm: Line = ""
    dependencies: tuple[RecordedDependency, ...] = ()
    migrations: tuple[Line, ...] = ()
    startup: tuple[RecordedStep, ...] = ()
    startup_budget_s: Seconds = 0.0
    steps: tuple[RecordedStep, ...] = ()
    planned: tuple[Id, ...] = ()
    attempts: tuple[Attempt, ...] = Field((), alias="tests")
    counts: dict[Line, int] = {}
    coverage_percent: float | None = None
    exit_code: int | None = None
    error: RecordedFault | None = None
    shard: Share | None = None
    shards: tuple[RecordedShard, ...] = ()
    secrets_masked: int = 0
    covered: tuple[CoveredFile, ...] = ()

    @cached_property
    def tests(self) -> list[Test]:
        """Each test once, in the order in which they first ended."""
        found: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt.id, []).append(attempt)
        return [Test(id=nodeid, attempts=tuple(attempts)) for nodeid, attempts in found.items()]

    def ended(self, outcome: str) -> list[Test]:
        return [test for test in self.tests if test.outcome == outcome]

    @cached_property
    def flaky(self) -> list[Test]:
        return [test for test in self.tests if test.flaky]

    @property
    def counted(self) -> dict[str, str]:
        """The counts in words, by outcome; if pytest printed no last line, each test counts once."""
        return in_words(self.counts or {one: len(self.ended(one)) for one in ("passed", "failed", "skipped")})

    @property
    def slowest(self) -> list[Test]:
        return sorted(self.tests, key=lambda test: -test.duration_s)[:10]

    @property
    def silent(self) -> list[str]:
        """The tests that were planned and never reported."""
        reported = {attempt.id for attempt in self.attempts}
        return [nodeid for nodeid in self.planned if nodeid not in reported]

    @property
    def starts(self) -> list[RecordedStep]:
        """The start of each server, in seconds from the first server's; in a merged run from the first of its shard."""
        begin = min((step.start_s for step in self.startup), default=0.0)
        return [
            step.model_copy(update={"start_s": 0.0 if self.shards else step.start_s - begin}) for step in self.startup
        ]

    @property
    def startup_s(self) -> float:
        """The seconds from the first server's start until the last was ready."""
        return max((step.start_s + step.duration_s for step in self.starts), default=0.0)

    @property
    def length_s(self) -> float:
        """The duration of the run, as far as it was recorded."""
        return self.duration_s or max((step.start_s + step.duration_s for step in self.steps), default=0.0)

    @property
    def good(self) -> bool:
        return self.exit_code == 0

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        failed, count = len(self.ended("failed")), len(self.tests)
        if failed:
            return f"{failed} of {plural(count, 'test')} failed"
        if self.exit_code is None:
            return f"Not finished: {plural(count, 'test')} ended so far"
        if self.error:
            return self.error.what
        if not self.good:
            return f"Ended with exit code {self.exit_code}"
        told = self.counted
        passed = int(told.pop("passed", "0").partition(" ")[0])
        return ", ".join([f"{plural(passed, 'test')} passed", *told.values()])

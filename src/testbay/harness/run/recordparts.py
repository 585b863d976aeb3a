"""The parts of a run's record, and what becomes of its strings when a reader takes them in."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    model_validator,
)

from testbay.errors import BayError
from testbay.harness.plugin.cause import SECTION
from testbay.settings import MOST_SHARDS

TESTS_STEP = "Run the tests"
_SECTIONS = 40  # of an attempt that are shown


class Strings(Protocol):
    """A reader's way with the strings of a record: it masks, cuts or escapes them, or refuses one (ValueError)."""

    def id(self, text: str) -> str:
        """Take the id of a test or a run, which has to stay distinct from others."""

    def line(self, text: str) -> str:
        """Take a name or a message of one line."""

    def text(self, text: str) -> str:
        """Take a text of many lines."""


class AsTheyAre:
    """Strings that are kept. Half a character, as in a file name that is not UTF-8, becomes its escape."""

    def line(self, text: str) -> str:
        return text.encode(errors="backslashreplace").decode()

    id = text = line


AS_THEY_ARE = AsTheyAre()


def _by(way: str) -> BeforeValidator:
    """Pass a string through the reader's method of that name."""

    def passed(value: object, info: ValidationInfo) -> object:
        strings: Strings = (info.context or {}).get("strings", AS_THEY_ARE)
        return getattr(strings, way)(value) if isinstance(value, str) else value

    return BeforeValidator(passed)


Outcome = Literal["passed", "failed", "skipped", "rerun"]  # of an attempt; rerun when another attempt followed
Id = Annotated[str, _by("id")]
Line = Annotated[str, _by("line")]
Text = Annotated[str, _by("text")]
Location = tuple[Line, Annotated[int, Strict()]]  # file and line
# A clock that was set meanwhile makes any number of them.
Seconds = Annotated[float, Strict(), AfterValidator(lambda value: min(max(0.0, value), 1e9))]
Epoch = Annotated[float, Strict(), AfterValidator(lambda value: min(max(0.0, value), 1e11))]
Count = Annotated[int, Strict(), Field(ge=0, le=10**12)]
Time = Annotated[datetime, AfterValidator(lambda value: value if value.tzinfo else value.replace(tzinfo=UTC))]


class RecordPart(BaseModel):
    """Base of a record and its parts: null counts as absent, and what a newer testbay added is carried along."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class RecordedDependency(RecordPart):
    """A dependency, as the server itself reported it; the fields are those of `Endpoint`, without the password."""

    name: Line
    title: Line = ""
    host: Line = ""
    port: Count | None = None
    user: Line = ""
    db: Line = ""
    shared: Line = ""
    identity: Line = ""
    version: Line = ""
    note: Line = ""


class RecordedStep(RecordPart):
    """A step of the run, or the start of a server; times are in seconds from the run's start."""

    name: Line
    start_s: Seconds = 0.0
    duration_s: Seconds = 0.0
    outcome: Literal["ok", "failed"] = "ok"


class ShardPart(RecordPart):
    """The place of a run among its shards.

    `durations` is a hash of what the tests were split by; `source` is the folder whose coverage was measured.
    """

    number: Annotated[Count, Field(ge=1)]
    of: Annotated[Count, Field(ge=1, le=MOST_SHARDS)]
    durations: Id = ""
    source: Id = ""


class RecordedShard(RecordPart):
    """One of the runs that were merged: its place (`2/4`), its id, and how many tests it planned and ended."""

    shard: Line = ""
    id: Line = ""
    duration_s: Seconds = 0.0
    tests_s: Seconds = 0.0
    planned: Count = 0
    passed: Count = 0
    failed: Count = 0
    skipped: Count = 0
    exit_code: Annotated[int, Strict()] | None = None


class RecordedFault(RecordPart):
    """The error that ended the run."""

    kind: Line = Field(default="", alias="class")
    what: Line = ""
    why: Text = ""
    todo: Text = Field(default="", alias="do")

    @classmethod
    def of(cls, error: BayError) -> Self:
        said = {"what": error.what, "why": error.why, "do": error.todo}
        return cls.model_validate({"class": type(error).__name__, **said})


class Reported(RecordPart):
    """The facts about a test at the end of a phase, or of an attempt; `start` is in seconds since 1970.

    `location` is file and line in the project, `sections` are titles and texts, `kept` is the folder of its state.
    """

    id: Id = ""
    attempt: Count = 1
    outcome: Outcome | None = None
    when: Line = ""
    start: Epoch | None = None
    duration_s: Seconds = 0.0
    worker: Line = ""
    error: Line = ""
    trace: Text = ""
    location: Location | None = None
    sections: list[tuple[Line, Text]] = []
    reason: Line = ""
    kept: Line = ""


def silent(planned: Iterable[str], attempts: Iterable[Reported]) -> list[str]:
    """List the planned tests without an outcome."""
    reported = {attempt.id for attempt in attempts}
    return [nodeid for nodeid in planned if nodeid not in reported]


class Attempt(Reported):
    """One attempt at a test, with the phase that decided it; `duration_s` is of the test itself."""

    id: Id
    outcome: Outcome
    setup_s: Seconds = 0.0
    teardown_s: Seconds = 0.0

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """The sections that explain the outcome: the service's exception, the traceback, then all others."""
        found = [(title, text) for title, text in self.sections[:_SECTIONS] if text]
        raised = [one for one in found if one[0].startswith(SECTION)]
        trace = [("traceback", self.trace)] if self.trace else []
        return [*raised, *trace, *(one for one in found if one not in raised)]

    @property
    def whole_s(self) -> float:
        """The duration with setup and teardown."""
        return self.setup_s + self.duration_s + self.teardown_s

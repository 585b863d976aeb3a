"""The record of a run, `run.json`: its one schema, how it is written, and how it is read back."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, Strict, ValidationError

from testbay.files import write_whole
from testbay.harness.run import folder as runfolder
from testbay.harness.run.recordparts import (
    AS_THEY_ARE,
    Attempt,
    Count,
    Id,
    Line,
    RecordedDependency,
    RecordedFault,
    RecordedShard,
    RecordedStep,
    RecordPart,
    Seconds,
    ShardPart,
    Strings,
    Time,
)

FORMAT = 1  # counts changes that an older testbay would read wrongly; a record without it is of format 1
_EVIDENCE_BYTES = 48 << 20  # of what tests said, all together
_NO_ROOM: dict[str, Any] = {"trace": "the record has no more room for it: see tests.jsonl beside it", "sections": []}
_COUNTED = ("passed", "failed", "error", "skipped", "deselected", "xfailed", "xpassed")


class RecordError(ValueError):
    """A run.json that this testbay cannot read: which and what is wrong with it, why, and what to do."""

    def __init__(self, what: str, *, why: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.why = why
        self.todo = todo


class Record(RecordPart):
    """The content of run.json; docs/reference/records.md explains each field.

    Durations are in seconds; `steps` and `startup` are relative to `started`. `startup` has how long each dependency
    took to answer a real query; `attempts` are the file's `tests`.
    """

    id: Id
    service: Id = ""
    started: Time | None = None
    finished: Line = ""  # as `started`; empty while the run lasts
    duration_s: Seconds = 0.0
    engine: Line = ""
    engine_reason: Line = ""
    llm: Line = ""
    dependencies: list[RecordedDependency] = []
    migrations: list[Line] = []
    steps: list[RecordedStep] = []
    startup: list[RecordedStep] = []
    startup_budget_s: Seconds = 0.0
    shard: ShardPart | None = None
    collected: list[Id] = []
    planned: list[Id] = []
    attempts: list[Attempt] = Field(default=[], alias="tests")
    counts: dict[Line, Count] = {}
    coverage_percent: float | None = None
    exit_code: Annotated[int, Strict()] | None = None
    error: RecordedFault | None = None
    shards: list[RecordedShard] = []
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Replace the folder's run.json atomically: a reader never sees half of one."""
        bounded = self.model_copy(update={"attempts": list(_bounded(self.attempts))})
        written = {field.alias or name: _plain(getattr(bounded, name)) for name, field in Record.model_fields.items()}
        write_whole(folder / runfolder.RECORD, _json(written))

    @classmethod
    def read(cls, folder: Path, strings: Strings = AS_THEY_ARE) -> Self:
        """Read the record in a folder; each of its strings goes through `strings`.

        Raises:
            RecordError: It is missing, too large, cut off or of a newer testbay, or its values are of other types.
        """
        file = folder / runfolder.RECORD
        try:
            text = runfolder.contents(file).decode(errors="replace")
        except ValueError as error:
            raise RecordError(f"{file}: {error}", todo="name a run's folder, or its id") from None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            todo = "the run was cut off; tests.jsonl beside it has more"
            raise RecordError(f"{file}: not a whole record", why=str(error), todo=todo) from None
        _refuse_newer(file, found)
        try:
            return cls.model_validate(found, context={"strings": strings})
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "the whole"
            todo = "another version of testbay may have written it: make the run again"
            raise RecordError(f"{file}: {where}: {fault['msg']}", todo=todo) from None


def _refuse_newer(file: Path, found: object) -> None:
    written = found.get("format", 1) if isinstance(found, dict) else 1
    if not isinstance(written, int) or not 1 <= written <= FORMAT:
        raise RecordError(
            f"{file}: it has format {str(written)[:20]!r}, and this testbay reads up to {FORMAT}: a newer one wrote it",
            todo="upgrade testbay, or make the run again with this one",
        )


def _bounded(attempts: Iterable[Attempt]) -> Iterable[Attempt]:
    """The attempts, without tracebacks and logs if these exceed the limit: a larger record could not be read back."""
    room = _EVIDENCE_BYTES
    for attempt in attempts:
        room -= len(json.dumps([attempt.trace, attempt.sections])) if attempt.trace else 0
        yield attempt if room >= 0 else attempt.model_copy(update=_NO_ROOM)


def _plain(value: object) -> object:
    """A field's value as JSON has it; of a part only the fields that were given."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, RecordPart):
        return value.model_dump(by_alias=True, exclude_unset=True)
    return value.isoformat() if isinstance(value, datetime) else value


def _json(values: Mapping[str, object]) -> str:
    """Write JSON with a line for each field and each list entry: fast even for thousands of tests."""
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {_lines(value)}" for name, value in values.items()) + "\n}\n"


def _lines(value: object) -> str:
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
    return json.dumps(value)


def in_words(counts: Mapping[str, int], flaky: int = 0) -> dict[str, str]:
    """Word the counts as pytest's last line does, by outcome: `3 passed (1 flaky)`, `2 errors`; flaky ones passed."""
    totals = {**counts, "passed": counts.get("passed", 0) + counts.get("flaky", 0)}
    words = {"passed": f"passed ({flaky} flaky)" if flaky else "passed"}
    words["error"] = "error" if counts.get("error") == 1 else "errors"
    return {name: f"{totals[name]} {words.get(name, name)}" for name in _COUNTED if totals.get(name)}

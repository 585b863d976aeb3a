"""Run folders from elsewhere, such as CI artifacts: their content is bounded and checked, and never executed."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from testbay.errors import ManifestError, TestsDidNotRunError
from testbay.harness.run import record
from testbay.settings import MOST_SHARDS, Shard
from testbay.text import one_line, visible

_DEEPEST = 3  # artifacts/<name of the artifact>/<id of the run>/run.json


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _harmless(text: str) -> str:
    """Refuse a text with control characters or a command for GitHub Actions."""
    if _CONTROL.search(text) or text.lstrip().startswith("::"):
        raise ValueError("a line with control characters, or a workflow command")
    return text


_Id = Annotated[str, AfterValidator(_harmless)]
_Said = Annotated[str, AfterValidator(one_line)]
_Text = Annotated[str, AfterValidator(visible)]
_Seconds = Annotated[float, Field(ge=0, le=10**7)]  # four months; a date can be added to it


class _Read(BaseModel):
    """Base of all parts: unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class ShardPart(_Read):
    """The identity of a shard: its number, the durations that split the tests, and the folder of the measured code."""

    number: int = Field(ge=1)
    of: int = Field(ge=1, le=MOST_SHARDS)
    durations: str
    source: str


class Fact(_Read):
    """The outcome of one phase of an attempt at a test."""

    id: _Id
    when: _Id = "call"
    outcome: _Id
    setup_s: _Seconds = 0.0
    duration_s: _Seconds = 0.0
    teardown_s: _Seconds = 0.0
    error: _Said = ""
    trace: _Text = ""
    reason: _Said = ""
    sections: list[tuple[_Said, _Text]] = []


class ShardStep(_Read):
    """A step of the timeline, or the start-up of a dependency."""

    name: _Said
    start_s: _Seconds
    duration_s: _Seconds


class ShardServer(_Read):
    """A dependency of the shard."""

    name: _Said
    version: _Said = ""
    note: _Said = ""


class Ending(_Read):
    """The error that ended a run."""

    what: _Said


class ShardRun(_Read):
    """The run.json of a shard, as far as a merge needs it."""

    id: _Id
    service: _Id
    started: AwareDatetime
    duration_s: _Seconds = 0.0
    shard: ShardPart | None = None
    engine: _Said = ""
    engine_reason: _Said = ""
    llm: _Said = ""
    dependencies: list[ShardServer] = []
    migrations: list[_Id] = []
    steps: list[ShardStep] = []
    startup: list[ShardStep] = []
    startup_budget_s: _Seconds = 0.0
    collected: list[_Id] = []
    planned: list[_Id] = []
    tests: list[Fact] = []
    counts: dict[_Id, Annotated[int, Field(ge=0, le=10**9)]] = {}
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    error: Ending | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The run of one shard, and the folder it was found in."""

    folder: Path
    part: ShardPart
    run: ShardRun

    @property
    def name(self) -> str:
        return str(Shard(self.part.number, self.part.of))

    def seconds(self, step: str) -> float:
        return sum(entry.duration_s for entry in self.run.steps if entry.name == step)


def find(folders: Sequence[Path]) -> list[Artifact]:
    """Every shard's run in these folders and below; links are not followed.

    Raises:
        ManifestError: The run is missing, or is not a shard's.
        TestsDidNotRunError: A record is damaged.
    """
    found = [_read(run) for folder in folders for run in _runs(folder)]
    if not found:
        raise ManifestError(
            f"no run in {', '.join(map(str, folders))}",
            why="a run's folder has a run.json, here or three levels below; upload-artifact drops hidden files",
            todo="name the folders of the shards' runs, or the one that their artifacts were unpacked in",
        )
    return sorted(found, key=lambda artifact: (artifact.run.service, artifact.part.of, artifact.part.number))


def _runs(folder: Path) -> Iterator[Path]:
    for place, inner, files in os.walk(folder):
        if record.FILE in files:
            inner.clear()
            yield Path(place)
        elif len(Path(place).relative_to(folder).parts) >= _DEEPEST:
            inner.clear()


def _read(folder: Path) -> Artifact:
    try:
        _harmless(str(folder))
        data = record.contents(folder / record.FILE)
        if newer := record.problem(from_json(data)):
            raise damaged(folder / record.FILE, newer)
        run = ShardRun.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise damaged(folder / record.FILE, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    except ValueError as error:
        raise damaged(folder / record.FILE, str(error)) from None
    if run.shard is None:
        raise ManifestError(
            f"{folder} is not the run of a shard",
            why="only runs that were asked for with --shard can be merged; one that is whole already is --shard 1/1",
            todo="name the folders of the shards alone",
        )
    return Artifact(folder=folder, part=run.shard, run=run)


def damaged(file: Path, why: str) -> TestsDidNotRunError:
    """The error for a shard's unusable file: without its content nothing is proven."""
    return TestsDidNotRunError(
        f"{one_line(str(file))} cannot be used",
        why=one_line(why),
        todo="download the artifact again, or run this shard again",
    )

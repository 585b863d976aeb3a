"""Run folders from elsewhere, such as CI artifacts: their content is bounded and checked, and never executed."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from testbay.errors import ManifestError, TestsDidNotRunError
from testbay.harness.run import folder as runfolder
from testbay.harness.run.record import Record, RecordError
from testbay.harness.run.recordparts import ShardPart
from testbay.settings import Shard
from testbay.text import one_line, visible

_DEEPEST = 3  # artifacts/<name of the artifact>/<id of the run>/run.json
_MOST_CODE = 255  # 256 would leave this process as 0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _harmless(text: str) -> str:
    """Refuse a text with control characters or a command for GitHub Actions."""
    if _CONTROL.search(text) or text.lstrip().startswith("::"):
        raise ValueError("a line with control characters, or a workflow command")
    return text


class FromElsewhere:
    """The strings of a foreign record: an id is refused when it could do harm, all others are made harmless."""

    def id(self, text: str) -> str:
        return _harmless(text)

    def line(self, text: str) -> str:
        return one_line(text)

    def text(self, text: str) -> str:
        return visible(text)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The run of one shard, and the folder it was found in."""

    folder: Path
    part: ShardPart
    started: datetime
    run: Record

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
        if runfolder.RECORD in files:
            inner.clear()
            yield Path(place)
        elif len(Path(place).relative_to(folder).parts) >= _DEEPEST:
            inner.clear()


def _read(folder: Path) -> Artifact:
    file = folder / runfolder.RECORD
    try:
        _harmless(str(folder))
        run = Record.read(folder, FromElsewhere())
    except RecordError as error:
        raise damaged(file, ": ".join(filter(None, [str(error).removeprefix(f"{file}: "), error.why]))) from None
    except ValueError as error:
        raise damaged(file, str(error)) from None
    if run.shard is None:
        raise ManifestError(
            f"{folder} is not the run of a shard",
            why="only runs that were asked for with --shard can be merged; one that is whole already is --shard 1/1",
            todo="name the folders of the shards alone",
        )
    if not run.service or run.started is None:
        raise damaged(file, "it does not say of which service it is, or when it started")
    if run.exit_code is not None and not 0 <= run.exit_code <= _MOST_CODE:
        raise damaged(file, f"exit_code: {run.exit_code} is not an exit code")
    return Artifact(folder=folder, part=run.shard, started=run.started, run=run)


def damaged(file: Path, why: str) -> TestsDidNotRunError:
    """The error for a shard's unusable file: without its content nothing is proven."""
    return TestsDidNotRunError(
        f"{one_line(str(file))} cannot be used",
        why=one_line(why),
        todo="download the artifact again, or run this shard again",
    )

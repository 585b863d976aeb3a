"""Reading the kept state of failed tests. The folder may come from elsewhere, so every part of it is checked."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from testbay.errors import ManifestError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.state import shown
from testbay.harness.run import folder as runfolder
from testbay.harness.run.archiving import FOLDER, FORMAT, INDEX, digest

_INDEX_BYTES = 1 << 20
_PART_BYTES = 64 << 20

# What reading a file raises that is JSON, but not as `keep` writes it.
MISSHAPEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

_NEVER = datetime.fromtimestamp(0, UTC)

Text = Annotated[str, StringConstraints(max_length=4096)]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class About(_Fact):
    """The subject of an archive: the test, its first error line, the service, its engine and server versions."""

    test: Text
    error: Text
    service: Text
    engine: Text
    dependencies: Annotated[dict[Text, Text], Field(max_length=20)]


class Part(_Fact):
    """One file of an archive; `left_out` names what did not fit."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,60}\.(sql|jsonl|log)$")]
    bytes: Annotated[int, Field(ge=0, le=_PART_BYTES)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    left_out: Text = ""


class Archive(_Fact):
    """The content of `archive.json`. `missing` are the dependencies whose state could not be kept, with the reason."""

    format: Literal[1]
    testbay: Text
    time: Text
    about: About
    parts: Annotated[tuple[Part, ...], Field(max_length=40, strict=False)]
    missing: Annotated[tuple[Text, ...], Field(max_length=20, strict=False)] = ()

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    @property
    def when(self) -> datetime:
        """The time at which the archive was made; 1970 if unreadable."""
        with suppress(ValueError):
            return datetime.fromisoformat(self.time).astimezone(UTC)
        return _NEVER


class Kept(NamedTuple):
    """An archive and its folder; `refused` says why it is unusable."""

    folder: Path
    archive: Archive | None
    refused: str = ""


def find(project: Path) -> list[Kept]:
    """Every archive of the project's runs, newest first; unusable ones included."""
    found = [_kept_in(folder) for folder in runfolder.runs(project).glob(f"*/{FOLDER}/[0-9]*-*") if folder.is_dir()]
    return sorted(found, key=lambda kept: kept.archive.when if kept.archive else _NEVER, reverse=True)


def _kept_in(folder: Path) -> Kept:
    try:
        return Kept(folder, read(folder))
    except ManifestError as error:
        return Kept(folder, None, error.why)


def read(folder: Path) -> Archive:
    """Read an archive's description of itself.

    Raises:
        ManifestError: It does not exist, or is not one that this testbay reads.
    """
    index = folder / INDEX
    try:
        if not folder.is_dir():
            raise refused(folder, "the folder does not exist")
        if not index.is_file():
            raise refused(folder, f"it has no {INDEX}, which is written last: the archive is incomplete")
        if index.stat().st_size > _INDEX_BYTES:
            raise refused(folder, f"its {INDEX} is larger than any that testbay writes")
        fact = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refused(folder, f"its {INDEX} cannot be read: {error}") from None
    if not isinstance(fact, dict):
        raise refused(folder, f"its {INDEX} is not a JSON object")
    if fact.get("format") != FORMAT:
        found = f"format {shown(str(fact.get('format')))}, written by testbay {shown(str(fact.get('testbay')))}"
        raise refused(folder, f"it has {found}; this testbay reads format {FORMAT}")
    try:
        return Archive.model_validate(fact)
    except ValidationError as error:
        fault = error.errors()[0]
        key = shown(".".join(map(str, fault["loc"])))
        raise refused(folder, f"{key} in its {INDEX}: {shown(fault['msg'])}") from None


def refused(folder: Path, why: str) -> ManifestError:
    """The error for an unusable archive."""
    return ManifestError(
        f"{folder}: this archive cannot be opened", why=why, todo="testbay open --list shows those that can"
    )


def check(folder: Path, archive: Archive) -> None:
    """Check that every part exists as it was written.

    Raises:
        ManifestError: One is not.
    """
    names = [part.name for part in archive.parts]
    if len(names) != len(set(names)):
        raise refused(folder, "it names a part twice")
    for part in archive.parts:
        file = folder / part.name
        if file.is_symlink() or not file.is_file():
            raise refused(folder, f"{part.name} is missing")
        if file.stat().st_size != part.bytes:
            raise refused(folder, f"{part.name} has {file.stat().st_size} bytes instead of {part.bytes}: cut off")
        if digest(file) != part.sha256:
            raise refused(folder, f"{part.name} has changed since it was written")


def restore(folder: Path, archive: Archive, into: Mapping[str, Endpoint]) -> list[str]:
    """Restore every part into running servers; return a line for each item that could not be restored.

    Raises:
        ManifestError: A part is not what testbay writes, or the server refuses it.
    """
    left_out = []
    files = {part.name for part in archive.parts if not part.name.endswith(".log")}
    for name, endpoint in into.items():
        known = ROOMS[name].keeper() if name in ROOMS else None
        if known is None or known.FILE not in files:
            continue
        files.remove(known.FILE)
        try:
            left_out += known.restore(endpoint, folder / known.FILE)
        except OSError as error:
            raise ManifestError(
                f"{folder / known.FILE} cannot be restored: {shown(str(error))}",
                why=f"it was kept from {archive.about.dependencies.get(name)}; here is {endpoint.title} "
                f"{endpoint.version}",
                todo="open it on the engine it was made on (--engine), or read the file: it is text",
            ) from None
        except MISSHAPEN as error:
            raise refused(folder, f"{known.FILE} is not what testbay writes: {shown(repr(error))}") from None
    return [*left_out, *(f"{file}: the service does not need it any more" for file in sorted(files))]

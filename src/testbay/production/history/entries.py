"""The entries of the history: one line of JSON for each run and target, in one file for each month.

A line holds only what later runs are compared with: a year of six checks every six hours is about a megabyte.
Two histories are merged by taking the lines of both, in any order. Anyone who can write to the place can write
anything: a line that testbay did not write is skipped and counted, and no path or address in it is opened.
"""

import fcntl
import itertools
import json
import os
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from testbay.errors import HistoryError, remedy
from testbay.files import read_bounded, write_whole
from testbay.manifest.checkbase import Phase
from testbay.production.checks.report import Name, Report, Verdict
from testbay.text import strict_json

VERSION = 1
KEPT_DAYS = 400  # a year and the month that it is compared with
KEPT_BYTES = 20 << 20
CONTROL = "control"  # the check that times the network path alone, without work in the service
_SLACK = timedelta(days=1)  # how far a clock may be ahead; an entry from later is not believed
# A writer also keeps entries from the future: its own clock may be the wrong one.
ALWAYS = datetime.max.replace(tzinfo=UTC) - _SLACK
_FILE = re.compile(r"\d{4}-\d{2}\.jsonl")

Files = Mapping[str, str]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one check. `instance` is the value of its `each`; `median_ms` is None if nothing was timed."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    check: Name
    instance: Name = ""
    verdict: Verdict
    median_ms: Milliseconds | None = None
    probes: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run on one target, which is one line. `control_ms` is the median of the check named CONTROL."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    service: Name
    phase: Phase
    target: Name = ""
    started: Name
    commit: Name = ""
    run_url: Name = ""
    control_ms: Milliseconds | None = None
    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=10_000)] = ()

    @cached_property
    def run_id(self) -> str:
        """Identify the run by a hash of its facts, so that a run recorded twice has the same id."""
        facts = [self.service, self.phase, self.target, self.started, self.run_url]
        return sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def moment(self) -> datetime:
        """Parse the start of the run, in UTC.

        Raises:
            ValueError: Not an ISO time with a time zone.
        """
        moment = datetime.fromisoformat(self.started)
        if moment.tzinfo is None:
            raise ValueError(f"{self.started!r} is in no zone")
        return moment.astimezone(UTC)

    @cached_property
    def line(self) -> str:
        """Serialise the entry as one line of JSON, without the values that are defaults."""
        record = asdict(self)
        record["outcomes"] = [{k: v for k, v in one.items() if v not in ("", None, 0)} for one in record["outcomes"]]
        kept = {key: value for key, value in record.items() if value not in ("", None)}
        return json.dumps({"version": VERSION} | kept, separators=(",", ":"), sort_keys=True) + "\n"


@dataclass(frozen=True, kw_only=True)
class History:
    """Runs, the oldest first, and the number of lines that could not be read."""

    entries: tuple[Entry, ...] = ()
    skipped: int = 0


_LINE = TypeAdapter(Entry)


def entry(report: Report) -> Entry:
    """Convert a report to an entry.

    Raises:
        HistoryError: The start of the report is not a time with a time zone.
    """
    medians = {
        (result.check, result.instance): round(statistics.median(result.latencies_s) * 1000, 3)
        for result in report.results
        if result.latencies_s
    }
    made = Entry(
        service=report.service,
        phase=report.phase,
        target=report.target,
        started=report.started,
        commit=report.commit,
        run_url=report.run_url,
        control_ms=next((ms for (check, _), ms in medians.items() if check == CONTROL), None),
        outcomes=tuple(
            Outcome(
                check=result.check,
                instance=result.instance,
                verdict=result.verdict,
                median_ms=medians.get((result.check, result.instance)),
                probes=len(result.latencies_s),
            )
            for result in report.results
        ),
    )
    try:
        made.moment  # noqa: B018 - a property that refuses
    except (ValueError, OverflowError):
        raise HistoryError(
            f"the run started at {report.started!r}, which is not a time in a zone",
            todo="take a report that testbay check wrote",
        ) from None
    return made


def merge(*parts: Iterable[Entry]) -> tuple[Entry, ...]:
    """Merge runs: each once, the oldest first. The order of the arguments makes no difference."""
    found: dict[str, Entry] = {}
    for one in itertools.chain(*parts):
        twin = found.get(one.run_id)
        found[one.run_id] = one if twin is None else min(one, twin, key=lambda e: e.line)
    return tuple(sorted(found.values(), key=lambda e: (e.moment, e.run_id)))


def last_good(entries: Iterable[Entry]) -> Entry | None:
    """Find the newest run in which a check passed and none failed; None without such a run."""
    return max(filter(_is_good, entries), key=lambda one: one.moment, default=None)


def _is_good(one: Entry) -> bool:
    found = {outcome.verdict for outcome in one.outcomes}
    return "pass" in found and found <= {"pass", "skip"}


def bounded(entries: Iterable[Entry], now: datetime) -> tuple[Entry, ...]:
    """Drop the entries older than KEPT_DAYS, then the oldest until the rest fits into KEPT_BYTES."""
    young = [one for one in entries if one.moment > now - timedelta(days=KEPT_DAYS)]
    room = KEPT_BYTES
    for at in range(len(young) - 1, -1, -1):
        room -= len(young[at].line)
        if room < 0:
            return tuple(young[at + 1 :])
    return tuple(young)


def parse(files: Files, now: datetime) -> History:
    """Parse the content of files, given by their names."""
    found: list[Entry] = []
    lines = [line for name in sorted(files) for line in files[name].splitlines() if line.strip()]
    for line in lines:
        with suppress(ValueError, RecursionError, OverflowError):
            found.append(_read(line, now))
    return History(entries=merge(found), skipped=len(lines) - len(found))


def _read(line: str, now: datetime) -> Entry:
    record = strict_json(line)
    if not isinstance(record, dict) or record.pop("version", None) != VERSION:
        raise ValueError("of another version")
    try:
        read = _LINE.validate_json(json.dumps(record))
    except ValidationError:
        raise ValueError("not of our shape") from None
    if read.moment > now + _SLACK:
        raise ValueError("from the future")
    return read


def render(entries: Iterable[Entry]) -> dict[str, str]:
    """Serialise entries into the content of files, by file name: one file for each month."""
    files: dict[str, str] = {}
    for one in entries:
        name = f"{one.moment:%Y-%m}.jsonl"
        files[name] = files.get(name, "") + one.line
    return files


def wanted(names: Iterable[str], now: datetime, until: datetime | None = None) -> list[str]:
    """Select the files that can hold entries from the last KEPT_DAYS up to `until`, by default up to `now`."""
    first, last = (f"{moment:%Y-%m}.jsonl" for moment in (now - timedelta(days=KEPT_DAYS), (until or now) + _SLACK))
    return sorted(name for name in names if is_ours(name) and first <= name <= last)


def is_ours(name: str) -> bool:
    """Return whether a file of this name is part of a history."""
    return _FILE.fullmatch(name) is not None


def read(folder: Path, now: datetime) -> History:
    """Read the history in a folder; empty if the folder does not exist.

    Raises:
        HistoryError: A file cannot be read, or is too large.
    """
    try:
        return parse(_files(folder, now), now)
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise _unusable(folder, error) from None


def append(folder: Path, new: Iterable[Entry], now: datetime) -> History:
    """Add runs to the history in a folder, which is created if need be. Several processes may do so at once.

    Raises:
        HistoryError: A file cannot be read or written, or is too large.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            before = _files(folder, now, ALWAYS)
            known = parse(before, ALWAYS)
            after = bounded(merge(known.entries, new), now)
            files = render(after)
            _write(folder, {name: text for name, text in files.items() if text != before.get(name)})
            for name in set(filter(is_ours, _names(folder))) - files.keys():
                (folder / name).unlink()
            return History(entries=after, skipped=known.skipped)
    except OSError as error:
        raise _unusable(folder, error) from None


def _files(folder: Path, now: datetime, until: datetime | None = None) -> dict[str, str]:
    return {name: _text(folder / name) for name in wanted(_names(folder), now, until)}


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def _text(file: Path) -> str:
    try:
        return read_bounded(file, KEPT_BYTES).decode(errors="replace")
    except ValueError as error:
        raise OSError(f"{file.name}: {error}") from None


def _write(folder: Path, files: Files) -> None:
    for name, text in files.items():
        write_whole(folder / name, text)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unusable(folder: Path, error: OSError) -> HistoryError:
    todo = "name a folder that holds a history and nothing else, or one that is not there yet"
    return HistoryError(
        f"history: {folder} cannot be used",
        why=str(error),
        todo=remedy(error, todo),
    )

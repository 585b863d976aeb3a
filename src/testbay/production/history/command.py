"""`testbay history` records reports over time; `testbay latency` says whether a check has become slower."""

import difflib
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from testbay.errors import ManifestError
from testbay.manifest import checks, fields
from testbay.manifest.load import load_manifest
from testbay.manifest.project import find_project, service_folders
from testbay.output import Voice
from testbay.production.checks.report import EXIT_CODES, read
from testbay.production.history import entries, slowness
from testbay.production.history.branch import Branch
from testbay.production.history.entries import History
from testbay.production.history.slowness import Rule, Series
from testbay.text import plural

FOLDER = ".testbay/history"
WATCHED = "watch.db"  # in a folder that `testbay watch` keeps


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a history: a folder, or a branch of the git clone in the current folder."""

    folder: Path
    branch: Branch | None = None

    def __str__(self) -> str:
        return f"{self.branch.remote}/{self.branch.name}" if self.branch else str(self.folder)

    @property
    def option(self) -> str:
        """The command-line option that names this place."""
        return shlex.join(["--branch", self.branch.name] if self.branch else ["--history", str(self.folder)])

    def read(self, now: datetime) -> History:
        """Read the history; empty before the first run. A watcher's database is converted to entries.

        Raises:
            HistoryError: It cannot be read.
        """
        if self.branch is None and (self.folder / WATCHED).is_file():
            from testbay.production.watch import export

            return export.history(self.folder, now)
        return self.branch.read(now) if self.branch else entries.read(self.folder, now)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of slowness: those of the command line, else those of the manifest, by service and check id."""

    slower_than: float | None = None
    hard_ms: float | None = None
    manifest: Mapping[tuple[str, str], checks.Latency] = field(default_factory=dict)

    def of(self, key: Series) -> Rule:
        latency = self.manifest.get((key.service, key.check), checks.Latency())
        typed = {"slower_than": self.slower_than, "hard_ms": self.hard_ms}
        known = {name: value for name, value in typed.items() if value is not None}
        return slowness.rule(key.check, latency.model_copy(update=known))


def place(folder: Path | None, branch: str | None, environ: Mapping[str, str]) -> Place:
    """Interpret the options `--history` and `--branch`.

    Raises:
        ManifestError: Both are given.
    """
    if folder and branch:
        raise ManifestError("a history is in a folder or on a branch", todo="name one of the two")
    named = Branch(name=branch, folder=Path.cwd(), environ=environ) if branch else None
    return Place(folder=folder or Path(FOLDER), branch=named)


def record(report: Path, where: Place, voice: Voice) -> None:
    """Add a report to the history; or, if `report` is a watcher's folder, everything the watcher recorded.

    Recording the same report twice adds it once.

    Raises:
        ManifestError: Not a report, or a watcher's history that should go to a branch.
        HistoryError: The history cannot be read or written, or the start of the report is not a time.
    """
    if (report / WATCHED).is_file():
        _record_watched(report, where, voice)
        return
    new, now = entries.entry(read(report)), datetime.now(UTC)
    known = where.branch.append(new, now) if where.branch else entries.append(where.folder, [new], now)
    is_kept = any(one.run_id == new.run_id for one in known.entries)
    kept = "" if is_kept else "the run is too old to be kept; "
    voice.say(f"{where}: {kept}{_extent(known)}")


def _record_watched(folder: Path, where: Place, voice: Voice) -> None:
    if where.branch:
        what = "--branch: a watcher's history goes to a folder"
        raise ManifestError(what, todo="name one with --to; a branch has the reports of runs")
    now = datetime.now(UTC)
    known = entries.append(where.folder, Place(folder=folder).read(now).entries, now)
    voice.say(f"{where}: {_extent(known)}")


def print_latency(check: str | None, where: Place, allowed: Limits, voice: Voice) -> int:
    """Print whether a check has become slower, and why, or a line for each check; return the exit code.

    Raises:
        ManifestError: The history knows no such check.
        HistoryError: The history cannot be read.
    """
    known = where.read(datetime.now(UTC))
    every = slowness.series(known.entries)
    chosen = [key for key in every if check in (None, key.check)]
    if not chosen:
        raise _unknown(check, {key.check for key in every}, f"{where}: {_extent(known)}")
    bad = False
    for key in sorted(chosen):
        finding = slowness.judge(every[key], allowed.of(key))
        bad = bad or finding.is_bad
        head, *rest = slowness.explain(finding)
        voice.say("\n".join([f"{key}: {head}", *(rest if check else [])]))
    return EXIT_CODES["fail"] if bad else 0


def limits(start: Path, *, slower_than: str | None, hard_ms: float | None) -> Limits:
    """Collect the limits of the command line and of the project around the folder `start`, if there is one.

    Raises:
        ManifestError: A limit is not above zero, or a manifest is invalid.
    """
    try:
        share = None if slower_than is None else fields.share(slower_than)
    except ValueError as error:
        what, _, todo = str(error).rpartition(": ")
        raise ManifestError(f"--slower-than: {what}", todo=todo) from None
    if hard_ms is not None and not 0 < hard_ms < math.inf:
        raise ManifestError(f"--hard-ms: {hard_ms:g} is not a time above zero", todo="write milliseconds, e.g. 2000")
    return Limits(slower_than=share, hard_ms=hard_ms, manifest=_of_manifests(start))


def _of_manifests(start: Path) -> dict[tuple[str, str], checks.Latency]:
    try:
        project = find_project(start)
    except ManifestError:  # a history can be looked at anywhere
        return {}
    return {
        (service, check.id): check.latency
        for service, folder in service_folders(project).items()
        for check in load_manifest(folder).check
        if check.kind == "http" and check.latency
    }


def _extent(known: History) -> str:
    runs = plural(len(known.entries), "run")
    since = f" since {known.entries[0].moment:%Y-%m-%d}" if known.entries else ""
    return runs + since + (f"; lines that testbay did not write, ignored: {known.skipped}" if known.skipped else "")


def _unknown(check: str | None, known: set[str], evidence: str) -> ManifestError:
    if check is None or not known:
        return ManifestError("no check was timed yet", todo="record reports with testbay history", evidence=evidence)
    near = difflib.get_close_matches(check, known, n=1)
    return ManifestError(
        f"no check {check!r} was timed" + (f"; did you mean {near[0]!r}?" if near else ""),
        todo=f"use one of: {', '.join(sorted(known)[:20])}",
        evidence=evidence,
    )

"""Recorded runs: find a run by its id, and read its record and its coverage for reports."""

import json
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.harness.run import folder as runfolder
from testbay.harness.run.record import RecordError
from testbay.harness.run.report.recorded import CoveredFile, ForReaders, Mask, RecordedRun


def find(project: Path, asked: str | None) -> Path:
    """Find a run's folder by its id, or by an unambiguous part of it; the newest if `asked` is empty.

    Raises:
        ManifestError: No run has that name, or more than one.
    """
    base = runfolder.runs(project)
    runs = sorted(folder for folder in base.glob("*") if (folder / runfolder.RECORD).is_file())
    if not runs:
        raise ManifestError(f"{base}: no run is recorded here", todo="make one: testbay run")
    if not asked:
        return runs[-1]
    found = [run for run in runs if run.name == asked] or [run for run in runs if asked in run.name]
    if len(found) != 1:
        what = f"{len(found)} runs have {asked!r} in their id" if found else f"no run has {asked!r} in its id"
        newest = ", ".join(run.name for run in (found or runs)[-5:])
        raise ManifestError(what, why=f"the newest: {newest}", todo="name one of them, or a run's folder")
    return found[0]


def read(folder: Path, mask: Mask = str) -> RecordedRun:
    """Read the run in a folder, with its coverage if there is one; every text goes through `mask`.

    Raises:
        ManifestError: run.json is missing, too large, cut off, or its values are not what they should be.
    """
    strings = ForReaders(mask)
    try:
        run = RecordedRun.read(folder, strings)
    except RecordError as error:
        raise ManifestError(str(error), why=error.why, todo=error.todo) from None
    return run.model_copy(update={"covered": _covered(folder / "coverage.json", strings)})


def _covered(file: Path, strings: ForReaders) -> tuple[CoveredFile, ...]:
    """The coverage of each measured file, the lowest first; empty when coverage.json is missing or unreadable."""
    try:
        files: dict[str, Any] = json.loads(runfolder.contents(file))["files"]
        facts = [
            {
                "name": name,
                "statements": one["summary"]["num_statements"],
                "missing": one["summary"]["missing_lines"],
                "percent": one["summary"]["percent_covered"],
                "missing_lines": one.get("missing_lines", []),
            }
            for name, one in files.items()
        ]
        found = [CoveredFile.model_validate(fact, context={"strings": strings}) for fact in facts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(sorted(found, key=lambda one: (one.percent, one.name)))

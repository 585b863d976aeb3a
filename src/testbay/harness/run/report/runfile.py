"""Recorded runs: find a run by its id, and read its record and its coverage for reports."""

import json
from datetime import UTC
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbay.errors import ManifestError
from testbay.harness.run import folder as runfolder
from testbay.harness.run import record as records
from testbay.harness.run.report.recorded import CoveredFile, Mask, RecordedRun


def find(project: Path, asked: str | None) -> Path:
    """Find a run's folder by its id, or by an unambiguous part of it; the newest if `asked` is empty.

    Raises:
        ManifestError: No run has that name, or more than one.
    """
    base = runfolder.runs(project)
    runs = sorted(folder for folder in base.glob("*") if (folder / records.FILE).is_file())
    if not runs:
        raise ManifestError(f"{base}: no run is recorded here", todo="make one: testbay run")
    found = [run for run in runs if run.name == asked] or [run for run in runs if (asked or "") in run.name]
    if not found or (asked and len(found) > 1):
        what = f"{len(found)} runs have {asked!r} in their id" if found else f"no run has {asked!r} in its id"
        newest = ", ".join(run.name for run in (found or runs)[-5:])
        raise ManifestError(what, why=f"the newest: {newest}", todo="name one of them, or a run's folder")
    return found[-1]


def read(folder: Path, mask: Mask = str) -> RecordedRun:
    """Read the run in a folder, with its coverage if there is one; every text goes through `mask`.

    Raises:
        ManifestError: run.json is missing, too large, cut off, or its values are not what they should be.
    """
    file = folder / records.FILE
    try:
        text = records.contents(file).decode(errors="replace")
    except ValueError as error:
        raise ManifestError(f"{file}: {error}", todo="name a run's folder, or its id") from None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(
            f"{file}: not a whole record", why=f"{error}", todo="the run was cut off; tests.jsonl beside it has more"
        ) from None
    if newer := records.problem(record):
        raise ManifestError(f"{file}: {newer}", todo="upgrade testbay, or make the run again with this one")
    try:
        run = RecordedRun.model_validate(record, context={"mask": mask})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the whole"
        todo = "another version of testbay may have written it: make the run again"
        raise ManifestError(f"{file}: {where}: {fault['msg']}", todo=todo) from None
    started = run.started if run.started is None or run.started.tzinfo else run.started.replace(tzinfo=UTC)
    return run.model_copy(update={"started": started, "covered": _covered(folder / "coverage.json", mask)})


def _covered(file: Path, mask: Mask) -> tuple[CoveredFile, ...]:
    """The coverage of each measured file, the lowest first; empty when coverage.json is missing or unreadable."""
    try:
        files: dict[str, Any] = json.loads(records.contents(file))["files"]
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
        found = [CoveredFile.model_validate(fact, context={"mask": mask}) for fact in facts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(sorted(found, key=lambda one: (one.percent, one.name)))

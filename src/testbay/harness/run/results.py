"""The results of the tests: read from the plugin's record, and put into words."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbay.files import write_whole
from testbay.harness.plugin.coveragerc import Reporting
from testbay.harness.run import facts, recordparts
from testbay.harness.run.facts import Fact
from testbay.harness.run.record import in_words
from testbay.harness.run.recordparts import Attempt, Outcome
from testbay.text import covered, visible

SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of a run: the planned ids, each attempt at a test, coverage in percent.

    Of a shard also the ids `collected`, from which its own were planned. `counts` are the numbers of pytest's last
    line. Of a pytest that did not come to its end, `cut_off` names the tests that were being run. `unmeasured` workers
    returned no coverage data. `elsewhere` are addresses of the run's that the suite replaced. `ended` is why a session
    stopped early, `skipped_files` the reasons of files that skipped themselves. `exit_code` is the one that pytest
    meant to end with, None of a session that did not come to its end.
    """

    counts: dict[str, int] = field(default_factory=dict)
    collected: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    coverage_percent: float | None = None
    unmeasured: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    ended: str = ""
    skipped_files: list[str] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def _last_attempts(self) -> dict[str, Attempt]:
        return {attempt.id: attempt for attempt in self.attempts}

    def count(self, outcome: Outcome) -> int:
        return [attempt.outcome for attempt in self._last_attempts.values()].count(outcome)

    @property
    def silent(self) -> list[str]:
        """The planned tests without an outcome."""
        return recordparts.silent(self.planned, self.attempts)

    @property
    def is_red(self) -> bool:
        """Return whether a test failed, or a file could not be collected."""
        return bool(self.count("failed") or {"failed", "error"} & self.counts.keys())

    @property
    def is_empty_shard(self) -> bool:
        """Return whether this is a shard without a test, because there are more shards than tests."""
        return bool(self.collected) and not self.planned

    @property
    def flaky(self) -> list[Attempt]:
        """The failed attempts of tests that passed in the end."""
        passed = {one.id for one in self.attempts if one.outcome == "passed"}
        return [one for one in self.attempts if one.outcome == "rerun" and one.id in passed]

    @property
    def durations(self) -> dict[str, float]:
        """The duration of each test that did not fail, with its fixtures; that of a failure is meaningless."""
        return {
            nodeid: round(attempt.whole_s, 4)
            for nodeid, attempt in self._last_attempts.items()
            if attempt.outcome in ("passed", "skipped")
        }


def read(run_dir: Path) -> Results:
    """Read the results from a run's folder, also after pytest was killed."""
    found = facts.read(run_dir / "tests.jsonl")
    counts = next((fact.counts for fact in found if fact.counts is not None), None)
    planned = [nodeid for fact in found for nodeid in fact.planned]
    attempts, collected = facts.attempts(found), _collected(run_dir / "shard.json")
    return Results(
        counts=_without_other_shards(counts or {}, len(collected) - len(planned) if collected else 0),
        cut_off=_cut_off(planned, attempts, found) if counts is None else [],
        collected=collected,
        planned=planned,
        attempts=attempts,
        exit_code=next((fact.exit for fact in found if fact.exit is not None), None),
        elsewhere=[address for fact in found for address in fact.elsewhere],
        ended=next((fact.ended for fact in found if fact.ended), ""),
        skipped_files=[fact.reason for fact in found if fact.reason and not fact.outcome],
        coverage_percent=_coverage(run_dir / "coverage.json"),
        unmeasured=[worker for fact in found for worker in fact.unmeasured],
    )


def _cut_off(planned: list[str], attempts: list[Attempt], facts: Sequence[Fact]) -> list[str]:
    """The tests that were running when pytest ended: those set up and not torn down, else the next one."""
    silent = recordparts.silent(planned, attempts)
    begun = {fact.id for fact in facts if fact.outcome}
    phases = {(fact.id, fact.when) for fact in facts}
    torn = [nodeid for nodeid in planned if (nodeid, "setup") in phases and (nodeid, "teardown") not in phases]
    return torn or [nodeid for nodeid in silent if nodeid in begun] or silent[:1]


def _without_other_shards(counts: dict[str, int], theirs: int) -> dict[str, int]:
    """The counts, where pytest counts the tests of other shards as deselected."""
    counts = counts | {"deselected": counts.get("deselected", 0) - theirs}
    return counts if counts["deselected"] > 0 else {name: n for name, n in counts.items() if name != "deselected"}


def _coverage(file: Path) -> float | None:
    try:
        return round(float(json.loads(file.read_bytes())["totals"]["percent_covered"]), 4)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _collected(file: Path) -> list[str]:
    try:
        return list(json.loads(file.read_bytes())["collected"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no shard, or a pytest that ended before it had collected


def relocate(attempts: list[Attempt], root: Path, project: Path) -> None:
    """Make the files of the attempts relative to the project's folder instead of pytest's root."""
    for attempt in attempts:
        if attempt.location:
            file, line = attempt.location
            attempt.location = (os.path.relpath(root / file, project), line)


def keep(results: Results, run_dir: Path) -> None:
    """Write durations.json and flaky.json into the run's folder, for readers who need only these."""
    write_whole(run_dir / "durations.json", json.dumps(results.durations, indent=0))
    if results.flaky:
        flaky = [attempt.model_dump(exclude_unset=True) for attempt in results.flaky]
        write_whole(run_dir / "flaky.json", json.dumps(flaky, indent=1))


def tests_line(results: Results, seconds: float) -> str:
    """The closing line `Tests: 3 passed in 45.2s`, and a line for each failed test with its error."""
    counts = results.counts or {outcome: results.count(outcome) for outcome in ("passed", "failed", "skipped")}
    told = ", ".join(in_words(counts, len({attempt.id for attempt in results.flaky})).values())
    if results.is_empty_shard:
        told = f"none of {len(results.collected)} fell to this shard, {told}".rstrip(" ")
    elif not results.attempts and not results.counts.keys() - {"deselected"}:
        told = f"none ran, {told}".rstrip(", ")
    return "\n   ".join([f"Tests: {told} in {seconds:.1f}s", *_troubles(results)])


def _troubles(results: Results) -> Iterator[str]:
    """Name each failed test with its error, what kept others from running, and the flaky ones."""
    failed = [f"{one.id}: {one.error}" for one in results.attempts if one.outcome == "failed"]
    yield from failed[:SHOWN]
    if failed[SHOWN:]:
        yield f"… and {len(failed) - SHOWN} more"
    yield from (f"{nodeid}: pytest ended while it ran" for nodeid in results.cut_off)
    if results.ended:
        left = f"{len(results.silent)} of {len(results.planned)} planned tests did not run"
        yield f"{left if results.silent else 'pytest ended early'}: {results.ended}"
    elif results.is_red and results.exit_code == 0:
        yield "pytest ended with exit code 0 all the same: a conftest.py or a plugin changed it"
    yield from (f"flaky: {one.id}: {one.error}" for one in results.flaky[:SHOWN])


def coverage_line(results: Results, project: Reporting) -> tuple[str, bool]:
    """The closing line `Coverage: 85%`, and whether it is good: high enough, and complete."""
    percent = results.coverage_percent or 0.0
    low = project.is_low(percent)
    wanted = f" (the project's fail_under is {project.fail_under:g}%)" if low else ""
    missing = (
        f" (no data from {', '.join(results.unmeasured)}: what ran there is missing)" if results.unmeasured else ""
    )
    return f"Coverage: {covered(percent, project.precision)}%{wanted}{visible(missing)}", not low and not missing

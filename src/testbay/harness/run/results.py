"""The results of the tests: read from the plugin's record, and put into words."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from testbay.files import write_whole
from testbay.harness.plugin.coveragerc import Reporting
from testbay.harness.run.record import in_words
from testbay.harness.run.recordparts import Attempt, Outcome
from testbay.text import covered, strict_json, visible

SHOWN = 20
_LARGEST = 1e12  # of a number that a fact can have
_PHASES = {"setup": "setup_s", "call": "duration_s", "teardown": "teardown_s"}


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of a run: the planned ids, a fact for each attempt at a test, coverage in percent.

    A fact has `id`, `attempt` (from 1), `outcome` (passed, failed, skipped, or rerun when another attempt followed),
    `when` (the phase that decided), `start` (seconds since the epoch), `setup_s`, `duration_s` (of the test itself) and
    `teardown_s`; as it applies `worker`, `error` (a line), `trace`, `location` (file, line), `sections`, `reason`.

    Of a shard also the ids `collected`, from which its own were planned. `counts` are the numbers of pytest's last
    line. Of a pytest that did not come to its end, `cut_off` names the tests that were being run. `unmeasured` workers
    returned no coverage data. `elsewhere` are addresses of the run's that the suite replaced. `ended` is why a session
    stopped early, `skipped_files` the reasons of files that skipped themselves. `exit_code` is the one that pytest
    meant to end with, None of a session that did not come to its end.
    """

    counts: dict[str, int] = field(default_factory=dict)
    collected: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    tests: list[dict[str, Any]] = field(default_factory=list)
    coverage_percent: float | None = None
    unmeasured: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    ended: str = ""
    skipped_files: list[str] = field(default_factory=list)
    exit_code: int | None = None

    def count(self, outcome: str) -> int:
        ended = {test["id"]: test["outcome"] for test in self.tests}
        return list(ended.values()).count(outcome)

    @property
    def silent(self) -> list[str]:
        """The planned tests without an outcome."""
        reported = {test["id"] for test in self.tests}
        return [nodeid for nodeid in self.planned if nodeid not in reported]

    @property
    def is_red(self) -> bool:
        """Return whether a test failed, or a file could not be collected."""
        return bool(self.count("failed") or {"failed", "error"} & self.counts.keys())

    @property
    def is_empty_shard(self) -> bool:
        """Return whether this is a shard without a test, because there are more shards than tests."""
        return bool(self.collected) and not self.planned

    @property
    def flaky(self) -> list[dict[str, Any]]:
        """The failed attempts of tests that passed in the end."""
        passed = {test["id"] for test in self.tests if test["outcome"] == "passed"}
        return [test for test in self.tests if test["outcome"] == "rerun" and test["id"] in passed]

    @property
    def durations(self) -> dict[str, float]:
        """The duration of each test that did not fail, with its fixtures; that of a failure is meaningless."""
        ended = {test["id"]: test for test in self.tests}
        return {
            nodeid: round(sum(test.get(phase, 0.0) for phase in _PHASES.values()), 4)
            for nodeid, test in ended.items()
            if test["outcome"] in ("passed", "skipped")
        }


def read(run_dir: Path) -> Results:
    """Read the results from a run's folder, also after pytest was killed."""
    facts = _facts(run_dir / "tests.jsonl")

    def first(key: str, default: Any) -> Any:
        return next((fact[key] for fact in facts if key in fact), default)

    def every(key: str) -> list[str]:
        return [entry for fact in facts for entry in fact.get(key, [])]

    counts, planned, tests = first("counts", None), every("planned"), _tests(facts)
    collected = _collected(run_dir / "shard.json")
    return Results(
        counts=_without_other_shards(counts or {}, len(collected) - len(planned) if collected else 0),
        cut_off=_cut_off(planned, tests, facts) if counts is None else [],
        collected=collected,
        planned=planned,
        tests=tests,
        exit_code=first("exit", None),
        elsewhere=every("elsewhere"),
        ended=first("ended", ""),
        skipped_files=[fact["reason"] for fact in facts if "reason" in fact and "id" not in fact],
        coverage_percent=_coverage(run_dir / "coverage.json"),
        unmeasured=every("unmeasured"),
    )


def _cut_off(planned: list[str], tests: list[dict[str, Any]], facts: list[dict[str, Any]]) -> list[str]:
    """The tests that were running when pytest ended: those set up without an outcome, else the next one."""
    reported = {test["id"] for test in tests}
    silent = [nodeid for nodeid in planned if nodeid not in reported]
    begun = {fact["id"] for fact in facts if "id" in fact}
    return [nodeid for nodeid in silent if nodeid in begun] or silent[:1]


def _facts(file: Path) -> list[dict[str, Any]]:
    """Read the facts; skip lines that are truncated, or that a test wrote into the file."""
    facts = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []:
        with suppress(ValueError, RecursionError):
            fact = strict_json(line)
            facts += [fact] if _is_shaped(fact) else []
    return facts


def _is_shaped(fact: object) -> bool:
    """Return whether a fact has the recorder's fields and types."""
    if not isinstance(fact, dict) or ("id" in fact and not {"when", "outcome"} <= fact.keys()):
        return False
    return all(_SHAPES[name](value) for name, value in fact.items() if name in _SHAPES)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and [*map(type, value)] == [str, str]


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("id", "when", "worker", "error", "trace", "reason", "kept", "ended"), _is_text),
    "outcome": get_args(Outcome).__contains__,
    **dict.fromkeys(("duration_s", "start"), _is_number),
    "exit": lambda value: type(value) is int and 0 <= value < 256,
    "attempt": lambda value: type(value) is int and 0 < value < _LARGEST,
    **dict.fromkeys(("planned", "unmeasured", "elsewhere"), _is_list),
    "counts": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
    "location": lambda value: isinstance(value, list) and [*map(type, value)] == [str, int],
    "sections": lambda value: isinstance(value, list) and all(map(_is_pair, value)),
}


def _tests(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the phases of each attempt into one fact; an attempt that only got through its setup is left out."""
    attempts: dict[tuple[str, int], dict[str, Any]] = {}
    for fact in facts:
        if "id" in fact:
            number = fact.get("attempt", 1)
            _add_phase(attempts.setdefault((fact["id"], number), {"id": fact["id"], "attempt": number}), fact)
    first = {nodeid: place for place, (nodeid, _) in reversed(list(enumerate(attempts)))}
    last = dict(sorted(attempts))
    for (nodeid, number), test in attempts.items():
        if number < last[nodeid] and test.get("outcome") == "failed":
            test["outcome"] = "rerun"  # a failed subtest is reported before it is known that the test runs again
    in_order = sorted(attempts.values(), key=lambda test: (first[test["id"]], test["attempt"]))
    return [test for test in in_order if "outcome" in test]


def _add_phase(test: dict[str, Any], fact: dict[str, Any]) -> None:
    when, outcome, seconds = fact["when"], fact["outcome"], fact.get("duration_s", 0.0)
    test.setdefault("start", fact.get("start", 0.0))
    test.setdefault("duration_s", 0.0)
    if when in _PHASES:
        test[_PHASES[when]] = seconds
    if (when == "call" or outcome != "passed") and test.get("outcome") not in ("failed", "rerun"):
        test |= {"when": when, "outcome": outcome}
    for name in ("worker", "error", "trace", "location", "reason", "kept"):
        if name in fact:
            test.setdefault(name, fact[name])
    if "sections" in fact:
        test["sections"] = test.get("sections", []) + fact["sections"]


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


def attempts(results: Results, root: Path, project: Path) -> list[Attempt]:
    """The attempts for the record: files are relative to the project's folder instead of pytest's root."""
    for test in results.tests:
        if place := test.get("location"):
            place[0] = os.path.relpath(root / place[0], project)
    return [Attempt.model_validate(test) for test in results.tests]


def keep(results: Results, run_dir: Path) -> None:
    """Write durations.json and flaky.json into the run's folder, for readers who need only these."""
    write_whole(run_dir / "durations.json", json.dumps(results.durations, indent=0))
    if results.flaky:
        write_whole(run_dir / "flaky.json", json.dumps(results.flaky, indent=1))


def tests_line(results: Results, seconds: float) -> str:
    """The closing line `Tests: 3 passed in 45.2s`, and a line for each failed test with its error."""
    counts = results.counts or {outcome: results.count(outcome) for outcome in ("passed", "failed", "skipped")}
    told = ", ".join(in_words(counts, len({test["id"] for test in results.flaky})).values())
    if results.is_empty_shard:
        told = f"none of {len(results.collected)} fell to this shard, {told}".rstrip(" ")
    elif not results.tests and not results.counts.keys() - {"deselected"}:
        told = f"none ran, {told}".rstrip(", ")
    return "\n   ".join([f"Tests: {told} in {seconds:.1f}s", *_troubles(results)])


def _troubles(results: Results) -> Iterator[str]:
    """Name each failed test with its error, what kept others from running, and the flaky ones."""
    failed = [f"{test['id']}: {test.get('error', '')}" for test in results.tests if test["outcome"] == "failed"]
    yield from failed[:SHOWN]
    if failed[SHOWN:]:
        yield f"… and {len(failed) - SHOWN} more"
    yield from (f"{nodeid}: pytest ended while it ran" for nodeid in results.cut_off)
    if results.ended:
        left = f"{len(results.silent)} of {len(results.planned)} planned tests did not run"
        yield f"{left if results.silent else 'pytest ended early'}: {results.ended}"
    elif results.is_red and results.exit_code == 0:
        yield "pytest ended with exit code 0 all the same: a conftest.py or a plugin changed it"
    yield from (f"flaky: {test['id']}: {test.get('error', '')}" for test in results.flaky[:SHOWN])


def coverage_line(results: Results, project: Reporting) -> tuple[str, bool]:
    """The closing line `Coverage: 85%`, and whether it is good: high enough, and complete."""
    percent = results.coverage_percent or 0.0
    low = project.is_low(percent)
    wanted = f" (the project's fail_under is {project.fail_under:g}%)" if low else ""
    missing = (
        f" (no data from {', '.join(results.unmeasured)}: what ran there is missing)" if results.unmeasured else ""
    )
    return f"Coverage: {covered(percent, project.precision)}%{wanted}{visible(missing)}", not low and not missing

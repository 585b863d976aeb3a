"""Merging the runs of all shards into one: checked for completeness, reports merged, closing lines printed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, groupby, pairwise
from pathlib import Path

from testbay.errors import TestsDidNotRunError
from testbay.harness.run import recordparts, results, verdict
from testbay.harness.run.recordparts import TESTS_STEP, RecordedShard, RecordedStep
from testbay.harness.run.results import SHOWN, Results
from testbay.harness.run.run import Run, conclude
from testbay.harness.run.shards import artifacts, combine
from testbay.harness.run.shards.artifacts import Artifact
from testbay.manifest.project import find_service
from testbay.output import Voice
from testbay.settings import Settings
from testbay.text import covered


def merge(folders: Sequence[Path], project: Path, settings: Settings, voice: Voice) -> int:
    """Merge the shards in these folders into one run per service; return the first exit code other than 0.

    Raises:
        ManifestError: There is nothing to merge, or not a service of this project's.
        TestsDidNotRunError: It is not clear which runs belong together.
    """
    codes = []
    for service, found in groupby(artifacts.find(folders), lambda shard: shard.run.service):
        shards = list(found)
        manifest = find_service(service, project)
        _refuse_a_mixture(shards)
        merged = Run(manifest, project, settings, voice)
        codes.append(conclude(merged, partial(_merge, merged, shards), partial(_set_end, merged, shards)))
    return next((code for code in codes if code), 0)


def _refuse_a_mixture(shards: list[Artifact]) -> None:
    for one, other in pairwise(shards):
        if one.part.of != other.part.of:
            raise TestsDidNotRunError(
                f"shards {one.name} and {other.name} are not parts of one whole",
                why="the folders hold the artifacts of different runs",
                todo="name the folders of one run",
                evidence=f"{one.folder}\n{other.folder}",
            )
        if one.part.number == other.part.number:
            raise TestsDidNotRunError(
                f"shard {one.name} is there twice",
                why="it was run again, and the first run's artifact is still there; or two runs are mixed",
                todo="remove the older one; in a workflow, `overwrite: true` replaces it",
                evidence=f"{one.folder}\n{other.folder}",
            )


def _merge(run: Run, shards: list[Artifact]) -> int:
    """Merge the present shards into the run's reports and record, even if they are incomplete."""
    with run.voice.step(f"Merge {len(shards)} of {shards[0].part.of} shards of {run.manifest.service}"):
        problem = _problem(shards)
        try:
            _combine(run, shards, whole=problem is None)
        except TestsDidNotRunError as error:
            problem = problem or error
    done = _results(run, shards)
    results.keep(done, run.dir)
    _fill(run, shards, done)
    failed = next((code for shard in shards if (code := shard.run.exit_code)), 1 if done.count("failed") else 0)
    whole = problem is None
    problem = problem or (None if failed else verdict.only_skipped(done))
    _close(run, shards, done, whole=whole, green=problem is None and failed == 0)
    if problem is not None:
        raise problem
    return failed


def _problem(shards: list[Artifact]) -> TestsDidNotRunError | None:
    """Find the first reason why the shards are not the whole collection with each test once."""
    found = (_missing(shards), _empty(shards), *map(_died, shards), _different(shards), _twice(shards), _left(shards))
    return next(filter(None, found), None)


def _missing(shards: list[Artifact]) -> TestsDidNotRunError | None:
    count = shards[0].part.of
    there = {shard.part.number for shard in shards}
    if not (gone := [f"{index}/{count}" for index in range(1, count + 1) if index not in there]):
        return None
    return TestsDidNotRunError(
        f"shard {gone[0]} is missing" if len(gone) == 1 else f"shards {', '.join(gone)} are missing",
        why="the job did not run, was cancelled before it could upload, or its artifact was not downloaded",
        todo=f"run it again: testbay run {shards[0].run.service} --shard {gone[0]}",
    )


def _empty(shards: list[Artifact]) -> TestsDidNotRunError | None:
    if any(shard.run.collected or shard.run.exit_code is None for shard in shards):
        return None
    first = shards[0].run
    return TestsDidNotRunError(
        "no shard collected a test",
        why=first.error.what if first.error else f"shard {shards[0].name} ended with exit code {first.exit_code}",
        todo="look at the output of one of them",
    )


def _died(shard: Artifact) -> TestsDidNotRunError | None:
    """Return an error if a shard ended before all of its tests had."""
    silent = recordparts.silent(shard.run.planned, shard.run.attempts)
    ended = shard.run.exit_code is not None if shard.run.planned else shard.run.exit_code == 0
    if shard.run.collected and ended and not silent:
        return None
    ending = "was killed" if shard.run.exit_code is None else f"ended with exit code {shard.run.exit_code}"
    lost = f"{len(silent)} of its {len(shard.run.planned)} tests did not run" if silent else "its tests are not known"
    return TestsDidNotRunError(
        f"shard {shard.name} {ending}: {lost}",
        why=_why_it_died(shard),
        todo=f"run it again: testbay run {shard.run.service} --shard {shard.name}",
        evidence="\n".join(silent[:SHOWN]),
    )


def _why_it_died(shard: Artifact) -> str:
    if shard.run.error:
        return shard.run.error.what
    not_imported = [f"{one.id}: {one.error}" for one in shard.run.attempts if one.when == "collect"]
    return next(iter(not_imported), "out of memory, a timeout of the job, or -x")


def _different(shards: list[Artifact]) -> TestsDidNotRunError | None:
    first = set(shards[0].run.collected)
    for shard in shards[1:]:
        if odd := sorted(first.symmetric_difference(shard.run.collected)):
            return TestsDidNotRunError(
                f"shards {shards[0].name} and {shard.name} did not collect the same tests",
                why="different commits, a different -k or -m, or names of tests that are made at random",
                todo="run all shards on one commit with the same arguments",
                evidence="\n".join(odd[:SHOWN]),
            )
    return None


def _twice(shards: list[Artifact]) -> TestsDidNotRunError | None:
    ran = Counter(chain.from_iterable(_ran(shard) for shard in shards))
    if not (doubled := sorted(nodeid for nodeid, times in ran.items() if times > 1)):
        return None
    return _no_partition(f"{len(doubled)} of {len(ran)} tests ran in more than one shard", doubled, shards)


def _ran(shard: Artifact) -> set[str]:
    return {*shard.run.planned, *(one.id for one in shard.run.attempts if one.when != "collect")}


def _left(shards: list[Artifact]) -> TestsDidNotRunError | None:
    planned = set(chain.from_iterable(shard.run.planned for shard in shards))
    if not (left := [nodeid for nodeid in shards[0].run.collected if nodeid not in planned]):
        return None
    return _no_partition(
        f"{len(left)} of {len(shards[0].run.collected)} collected tests were in no shard", left, shards
    )


def _no_partition(what: str, tests: list[str], shards: list[Artifact]) -> TestsDidNotRunError:
    is_split_twice = len({shard.part.durations for shard in shards}) > 1
    return TestsDidNotRunError(
        what,
        why="the shards were split by different durations"
        if is_split_twice
        else "the records are not of one run, or were changed",
        todo="give all shards the same file (TESTBAY_DURATIONS) and run them again",
        evidence="\n".join(tests[:SHOWN]),
    )


def _combine(run: Run, shards: list[Artifact], *, whole: bool) -> None:
    """Merge the JUnit and coverage reports; if the shards are incomplete, those that exist."""

    def having(name: str) -> list[Artifact]:
        return [shard for shard in shards if (shard.folder / name).is_file()]

    if whole or having("junit.xml"):
        combine.junit(shards if whole else having("junit.xml"), run.dir)
    if measured := having("coverage.db"):
        combine.coverage(shards if whole else measured, run.manifest, run.dir)


def _results(run: Run, shards: list[Artifact]) -> Results:
    collected = chain.from_iterable(shard.run.collected for shard in shards)
    done = Results(
        counts=_counts(shards),
        planned=list(dict.fromkeys(collected)),
        attempts=[attempt for shard in shards for attempt in shard.run.attempts],
        coverage_percent=results.read(run.dir).coverage_percent,
    )
    denied = done.count("failed") and not done.counts.keys() & {"failed", "error"}
    return replace(done, counts={}) if denied else done  # damaged, or changed by hand


def _counts(shards: list[Artifact]) -> dict[str, int]:
    """Add the counts up; what -k and -m deselected is the same in each shard."""
    counts: Counter[str] = sum((Counter(shard.run.counts) for shard in shards), Counter())
    deselected = max(shard.run.counts.get("deselected", 0) for shard in shards)
    return {**counts, **({"deselected": deselected} if deselected else {})}


def _fill(run: Run, shards: list[Artifact], done: Results) -> None:
    """Fill in the record as one run would have it; times are relative to the first shard's start."""
    record, runs = run.record, [shard.run for shard in shards]
    record.started = _began(shards)
    record.engine = _joined(one.engine for one in runs)
    record.engine_reason = _joined(one.engine_reason for one in runs)
    record.llm = _joined(one.llm for one in runs)
    servers = chain.from_iterable(one.dependencies for one in runs)
    record.dependencies = list({(it.name, it.version, it.note): it for it in servers}.values())
    record.migrations = next((one.migrations for one in runs if one.migrations), [])
    record.steps += [
        _later(step, _offset_s(shard, shards), f" [{shard.name}]") for shard in shards for step in shard.run.steps
    ]
    record.startup = _slowest_starts(shards)
    record.startup_budget_s = max(one.startup_budget_s for one in runs)
    record.planned, record.counts, record.attempts = done.planned, done.counts, done.attempts
    record.coverage_percent = done.coverage_percent
    record.shards = [_summary(shard) for shard in shards]


def _slowest_starts(shards: list[Artifact]) -> list[RecordedStep]:
    """The slowest start of each dependency."""
    starts = [_later(start, _offset_s(shard, shards)) for shard in shards for start in shard.run.startup]
    starts.sort(key=lambda start: start.duration_s)
    return list({start.name: start for start in starts}.values())


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted({*texts} - {""}))


def _began(shards: list[Artifact]) -> datetime:
    return min(shard.started for shard in shards)


def _offset_s(shard: Artifact, shards: list[Artifact]) -> float:
    return (shard.started - _began(shards)).total_seconds()


def _later(step: RecordedStep, offset_s: float, ending: str = "") -> RecordedStep:
    return step.model_copy(update={"name": step.name + ending, "start_s": round(step.start_s + offset_s, 4)})


def _set_end(run: Run, shards: list[Artifact]) -> None:
    """Set the run's end to that of the last shard: merging itself does not count."""
    duration_s = max(_offset_s(shard, shards) + shard.run.duration_s for shard in shards)
    run.record.duration_s = round(duration_s, 4)
    run.record.finished = (_began(shards) + timedelta(seconds=duration_s)).isoformat()
    run.save()


def _summary(shard: Artifact) -> RecordedShard:
    """Summarise a shard for the merged record."""
    done = Results(attempts=shard.run.attempts)
    return RecordedShard(
        shard=shard.name,
        id=shard.run.id,
        duration_s=shard.run.duration_s,
        tests_s=round(shard.seconds(TESTS_STEP), 4),
        planned=len(shard.run.planned),
        passed=done.count("passed"),
        failed=done.count("failed"),
        skipped=done.count("skipped"),
        exit_code=shard.run.exit_code,
    )


def _close(run: Run, shards: list[Artifact], done: Results, *, whole: bool, green: bool) -> None:
    """Add the closing lines of a run, and one that compares the slowest shard with the mean."""
    seconds = [shard.seconds(TESTS_STEP) for shard in shards]
    slowest, mean = max(seconds), sum(seconds) / len(seconds)
    count = f"{len(shards)} of {shards[0].part.of}"
    run.add_closing_line(f"Shards: {count}, the slowest {slowest:.1f}s, the mean {mean:.1f}s", good=whole)
    run.add_closing_line(results.tests_line(done, slowest), good=green)
    if run.record.llm:
        run.add_closing_line(f"LLM: {run.record.llm}", good=True)
    if run.record.coverage_percent is not None:
        run.add_closing_line(f"Coverage: {covered(run.record.coverage_percent)}%", good=True)

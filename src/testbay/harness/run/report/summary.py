"""A run as Markdown for GitHub's job summary: most useful first, escaped and bounded."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from testbay.harness.run.recordparts import Attempt
from testbay.harness.run.report.recorded import RecordedRun, Test
from testbay.markdown import LISTED, code, fitting, plain, table
from testbay.output import Voice
from testbay.text import covered, duration, plural

_RUN_BYTES = 200 << 10
_FAILURE_BYTES = 140 << 10
_FAILURES = 50
_BLOCK_CHARACTERS = 6000


def markdown(run: RecordedRun) -> str:
    """Render the verdict and the failures, then the servers, flaky tests, start-up, coverage and slowest tests."""
    mark = "✅" if run.good else "❌"
    shard = f" (shard {run.shard.number}/{run.shard.of})" if run.shard else ""
    head = [f"## {mark} {plain(run.service or run.id)}{plain(shard)}: {plain(run.headline)}", _facts(run)]
    parts = [*head, *_fault(run), *_failures(run.ended("failed")), *_rest(run)]
    return "\n\n".join(fitting(parts, _RUN_BYTES)) + "\n"


def annotate(run: RecordedRun, voice: Voice, prefix: Path) -> None:
    """Pin each failure to its line, in GitHub Actions; `prefix` is our root relative to the repository's.

    A place outside of the repository, such as in Python itself, has no page there: it is named without a line.
    """
    for test in run.ended("failed"):
        file, line = test.last.location or ("", 0)
        inside = file and not file.startswith(("..", "/", "<"))
        voice.annotate(test.last.error or "failed", title=test.id, file=str(prefix / file) if inside else "", line=line)


def _folded(title: str, text: str) -> str:
    """A folded block of text. Its fence is longer than any in the text, so that the text cannot end it."""
    if len(text) > _BLOCK_CHARACTERS:
        cut = text[-_BLOCK_CHARACTERS:].partition("\n")[2] or text[-_BLOCK_CHARACTERS:]
        text = f"… {plural(text.count(chr(10)) - cut.count(chr(10)), 'line')} before this are in the report\n{cut}"
    longest = max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"<details><summary>{plain(title)}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _facts(run: RecordedRun) -> str:
    """The run in one line."""
    facts = [
        ", ".join(run.counted.values()) or "no test ran",
        f"{len(run.flaky)} flaky" if run.flaky else "",
        "" if run.coverage_percent is None else f"coverage {covered(run.coverage_percent)} %",
        duration(run.length_s),
        f"start-up {_startup(run)}" if run.startup else "",
        f"{run.engine}: {run.engine_reason}" if run.engine else "",
        f"LLM: {run.llm}" if run.llm else "",
    ]
    return " · ".join(plain(fact) for fact in facts if fact)


def _startup(run: RecordedRun) -> str:
    if not run.startup_budget_s:
        return duration(run.startup_s)
    kept = "" if run.startup_s <= run.startup_budget_s else ", over it"
    return f"{duration(run.startup_s)} of {duration(run.startup_budget_s)}{kept}"


def _fault(run: RecordedRun) -> Iterable[str]:
    if run.error:
        said = {"why": run.error.why, "do": run.error.todo}
        lines = [f"{word}: {plain(text)}" for word, text in said.items() if text]
        yield "<br>\n".join([f"**{plain(run.error.kind or 'Error')}**: {plain(run.error.what)}", *lines])
    if run.silent:
        yield f"### {plural(len(run.silent), 'planned test')} never reported\n\n{_list(map(code, run.silent))}"


def _failures(tests: list[Test]) -> Iterable[str]:
    """Yield each failed test with its error and, while there is room, its traceback and logs in folds."""
    if not tests:
        return
    yield "### Failures"
    room = _FAILURE_BYTES
    for number, test in enumerate(tests):
        text = _headed(test)
        whole = "\n\n".join([text, *_evidence(test.failures)]) if number < _FAILURES else ""
        text = whole if whole and len(whole.encode()) <= room else text
        room -= len(text.encode())
        if room < 0:
            yield f"… {len(tests) - number} more failed, see the report"
            return
        yield text


def _headed(test: Test) -> str:
    at = f" at {code('{}:{}'.format(*test.last.location))}" if test.last.location else ""
    reopen = f"<br>\nits state was kept: {code(test.reopen, 2100)}" if test.reopen else ""
    return f"**{code(test.id)}**<br>\n{code(test.last.error or 'no message')}{at}{reopen}"


def _evidence(attempts: Iterable[Attempt]) -> Iterable[str]:
    for attempt in attempts:
        which = f"attempt {attempt.attempt}: " if attempt.attempt > 1 or attempt.outcome == "rerun" else ""
        yield from (_folded(f"{which}{title}", text) for title, text in attempt.evidence)


def _rest(run: RecordedRun) -> Iterable[str]:
    """Yield the remaining sections: servers, flaky tests, start-up, coverage, slowest and skipped tests, shards."""
    servers = [[plain(one.title or one.name), plain(one.version), plain(one.note)] for one in run.dependencies]
    yield from _table("", ["Dependency", "Version", "Note"], servers)
    yield from _listed("Flaky", [_headed_flaky(test) for test in run.flaky])
    starts = [[plain(step.name), duration(step.duration_s)] for step in run.starts]
    yield from _table(f"Start-up: {plain(_startup(run))}", ["Server", "Time"], starts)
    partly = [[code(one.name), f"{one.percent:.0f} %", str(one.missing)] for one in run.covered if one.missing]
    yield from _table("Least covered", ["File", "Covered", "Statements not run"], partly)
    slowest = [[code(test.id), duration(test.duration_s)] for test in run.slowest]
    yield from _table("Slowest", ["Test", "Time"], slowest)
    yield from _listed("Skipped", [f"{code(test.id)} {plain(test.last.reason)}" for test in run.ended("skipped")])
    shards = [[plain(one.shard), str(one.planned), str(one.failed), duration(one.duration_s)] for one in run.shards]
    yield from _table("Shards", ["Shard", "Tests", "Failed", "Time"], shards)
    yield f"Run {code(run.id)}: `testbay report` shows all of it."


def _headed_flaky(test: Test) -> str:
    error = test.failures[0].error or "no message"
    return f"{code(test.id)} {plain(plural(len(test.attempts), 'attempt'))}: {code(error)}"


def _table(title: str, heads: list[str], rows: list[list[str]]) -> Iterable[str]:
    """Yield a section with a table, unless it has no rows."""
    if rows:
        yield f"### {title}\n\n{table(heads, rows)}" if title else table(heads, rows)


def _listed(title: str, lines: Sequence[str]) -> Iterable[str]:
    """Yield a section with a list, unless it is empty."""
    if lines:
        yield f"### {title}\n\n{_list(lines)}"


def _list(lines: Iterable[str]) -> str:
    every = [f"- {line}" for line in lines]
    return "\n".join([*every[:LISTED], *[f"- … and {len(every) - LISTED} more"] * (len(every) > LISTED)])

"""A run as Markdown for GitHub's job summary: most useful first, escaped, and never larger than it may be."""

import re
from collections.abc import Iterable
from pathlib import Path

from testbay.output import Voice
from testbay.report.runfile import Attempt, Run, Test
from testbay.report.wording import duration, plural

_RUN_BYTES = 200 << 10
_FAILURE_BYTES = 140 << 10
_STEP_BYTES = (1 << 20) - (16 << 10)  # GitHub drops a step's summary above 1 MiB; a later command may add some
_FAILURES = 50
_BLOCK_CHARACTERS = 6000
_LISTED = 20
# What could mean something to Markdown, to HTML or to GitHub: a link, a formula, a mention, an emoji.
_MEANING = re.compile(
    r"(?<=www)\.|:(?=/)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^A-Za-z0-9 \u0080-\U0010ffff_:,./'()=%;?-]", re.IGNORECASE
)


def markdown(run: Run) -> str:
    """The verdict, what failed and why, then what it ran on, how it ended, what was covered, and how long it took."""
    mark = "✅" if run.good else "❌"
    shard = f" (shard {run.shard.number}/{run.shard.of})" if run.shard else ""
    head = [f"## {mark} {_text(run.service or run.id)}{_text(shard)}: {_text(run.headline)}", _facts(run)]
    parts = [*head, *_fault(run), *_failures(run.ended("failed")), *_rest(run)]
    return "\n\n".join(_fitting(parts, _RUN_BYTES)) + "\n"


def append(text: str, target: Path) -> str:
    """Add a summary to the step's. What is not added, and why, is returned; empty when it was.

    Several services may write to one file, and above a size GitHub shows none of it: what would be too much is cut.
    """
    try:
        size = target.stat().st_size if target.exists() else 0
        room = _STEP_BYTES - size
        if len(text.encode()) > room:
            head = text.partition("\n")[0]
            text = f"{head}\n\nMore is in this run's `summary.md`: the step's summary is full.\n"
        if len(text.encode()) > room:
            return f"nothing was added to the step's summary: it has {size} bytes"
        with target.open("a", encoding="utf-8") as out:
            out.write(text + "\n")
    except OSError as error:
        return f"the step's summary could not be written: {target}: {error.strerror}"
    return ""


def annotate(run: Run, voice: Voice, prefix: Path) -> None:
    """Pin each failure to the line that failed, where the output is GitHub's; `prefix` leads from its root to ours.

    A place outside of it, as in Python itself, has no page there: then it is said without a line.
    """
    for test in run.ended("failed"):
        file, line = test.last.location or ("", 0)
        inside = file and not file.startswith(("..", "/", "<"))
        voice.annotate(test.last.error or "failed", title=test.id, file=str(prefix / file) if inside else "", line=line)


def _text(text: str) -> str:
    """Text that is nothing but text, in a paragraph, a table's cell and a tag: all else is an entity."""
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};", text)


def _code(text: str, limit: int = 500) -> str:
    return f"<code>{_text(text if len(text) <= limit else text[:limit] + '…')}</code>"


def _folded(title: str, text: str) -> str:
    """A block that opens: its fence is longer than any in the text, which so cannot end it."""
    if len(text) > _BLOCK_CHARACTERS:
        cut = text[-_BLOCK_CHARACTERS:].partition("\n")[2] or text[-_BLOCK_CHARACTERS:]
        text = f"… {plural(text.count(chr(10)) - cut.count(chr(10)), 'line')} before this are in the report\n{cut}"
    longest = max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"<details><summary>{_text(title)}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _fitting(parts: Iterable[str], room: int) -> Iterable[str]:
    """The parts that there is room for, in their order."""
    for part in parts:
        size = len(part.encode()) + 2
        if size <= room:
            room -= size
            yield part


def _facts(run: Run) -> str:
    """The run in one line."""
    counts = [f"{len(tests)} {outcome}" for outcome in ("passed", "failed", "skipped") if (tests := run.ended(outcome))]
    facts = [
        ", ".join(counts) or "no test ran",
        f"{len(run.flaky)} flaky" if run.flaky else "",
        "" if run.coverage_percent is None else f"coverage {run.coverage_percent:.0f} %",
        duration(run.length_s),
        f"start-up {_startup(run)}" if run.startup else "",
        f"{run.engine}: {run.engine_reason}" if run.engine else "",
        f"LLM: {run.llm}" if run.llm else "",
        f"{plural(run.secrets_masked, 'secret')} masked" if run.secrets_masked else "",
    ]
    return " · ".join(_text(fact) for fact in facts if fact)


def _startup(run: Run) -> str:
    if not run.startup_budget_s:
        return duration(run.startup_s)
    kept = "" if run.startup_s <= run.startup_budget_s else ", over it"
    return f"{duration(run.startup_s)} of {duration(run.startup_budget_s)}{kept}"


def _fault(run: Run) -> Iterable[str]:
    if run.error:
        said = {"why": run.error.why, "do": run.error.todo}
        lines = [f"{word}: {_text(text)}" for word, text in said.items() if text]
        yield "<br>\n".join([f"**{_text(run.error.kind or 'Error')}**: {_text(run.error.what)}", *lines])
    if run.silent:
        yield f"### {plural(len(run.silent), 'planned test')} never reported\n\n{_list(map(_code, run.silent))}"


def _failures(tests: list[Test]) -> Iterable[str]:
    """Each with its error and, as long as there is room, folded, its traceback and logs."""
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
    at = f" at {_code('{}:{}'.format(*test.last.location))}" if test.last.location else ""
    reopen = f"<br>\nits state was kept: {_code(test.reopen, 2100)}" if test.reopen else ""
    return f"**{_code(test.id)}**<br>\n{_code(test.last.error or 'no message')}{at}{reopen}"


def _evidence(attempts: Iterable[Attempt]) -> Iterable[str]:
    for attempt in attempts:
        which = f"attempt {attempt.attempt}: " if attempt.attempt > 1 or attempt.outcome == "rerun" else ""
        if attempt.trace:
            yield _folded(f"{which}traceback", attempt.trace)
        yield from (_folded(f"{which}{title}", text) for title, text in attempt.sections if text)


def _rest(run: Run) -> Iterable[str]:
    """What is good to know after that."""
    if run.dependencies:
        rows = [[_text(d.title or d.name), _text(d.version), _text(d.note)] for d in run.dependencies]
        yield _table(["Dependency", "Version", "Note"], rows)
    if run.flaky:
        lines = [f"{_code(t.id)} {_text(plural(len(t.attempts), 'attempt'))}: {_first_word(t)}" for t in run.flaky]
        yield f"### Flaky\n\n{_list(lines)}"
    if run.startup:
        rows = [[_text(step.name), duration(step.duration_s)] for step in run.starts]
        yield f"### Start-up: {_text(_startup(run))}\n\n{_table(['Server', 'Time'], rows)}"
    if partly := [one for one in run.covered if one.missing]:
        rows = [[_code(one.name), f"{one.percent:.0f} %", str(one.missing)] for one in partly]
        yield f"### Least covered\n\n{_table(['File', 'Covered', 'Statements not run'], rows)}"
    if run.tests:
        rows = [[_code(test.id), duration(test.duration_s)] for test in run.slowest]
        yield f"### Slowest\n\n{_table(['Test', 'Time'], rows)}"
    if skipped := run.ended("skipped"):
        lines = [f"{_code(test.id)} {_text(test.last.reason)}" for test in skipped]
        yield f"### Skipped\n\n{_list(lines)}"
    if run.shards:
        rows = [[_text(s.shard), str(s.planned), str(s.failed), duration(s.duration_s)] for s in run.shards]
        yield f"### Shards\n\n{_table(['Shard', 'Tests', 'Failed', 'Time'], rows)}"
    yield f"Run {_code(run.id)}: `testbay report` shows all of it."


def _first_word(test: Test) -> str:
    return _code(test.failures[0].error or "no message")


def _list(lines: Iterable[str]) -> str:
    every = [f"- {line}" for line in lines]
    return "\n".join([*every[:_LISTED], *[f"- … and {len(every) - _LISTED} more"] * (len(every) > _LISTED)])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows[:_LISTED]]]
    return "\n".join([*lines, *[f"\n… and {len(rows) - _LISTED} more"] * (len(rows) > _LISTED)])

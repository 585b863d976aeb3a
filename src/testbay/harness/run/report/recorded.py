"""A record as a report shows it: every string masked, printable and bounded; and what follows from the fields."""

import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from testbay.harness.run import recordparts
from testbay.harness.run.record import Record, in_words
from testbay.harness.run.recordparts import Attempt, Line, RecordedStep, RecordPart
from testbay.text import plural, visible

_LINE_CHARACTERS = 2000
_TEXT_CHARACTERS = 64 << 10

Mask = Callable[[str], str]


class ForReaders:
    """The strings of a record for a page that people read; `mask` takes the secrets out."""

    def __init__(self, mask: Mask = str) -> None:
        self._mask = mask

    def text(self, text: str) -> str:
        """Mask a long text, then keep its end. In the other order, half of a secret could remain."""
        whole = self._visible(text[-4 * _TEXT_CHARACTERS :]).rstrip()
        kept = whole[-_TEXT_CHARACTERS:]
        if len(text) <= 4 * _TEXT_CHARACTERS and kept == whole:
            return whole
        return f"… {len(text) - len(kept)} characters before this\n{kept.partition(chr(10))[2] or kept}"

    def line(self, text: str) -> str:
        """Mask a name or a message, and keep its beginning on one line."""
        line = self._visible(text[: 4 * _LINE_CHARACTERS]).replace("\n", " ↵ ").replace("\t", " ")
        return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"

    def id(self, text: str) -> str:
        """Take a test's id as a line; long ids stay distinct when they are cut."""
        if len(text) <= _LINE_CHARACTERS:
            return self.line(text)
        return self.line(text) + hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]

    def _visible(self, text: str) -> str:
        return self._mask(visible(self._mask(text)))


@dataclass(frozen=True, kw_only=True)
class Test:
    """A test, with all its attempts."""

    __test__ = False  # the name starts with "Test"; pytest must not collect it
    id: str
    attempts: tuple[Attempt, ...]

    @cached_property
    def outcome(self) -> str:
        """The outcome: failed if any phase failed, or if a rerun was due and did not happen."""
        outcomes = {attempt.outcome for attempt in self.attempts}
        return next((o for o in ("failed", "passed", "skipped") if o in outcomes), "failed")

    @property
    def flaky(self) -> bool:
        return self.outcome == "passed" and any(attempt.outcome == "rerun" for attempt in self.attempts)

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """The attempts with something to explain."""
        return tuple(attempt for attempt in self.attempts if attempt.outcome in ("failed", "rerun"))

    @property
    def last(self) -> Attempt:
        """The decisive attempt: the last failed one of a failed test, else the last."""
        return (self.failures if self.outcome == "failed" else self.attempts)[-1]

    @property
    def reopen(self) -> str:
        """The command that opens the test's kept state; empty if none was kept."""
        return f"testbay open {shlex.quote(self.id)}" if any(attempt.kept for attempt in self.attempts) else ""

    @property
    def duration_s(self) -> float:
        return sum(attempt.whole_s for attempt in self.attempts)


class CoveredFile(RecordPart):
    """The coverage of a source file."""

    name: Line
    statements: int
    missing: int
    percent: float
    missing_lines: tuple[int, ...] = ()


class RecordedRun(Record):
    """A record with the coverage beside it, and what a report says of both."""

    covered: tuple[CoveredFile, ...] = ()

    @classmethod
    def of(cls, content: Mapping[str, Any], mask: Mask = str) -> Self:
        """Take the content of a run.json for readers."""
        return cls.model_validate(content, context={"strings": ForReaders(mask)})

    @cached_property
    def tests(self) -> list[Test]:
        """Each test once, in the order in which they first ended."""
        found: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt.id, []).append(attempt)
        return [Test(id=nodeid, attempts=tuple(attempts)) for nodeid, attempts in found.items()]

    def ended(self, outcome: str) -> list[Test]:
        return [test for test in self.tests if test.outcome == outcome]

    @cached_property
    def flaky(self) -> list[Test]:
        return [test for test in self.tests if test.flaky]

    @property
    def counted(self) -> dict[str, str]:
        """The counts in words, by outcome; if pytest printed no last line, each test counts once."""
        return in_words(self.counts or {one: len(self.ended(one)) for one in ("passed", "failed", "skipped")})

    @property
    def slowest(self) -> list[Test]:
        return sorted(self.tests, key=lambda test: -test.duration_s)[:10]

    @property
    def silent(self) -> list[str]:
        """The tests that were planned and never reported."""
        return recordparts.silent(self.planned, self.attempts)

    @property
    def starts(self) -> list[RecordedStep]:
        """The start of each server, in seconds from the first server's; in a merged run from the first of its shard."""
        begin = min((step.start_s for step in self.startup), default=0.0)
        return [
            step.model_copy(update={"start_s": 0.0 if self.shards else step.start_s - begin}) for step in self.startup
        ]

    @property
    def startup_s(self) -> float:
        """The seconds from the first server's start until the last was ready."""
        return max((step.start_s + step.duration_s for step in self.starts), default=0.0)

    @property
    def length_s(self) -> float:
        """The duration of the run, as far as it was recorded."""
        return self.duration_s or max((step.start_s + step.duration_s for step in self.steps), default=0.0)

    @property
    def good(self) -> bool:
        return self.exit_code == 0

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        failed, count = len(self.ended("failed")), len(self.tests)
        if failed:
            return f"{failed} of {plural(count, 'test')} failed"
        if self.exit_code is None:
            return f"Not finished: {plural(count, 'test')} ended so far"
        if self.error:
            return self.error.what
        if not self.good:
            return f"Ended with exit code {self.exit_code}"
        told = self.counted
        passed = int(told.pop("passed", "0").partition(" ")[0])
        return ", ".join([f"{plural(passed, 'test')} passed", *told.values()])

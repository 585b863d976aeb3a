"""The facts in tests.jsonl, which the plugin writes as they happen: each line read, and joined into attempts."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field, Strict

from testbay.harness.run.recordparts import Attempt, Count, Id, Line, Reported
from testbay.text import strict_json

_PHASES = {"setup": "setup_s", "call": "duration_s", "teardown": "teardown_s"}
_SAID = ("worker", "error", "trace", "location", "reason", "kept")


class Fact(Reported):
    """A line of tests.jsonl: the end of one phase of a test, which has an outcome, or what holds for the session."""

    planned: list[Id] = []
    counts: dict[Line, Count] | None = None
    unmeasured: list[Line] = []
    elsewhere: list[Line] = []
    ended: Line = ""
    exit: Annotated[int, Strict(), Field(ge=0, lt=256)] | None = None

    @property
    def tells(self) -> bool:
        """Return whether the phase gives its test an outcome; a setup or teardown that passed does not."""
        return self.when == "call" or self.outcome != "passed"


def read(file: Path) -> list[Fact]:
    """Read the facts; skip lines that are truncated, or that a test wrote into the file."""
    facts = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []:
        with suppress(ValueError, RecursionError):
            facts.append(Fact.model_validate(strict_json(line)))
    return facts


def attempts(facts: Iterable[Fact]) -> list[Attempt]:
    """Join the phases of each attempt; one that only got through its setup is left out."""
    phases: dict[str, dict[int, list[Fact]]] = {}
    for fact in facts:
        if fact.outcome:
            phases.setdefault(fact.id, {}).setdefault(fact.attempt, []).append(fact)
    found: list[Attempt] = []
    for numbered in phases.values():
        last = max(numbered)
        for number, of_attempt in sorted(numbered.items()):
            found += _joined(of_attempt, is_last=number == last)
    return found


def _joined(phases: list[Fact], *, is_last: bool) -> Iterator[Attempt]:
    """Yield the attempt that the phases are of: the first one that failed decides, else the test's own."""
    telling = [phase for phase in phases if phase.tells]
    if not telling:
        return
    decided = next((phase for phase in telling if phase.outcome in ("failed", "rerun")), telling[-1])
    # A failed subtest is reported before it is known that the test runs again.
    outcome = decided.outcome if is_last or decided.outcome != "failed" else "rerun"
    known: dict[str, object] = {"id": decided.id, "attempt": decided.attempt, "when": decided.when, "outcome": outcome}
    known |= {"start": phases[0].start, "duration_s": 0.0}
    known |= {_PHASES[phase.when]: phase.duration_s for phase in phases if phase.when in _PHASES}
    # The first phase that says something of a kind is heard.
    known |= {name: said for phase in reversed(phases) for name in _SAID if (said := getattr(phase, name))}
    if sections := [section for phase in phases for section in phase.sections]:
        known["sections"] = sections
    yield Attempt.model_validate(known)

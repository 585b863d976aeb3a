"""The records that the rungs hand on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Confidence = Literal["low", "medium", "high"]


class RefusedError(Exception):
    """A rung says no. The reason is stored and shown, so it never quotes a secret; so are the runs behind it."""

    def __init__(self, rung: int, reason: str, *, runs: "Proof | None" = None) -> None:
        super().__init__(reason)
        self.rung = rung
        self.reason = reason
        self.runs = runs


class LaterError(Exception):
    """A peer is away or busy: the fix goes on after a pause, from where it stands."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """The whole new content of one file, by its path from the root of the repository.

    `added` are the lines that the commit's file did not have: only they can give a secret away.
    """

    path: str
    content: str
    added: str | None = None

    @property
    def fresh(self) -> str:
        """The part of it that is new; all of it where that is not known."""
        return self.content if self.added is None else self.added


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's answer in the shape that was asked for; its contents are hostile until the rails have passed them."""

    cause: str
    confidence: Confidence
    test: Edit | None = None
    patch: tuple[Edit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that an answer took."""

    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of the harness in the jail, as far as it was believed."""

    name: str
    exit_code: int
    seconds: float
    tests: Mapping[str, str] = field(default_factory=dict)
    fingerprints: frozenset[str] = frozenset()
    executed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    statements: Mapping[str, frozenset[int]] = field(default_factory=dict)
    problem: str = ""
    tail: str = ""

    def having(self, outcome: str) -> set[str]:
        """The tests that ended so."""
        return {test for test, found in self.tests.items() if found == outcome}

    def as_record(self) -> dict[str, Any]:
        """The run for the database, the page and the pull request."""
        counts: dict[str, int] = {}
        for found in self.tests.values():
            counts[found] = counts.get(found, 0) + 1
        return {
            "name": self.name,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 1),
            "tests": counts,
            "failed": sorted(test for test, found in self.tests.items() if found in ("failed", "error"))[:20],
            "fingerprints": sorted(self.fingerprints)[:20],
            "problem": self.problem,
            "tail": self.tail,
        }


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The runs that a pull request carries."""

    jail: str
    runs: Sequence[Outcome]

    def as_record(self) -> dict[str, Any]:
        """The proof for the database, the page and the pull request."""
        return {"jail": self.jail, "runs": [run.as_record() for run in self.runs]}

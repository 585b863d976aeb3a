"""The record of a run, `run.json`: its fields, its format, and how it is written."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from testbay.output import write_whole

FILE = "run.json"
RAISED = "exception in "  # the beginning of a section's title with a service's exception
MOST_BYTES = 128 << 20  # of a file that is read back; a larger one would take the machine's memory
_EVIDENCE_BYTES = 48 << 20  # of what tests said, all together
_NO_ROOM: dict[str, Any] = {"trace": "the record has no more room for it: see tests.jsonl beside it", "sections": []}
_COUNTED = ("passed", "failed", "error", "skipped", "deselected", "xfailed", "xpassed")
FORMAT = 1  # counts changes that an older testbay would read wrongly; a record without it is of format 1


@dataclass(kw_only=True)
class Record:
    """The content of run.json.

    Times are seconds; `steps` and `startup` are relative to `started`. `startup` has how long each dependency took to
    answer a real query; `tests` is as in `Results`.
    """

    id: str
    service: str
    started: str
    finished: str = ""
    duration_s: float = 0.0
    engine: str = ""
    engine_reason: str = ""
    llm: str = ""
    dependencies: list[dict[str, Any]] = field(default_factory=list)
    migrations: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    startup: list[dict[str, Any]] = field(default_factory=list)
    startup_budget_s: float = 0.0
    shard: dict[str, Any] | None = None
    collected: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    tests: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    coverage_percent: float | None = None
    exit_code: int | None = None
    error: dict[str, str] | None = None
    shards: list[dict[str, Any]] = field(default_factory=list)
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Replace the folder's run.json atomically: a reader never sees half of one."""
        bounded = replace(self, tests=list(_bounded(self.tests)))
        write_whole(folder / FILE, _text(vars(bounded)))


def _text(values: Mapping[str, Any]) -> str:
    """Write JSON with a line for each field and each list entry: fast even for thousands of tests."""
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {_value(value)}" for name, value in values.items()) + "\n}\n"


def _value(value: object) -> str:
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
    return json.dumps(value)


def _bounded(tests: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """The tests, without tracebacks and logs if these exceed the limit: a larger record could not be read back."""
    room = _EVIDENCE_BYTES
    for test in tests:
        room -= len(json.dumps([test.get("trace"), test.get("sections")])) if "trace" in test else 0
        yield test if room >= 0 else test | _NO_ROOM


def in_words(counts: Mapping[str, int], flaky: int = 0) -> dict[str, str]:
    """Word the counts as pytest's last line does, by outcome: `3 passed (1 flaky)`, `2 errors`; flaky ones passed."""
    totals = {**counts, "passed": counts.get("passed", 0) + counts.get("flaky", 0)}
    words = {"passed": f"passed ({flaky} flaky)" if flaky else "passed"}
    words["error"] = "error" if counts.get("error") == 1 else "errors"
    return {name: f"{totals[name]} {words.get(name, name)}" for name in _COUNTED if totals.get(name)}


def contents(file: Path) -> bytes:
    """Read a file that may come from elsewhere.

    Raises:
        ValueError: Not an ordinary file (a link, a pipe), too large, or cannot be read.
    """
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise ValueError("no ordinary file")
            data = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
    return data


def problem(found: object) -> str:
    """Say why this testbay cannot read a parsed run.json; empty when it can."""
    written = found.get("format", 1) if isinstance(found, dict) else 1
    if isinstance(written, int) and 1 <= written <= FORMAT:
        return ""
    return f"it has format {str(written)[:20]!r}, and this testbay reads up to {FORMAT}: a newer one wrote it"

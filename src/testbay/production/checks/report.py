"""The report of a run of checks, written as JSON, and read by history, incidents and pages."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from testbay.errors import ManifestError
from testbay.manifest.checkbase import Evidence, Phase
from testbay.text import one_line, strict_json

VERSION = 1
MAX_BYTES = 16 << 20  # of a report; testbay writes no larger one
_MAX_RESULTS = 10_000
_MAX_PROBES = 1_000
_LINE = 500  # characters of one line that is said or is evidence
_LINES = 40

Verdict = Literal["pass", "fail", "stale", "skip", "error"]
# Beside the exit codes of errors.py and outside of pytest's. Of several verdicts the first of these decides.
EXIT_CODES: Mapping[Verdict, int] = {"fail": 20, "stale": 21, "error": 22}
NOTHING_ASKED = 23  # no check was chosen, or every one was skipped: that is not green

Name = Annotated[str, Field(max_length=_LINE)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one check.

    `check` is its id in the manifest; `live` for the gate that waits for a deploy, `<id>/cleanup` for a journey's
    cleanup. `instance` is the value of `each`, else empty. `said` is one line. `attempts` counts the attempts;
    `latencies_s` has an entry for each answered probe.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    check: Name
    instance: Name = ""
    kind: Name
    verdict: Verdict
    said: str
    evidence: Annotated[tuple[str, ...], Field(max_length=_LINES)] = ()
    duration_s: Seconds = 0.0
    attempts: Annotated[int, Field(ge=0)] = 1
    latencies_s: Annotated[tuple[Seconds, ...], Field(max_length=_MAX_PROBES)] = ()

    @property
    def name(self) -> str:
        """The check's id, and behind it the instance if there are several."""
        return f"{self.check} {self.instance}".strip()

    @property
    def response_s(self) -> float:
        """The time that the last answer took; where none was timed, that of the whole check."""
        return self.latencies_s[-1] if self.latencies_s else self.duration_s

    def __post_init__(self) -> None:
        """Shorten texts and make them printable: the target may have written them."""
        object.__setattr__(self, "said", one_line(self.said))
        object.__setattr__(self, "evidence", tuple(one_line(line) for line in self.evidence[:_LINES]))


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run. Times are ISO 8601 in UTC; `commit` is the running one, `expected_commit` the intended one.

    `evidence` says how much of it an issue may show. `known` are the names of all results that the manifest's checks
    can have for a deployment, whether or not they were run this time; empty if unknown.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    service: Name
    phase: Phase
    target: Name = ""
    started: Name
    finished: Name
    commit: Name = ""
    expected_commit: Name = ""
    run_url: Name = ""
    evidence: Evidence = "full"
    known: Annotated[tuple[Name, ...], Field(max_length=_MAX_RESULTS)] = ()
    results: Annotated[tuple[Result, ...], Field(max_length=_MAX_RESULTS)] = ()

    @property
    def exit_code(self) -> int:
        """The exit code: 0 only if at least one check passed and no other did worse."""
        found = {result.verdict for result in self.results}
        worst = (code for verdict, code in EXIT_CODES.items() if verdict in found)
        return next(worst, 0 if "pass" in found else NOTHING_ASKED)

    def as_json(self) -> str:
        """Write the report for a file, a pipe or `from_json`."""
        head = {"version": VERSION, "exit_code": self.exit_code}
        text = json.dumps({**head, **vars(self), "results": [vars(one) for one in self.results]}, indent=1) + "\n"
        return text.replace("##[", "##\\u005b")  # the same JSON: GitHub's runner would obey it wherever it stands


def from_json(text: str | bytes) -> Report:
    """Read a report that `as_json` wrote.

    Raises:
        ManifestError: Too large, not JSON, another version, an unknown or missing key, a wrong type, or an exit code
            that its verdicts contradict.
    """
    report, code = _read(text)
    if report.exit_code != code:
        raise _unusable(f"exit_code {code} with verdicts that make it {report.exit_code}")
    return report


@cache  # and not at import: most commands read no report
def _schema() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def _read(text: str | bytes) -> tuple[Report, Any]:
    if len(text) > MAX_BYTES:
        raise _unusable(f"larger than {MAX_BYTES >> 20} MiB")
    if not text.strip():
        raise _unusable("it is empty: testbay check ended before it wrote one")
    try:
        document = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise _unusable(f"not JSON: {error}") from None
    if not isinstance(document, dict) or document.pop("version", None) != VERSION:
        raise _unusable(f"not of version {VERSION}")
    code = document.pop("exit_code", None)
    try:
        return _schema().validate_json(json.dumps(document)), code
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        raise _unusable(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None


def _unusable(why: str) -> ManifestError:
    return ManifestError(
        "this is not a report of checks", why=one_line(why), todo="take one that testbay check --json wrote"
    )


def read(file: Path) -> Report:
    """Read the report in a file, or on standard input (`-`).

    Raises:
        ManifestError: It cannot be read, or is not a report.
    """
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as stream:
            return from_json(stream.read(MAX_BYTES + 1))
    except OSError as error:
        todo = "name what testbay check --json wrote"
        raise ManifestError(f"{file}: cannot be read", why=error.strerror or str(error), todo=todo) from None

"""The findings of a report that incidents are made of: which checks fail, and from which cause."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from testbay.errors import ManifestError
from testbay.production.checks.report import Report, Result
from testbay.production.history import verdicts as slowness
from testbay.production.incidents.marker import Kind, State, digest

# Parts in which two answers with the same cause differ: the requested path, and measured numbers.
_REQUEST = re.compile(r"\b[A-Z]{2,7} /[^\s:]*")
_PATH = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s?#'\"]+)[^\s'\"]*", re.IGNORECASE)
# The error status that a message begins with, also within a journey: the conditions that fail by it do not matter.
_STATUS = re.compile(r"^(?:step \d+ of \d+: )?status(?: ([45]\d\d);|[^:]*: ([45]\d\d) is )")
_NO_JSON = "there is no json: "  # and why, for whichever condition
_MEASURED = re.compile(r"\d+(?:\.\d+)?(?= ?(?:ms|s)\b)|\(asked [^)]*\)")


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """The findings of a run. Runs are ordered by their start, then by their id.

    `id` is equal when the same workflow run is run again; `last_good` is the commit of the last good run, if known.
    """

    report: Report
    id: str
    started: datetime
    last_good: str = ""

    @property
    def scope(self) -> str:
        """Identify the service and target whose incidents this run decides on, whatever its phase."""
        return digest("scope", self.report.service, self.report.target)

    def results(self, check: str) -> list[Result]:
        """List the results of a check, one for each instance; none if it was not in this run."""
        return [result for result in self.report.results if result.check == check]

    def troubles(self, kind: Kind) -> dict[str, str]:
        """Map each check with this verdict to the key of its cause."""
        found: dict[str, str] = {}
        for result in self.report.results:
            if result.verdict == kind:
                found.setdefault(result.check, self.key(kind, cause(result)))
        return found

    def key(self, kind: Kind, words: str) -> str:
        """Hash the words of a cause, together with the scope."""
        return digest("cause", self.scope, kind, words)

    def covers(self, state: State) -> bool:
        """Return whether this run asked any check of an incident."""
        return any(result.verdict != "skip" for check in state.checks for result in self.results(check))

    def cleared(self, state: State) -> bool:
        """Return whether this run shows that an incident is over: each of its checks was asked and passed.

        If the incident is that checks could not run, any answer is enough.
        """
        enough = {"pass", "fail", "stale"} if state.kind == "error" else {"pass"}
        verdicts = [{result.verdict for result in self.results(check)} for check in state.checks]
        return all(found and found <= enough for found in verdicts)

    def still_known(self, checks: tuple[str, ...]) -> tuple[str, ...]:
        """Select the checks that the manifest still has."""
        known = self.report.known
        return tuple(check for check in checks if not known or check in known)

    def is_news_to(self, state: State, written: datetime | None = None) -> bool:
        """Return whether this run is newer than the last one that the issue was updated for.

        One that began after GitHub had `written` its state had a wrong clock: else all runs until then would be late.
        """
        if (self.started, self.id) == (state.seen, state.run):
            return False
        return (self.started, self.id) > (min(state.seen, written or state.seen), state.run)


def masked(report: Report, mask: Callable[[str], str]) -> Report:
    """Copy a report with each text masked, so that nothing made from it can hold a secret."""
    results = [
        replace(
            result,
            check=mask(result.check),
            instance=mask(result.instance),
            kind=mask(result.kind),
            said=mask(result.said),
            evidence=tuple(map(mask, result.evidence)),
        )
        for result in report.results
    ]
    return replace(
        report,
        service=mask(report.service),
        target=mask(report.target),
        commit=mask(report.commit),
        expected_commit=mask(report.expected_commit),
        run_url=mask(report.run_url),
        known=tuple(map(mask, report.known)),
        results=tuple(results),
    )


def cause(result: Result) -> str:
    """Name the cause of a failure, so that checks of a target that fail for the same reason share it.

    An old build, being unable to ask, and slowness are each one cause, and so is an error status. Otherwise the cause
    is the message of the check without the request, the paths of addresses and measured numbers; where the answer is
    not JSON, without the condition that wanted some.
    """
    if result.verdict != "fail":
        return ""
    if result.kind == slowness.KIND:
        return slowness.KIND
    if status := _STATUS.match(result.said):
        return f"status {status[1] or status[2]}"
    said = result.said.partition(_NO_JSON)[2] or result.said
    return " ".join(_MEASURED.sub("", _PATH.sub(r"\1", _REQUEST.sub("", said))).lower().split())


def moment(text: str) -> datetime:
    """Parse the start of a report, in UTC.

    Raises:
        ManifestError: Not an ISO time with a time zone.
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ManifestError(f"the report began at {text!r}, which is not a time in a zone", todo="run testbay check again")

"""A report of checks as incidents see it: what is wrong, and for which cause."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from testbay.errors import ManifestError
from testbay.production.checks.report import Report, Result
from testbay.production.history import verdicts as slowness
from testbay.production.incidents.marker import Kind, State, digest

# What makes two answers differ that have one cause: the path that was asked, and measured numbers.
_REQUEST = re.compile(r"\b[A-Z]{2,7} /[^\s:]*")
_PATH = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s?#'\"]+)[^\s'\"]*", re.IGNORECASE)
_MEASURED = re.compile(r"\d+(?:\.\d+)?(?= ?(?:ms|s)\b)|\(asked [^)]*\)")


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """The findings of a run. Runs are ordered by when they began: the id decides between two of one moment.

    Args:
        id: The same when the same workflow run is run again.
        last_good: The commit of the last good run, where it is known.
    """

    report: Report
    id: str
    started: datetime
    last_good: str = ""

    @property
    def scope(self) -> str:
        """Whose incidents it decides on: the target of a service, in whichever phase it was asked."""
        return digest("scope", self.report.service, self.report.target)

    def results(self, check: str) -> list[Result]:
        """List the results of a check, one for each instance; none if it was not in this run."""
        return [result for result in self.report.results if result.check == check]

    def troubles(self, kind: Kind) -> dict[str, str]:
        """The checks with this verdict, each with the key of its cause."""
        found: dict[str, str] = {}
        for result in self.report.results:
            if result.verdict == kind:
                found.setdefault(result.check, self.key(kind, cause(result)))
        return found

    def key(self, kind: Kind, words: str) -> str:
        """A cause by its words, within our scope."""
        return digest("cause", self.scope, kind, words)

    def asked(self, state: State) -> bool:
        """Return whether it has anything to say about an incident."""
        return any(result.verdict != "skip" for check in state.checks for result in self.results(check))

    def cleared(self, state: State) -> bool:
        """Return whether it proves that an incident is over: each of its checks was asked, and answered as it should.

        Where the trouble was that they could not be asked, any answer will do.
        """
        enough = {"pass", "fail", "stale"} if state.kind == "error" else {"pass"}
        verdicts = [{result.verdict for result in self.results(check)} for check in state.checks]
        return all(found and found <= enough for found in verdicts)

    def still_known(self, checks: tuple[str, ...]) -> tuple[str, ...]:
        """Select the checks that the manifest still has."""
        known = self.report.known
        return tuple(check for check in checks if not known or check in known)

    def is_news_to(self, state: State) -> bool:
        """Return whether the issue does not know yet what this run, or a newer one, found."""
        return (self.started, self.id) > (state.seen, state.run)


def masked(report: Report, mask: Callable[[str], str]) -> Report:
    """The report as if its writer had masked it: nothing later, hidden lines included, has to think of it."""
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
    """Name the cause, which two checks of a target share when one thing is wrong with both.

    An old build, or a monitor that cannot ask, is one thing whatever was asked, and so is slowness. Else it is what the
    checks said, in the same words: without the request and the path of an address, and without measured numbers.
    """
    if result.verdict != "fail":
        return ""
    if result.kind == slowness.KIND:
        return slowness.KIND
    return " ".join(_MEASURED.sub("", _PATH.sub(r"\1", _REQUEST.sub("", result.said))).lower().split())


def moment(text: str) -> datetime:
    """A report's time.

    Raises:
        ManifestError: Not a time, or without a zone.
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ManifestError(f"the report began at {text!r}, which is not a time in a zone", todo="run testbay check again")

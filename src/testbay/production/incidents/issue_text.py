"""The texts of incidents: title, body and comments of an issue. The most useful line comes first."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from testbay.markdown import issue_code, issue_fence, issue_link, issue_title
from testbay.production.checks.report import Result
from testbay.production.incidents import marker
from testbay.production.incidents.findings import CheckRun
from testbay.production.incidents.marker import State
from testbay.production.incidents.plan import Action, Policy
from testbay.text import is_commit

_MOST_CHECKS = 10
_MOST_INSTANCES = 3
_MOST_EVIDENCE = 3  # checks of which the evidence is shown
_EVIDENCE_LINES = 12
_PATTERN = "pattern"  # the kind of the error monitor's results
_WORDS = {"pass": "passes", "fail": "**fails**", "stale": "**stale**", "skip": "skipped", "error": "**could not run**"}
_TROUBLE = {"fail": ("fails", "fail"), "stale": ("finds an old build", "find an old build")}  # of one, of several
_CANNOT = ("cannot run", "cannot run")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes the texts for one run; `site` is the web address of the repository, empty if not known."""

    run: CheckRun
    policy: Policy
    site: str

    @property
    def _shows_answers(self) -> bool:
        """Return whether the issue may show answers; the run's own report always does."""
        return self.run.report.evidence == "full"

    def title(self, state: State) -> str:
        """Compose the title: service, target, and the failing checks; of an error's pattern, what it says."""
        report = self.run.report
        where = f"{report.service} on {report.target}" if report.target else report.service
        first, more = state.failing[0], len(state.failing) - 1
        pattern = next((one for one in self.run.results(first) if one.kind == _PATTERN and self._shows_answers), None)
        what = trouble_of(first, more, state.kind)
        if pattern and state.kind == "fail":  # its check is a hash
            what = pattern.said.rpartition(" (")[0] + (f" and {more} more" if more else "")
        return issue_title(f"{where}: {what}")

    def body(self, state: State) -> str:
        """Compose the body: the hidden line with the state, then the text."""
        if state.duplicate_of:
            text = f"Duplicate of #{state.duplicate_of}: more than one was opened for it, and the lowest number stays."
            return f"{marker.write(state)}\n{text}\n"
        sections = [self._headline(state), self._checks(state), self._commits(state), self._evidence(state)]
        return "\n\n".join([f"{marker.write(state)}\n{sections[0]}", *filter(None, sections[1:]), self._foot()]) + "\n"

    def news(self, action: Action) -> str:
        """Compose the comment that tells the followers of an issue what has changed; empty if nothing has."""
        state, was = action.state, action.was
        if was is None or action.verb == "duplicate":
            return ""
        if action.verb == "close":
            text = f"Over. {self._outage(state)} {self._good_runs(state)}"
        elif action.verb == "retire":
            names = self._names(state.checks)
            text = f"The manifest no longer has these checks: {names}. Whether they would pass now cannot be known."
        elif action.verb == "reopen":
            text = f"Again, after it was closed: {self._names(state.failing)}."
        else:
            worse, better = set(state.failing) - set(was.state.failing), set(was.state.failing) - set(state.failing)
            text = f"Now also: {self._names(sorted(worse))}." if worse else ""
            text += f" No longer: {self._names(sorted(better))}." if better else ""
        return f"{comment_mark(self.run)}\n{text.strip()} {self._source()}\n" if text else ""

    def _headline(self, state: State) -> str:
        report = self.run.report
        where = f"service {_code(report.service)}" + (f" on {_code(report.target)}" if report.target else "")
        if state.good:
            return f"**Recovered**: {where}. {self._outage(state)} {self._good_runs(state)}"
        trouble = _TROUBLE.get(state.kind, _CANNOT)[len(state.failing) > 1]
        lasting = f", for {length(state.seen - state.started)}" if state.seen > state.started else ""
        return f"**{self._names(state.failing)} {trouble}**: {where}, since {clock_time(state.started)}{lasting}."

    def _checks(self, state: State) -> str:
        """List the checks of an issue: those that fail now first."""
        ordered = [*state.failing, *(check for check in state.checks if check not in state.failing)]
        lines = [line for check in ordered[:_MOST_CHECKS] for line in self._check(check)]
        more = len(ordered) - _MOST_CHECKS
        return "\n".join([*lines, f"- … and {more} more"] if more > 0 else lines)

    def _check(self, check: str) -> list[str]:
        results = sorted(self.run.results(check), key=lambda result: result.verdict in ("pass", "skip"))
        shown = [f"- {self._name(result)} {self._verdict(result)}" for result in results[:_MOST_INSTANCES]]
        if len(results) > _MOST_INSTANCES:
            shown.append(f"- {_code(check)} … and {len(results) - _MOST_INSTANCES} more")
        return shown or [f"- {_code(check)} did not run in the last run"]

    def _name(self, result: Result) -> str:
        return _code(result.check) + (f" {_code(result.instance)}" if result.instance else "")

    def _verdict(self, result: Result) -> str:
        return f"{_WORDS[result.verdict]}: {issue_code(result.said)}" if self._shows_answers else _WORDS[result.verdict]

    def _commits(self, state: State) -> str:
        good, bad = state.good_commit, state.bad_commit
        if state.kind == "stale":
            expected = self.run.report.expected_commit
            return f"**Expected** {_code(expected)}, **answered** {_code(bad)}." if expected and bad else ""
        if state.kind == "error" or not bad:
            return ""
        fixed = f" Fine at {_code(state.fixed_commit)}." if state.fixed_commit else ""
        if not good:
            return f"**Commit** {_code(bad)}. No good run before it is on record.{fixed}"
        if good == bad:
            return f"**Suspect commits**: none, {_code(good)} was fine before. Look at data, settings and hosts."
        known = is_commit(good) and is_commit(bad) and self.site
        compare = f" ({issue_link('compare', f'{self.site}/compare/{good}...{bad}', self.site)})" if known else ""
        return f"**Suspect commits**: after {_code(good)}, which was fine, up to {_code(bad)}{compare}.{fixed}"

    def _evidence(self, state: State) -> str:
        shown = [
            f"**{self._name(result)}**\n\n{issue_fence(list(result.evidence[:_EVIDENCE_LINES]))}"
            for check in state.failing
            for result in self.run.results(check)
            if result.verdict == state.kind and result.evidence and self._shows_answers
        ][:_MOST_EVIDENCE]
        return "\n\n".join(["<details><summary>Evidence</summary>", *shown, "</details>"] if shown else [])

    def _foot(self) -> str:
        rule = f"Closed after {self.policy.close_after} good runs in a row."
        return f"---\n{self._source()} {rule} `testbay incidents` maintains this text and overwrites edits."

    def _source(self) -> str:
        when = clock_time(self.run.started)
        return f"{issue_link(f'Run of {when}', self.run.report.run_url, self.site)}."

    def _outage(self, state: State) -> str:
        end = state.recovered or state.seen
        span = f"from the first bad run, {clock_time(state.started)}, to the first good one, {clock_time(end)}"
        return f"It lasted {length(end - state.started)}, {span}."

    def _good_runs(self, state: State) -> str:
        return f"Good runs in a row: {len(state.good)} of {self.policy.close_after}."

    def _names(self, checks: "tuple[str, ...] | list[str]") -> str:
        named = ", ".join(_code(check) for check in checks[:_MOST_INSTANCES])
        return named if len(checks) <= _MOST_INSTANCES else f"{named} and {len(checks) - _MOST_INSTANCES} more"


def _code(text: str) -> str:
    return issue_code(text, 120)


def trouble_of(first: str, more: int, kind: str) -> str:
    """Say what is wrong with a check, and `more` others: `health fails`, `health and 3 more fail`."""
    one, many = _TROUBLE.get(kind, _CANNOT)
    return f"{first} and {more} more {many}" if more else f"{first} {one}"


def comment_mark(run: CheckRun) -> str:
    """Compose the hidden line that marks a comment as written for this run."""
    return f"<!-- testbay-run {run.id} -->"


def clock_time(when: datetime) -> str:
    """Format a time in UTC, e.g. `2026-11-21 06:41 UTC`."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def length(span: timedelta) -> str:
    """Format a length of time, e.g. `2 d 3 h` or `45 min`."""
    minutes = max(0, round(span.total_seconds() / 60))
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{days} d"] * bool(days) + [f"{hours} h"] * bool(hours) + [f"{minutes % 60} min"] * (not days)
    return " ".join(parts)

"""A monitor that checks a shop every so often and keeps its incidents, in this process and on a clock of its own."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.system.fakes.fake_github import FakeGitHub

from testbay.output import Voice
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.incidents import marker, reconcile
from testbay.production.incidents.marker import State
from testbay.production.remote.github import Patience


def result(check: str, verdict: Verdict, said: str = "", **more: Any) -> Result:
    """One that says little."""
    return Result(check=check, kind="http", verdict=verdict, said=said or f"{check} says {verdict}", **more)


def report(when: datetime, *results: Result, **more: Any) -> Report:
    """A scheduled run of production that found these."""
    started = when.isoformat()
    facts = {"service": "shop", "phase": "scheduled", "target": "production", "started": started, "finished": started}
    return Report(**{**facts, **more}, results=results)


class Monitor:
    """Each call is a run with a number of its own."""

    def __init__(self, github: FakeGitHub, slack_url: str = "") -> None:
        self.github = github
        self.slack_url = slack_url
        self.said = ""
        self._runs = 1000

    def run(self, *results: Result, run_id: str = "", facts: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Report these, half an hour after the last time."""
        self.github.pass_time(minutes=30)
        self._runs += 1
        self.hand_in(report(self.github.now, *results, **(facts or {})), run_id or str(self._runs), **options)

    def hand_in(self, found: Report, run_id: str, *, token: str = "", mask: Any = str, **options: Any) -> None:
        """Make the issues match a report; waiting takes no time, but counts."""
        environ = {**self.github.environ, "GITHUB_RUN_ID": run_id, "SLACK_WEBHOOK_URL": self.slack_url}
        environ |= {"GITHUB_TOKEN": token} if token else {}
        began, slept = datetime.now(UTC), [0.0]

        def sleep(delay_s: float) -> None:
            slept[0] += delay_s
            self.github.now += timedelta(seconds=delay_s)

        clock = Patience(clock=lambda: (datetime.now(UTC) - began).total_seconds() + slept[0], sleep=sleep)
        stream = io.StringIO()
        try:
            reconcile.execute(found, environ, Voice(stream), reconcile.Options(**options), mask=mask, patience=clock)
        finally:
            self.said = stream.getvalue()

    def state(self, number: int) -> State:
        """What an issue remembers."""
        found = marker.read(self.github.issues[number]["body"])
        assert found
        return found

    def told(self, number: int) -> list[str]:
        """The comments below an issue, without their hidden line."""
        return [comment["body"].partition("\n")[2].strip() for comment in self.github.comments[number]]

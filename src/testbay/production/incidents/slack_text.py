"""The messages to Slack about incidents: each beginning and each end, once."""

from collections.abc import Sequence

from testbay.production.incidents import slack
from testbay.production.incidents.issue_text import Writer, clock_time, length
from testbay.production.incidents.marker import ENDS, State
from testbay.production.incidents.plan import Tracked

_MOST = 10  # incidents in a message
_WORDS = {
    "opened": "opened",
    "reopened": "opened again",
    "closed": "over",
    "retired": "closed, its checks are gone",
}


def untold(tracked: Sequence[Tracked], writer: Writer) -> list[Tracked]:
    """Select the incidents of the run's target with untold turns; those that go on come first."""
    found = [one for one in tracked if one.state.scope == writer.run.scope and one.state.untold]
    return sorted(found, key=lambda one: (one.state.untold[-1] in ENDS, one.issue.number))


def turns(state: State) -> str:
    """Put the untold turns of an incident into words."""
    words = ", then ".join(_WORDS[turn] for turn in state.untold).capitalize()
    if state.untold[-1] == "closed" and state.recovered:
        return f"{words} after {length(state.recovered - state.started)}"
    return words


def message(news: Sequence[Tracked], writer: Writer) -> tuple[str, list[str]]:
    """Compose a message: a summary for a lock screen, and the paragraphs."""
    first, more = news[0], len(news) - 1
    summary = f"{turns(first.state)}: {slack.quoted(writer.title(first.state))}" + (f" and {more} more" if more else "")
    paragraphs = [_paragraph(one, writer) for one in news[:_MOST]]
    if len(news) > _MOST:
        issues = slack.link("issues", f"{writer.site}/issues", writer.site)
        paragraphs.append(f"… and {len(news) - _MOST} more {issues}")
    when = f"Run of {clock_time(writer.run.started)}"
    return summary, [*paragraphs, slack.link(when, writer.run.report.run_url, writer.site)]


def _paragraph(one: Tracked, writer: Writer) -> str:
    state, number = one.state, one.issue.number
    issue = slack.link(f"#{number}", f"{writer.site}/issues/{number}", writer.site)
    is_over = state.untold[-1] in ENDS
    mark = ":large_green_circle:" if is_over else ":red_circle:"
    head = f"{mark} *{turns(state)}*: {issue} {slack.quoted(writer.title(state))}"
    if is_over and state.recovered:
        return f"{head}\n{clock_time(state.started)} to {clock_time(state.recovered)}"
    found = [result for check in state.failing for result in writer.run.results(check)]
    said = [result.said for result in found if result.verdict == state.kind]
    return f"{head}\nsince {clock_time(state.started)}" + (f": {slack.quoted(said[0])}" if said else "")

"""The loop that lists, plans and changes issues until GitHub's issues agree with a run of checks."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from testbay.errors import IncidentsError, ManifestError
from testbay.output import Voice
from testbay.production.checks.report import Report
from testbay.production.incidents import marker, slack, slack_text
from testbay.production.incidents.findings import CheckRun, masked, moment
from testbay.production.incidents.issue_text import Writer, comment_mark
from testbay.production.incidents.issues import Issue, Issues
from testbay.production.incidents.plan import Action, Policy, Tracked, plan
from testbay.production.remote.delivery import Address
from testbay.production.remote.github import Api, GitHubAccess, Patience, UnsureError
from testbay.text import is_commit

_ROUNDS = 30
_UNSURE_S = 10.0  # how long to look for an issue that may have been opened before it is opened again
_UNSEEN_S = 60.0  # how long to wait until GitHub's list has an issue that was opened
_MAX_LABEL = 50  # characters, GitHub's limit


class Reconciler:
    """Makes the issues match one run.

    GitHub's list may lag behind, so own changes are remembered, and an opened issue is waited for until the list has
    it: then the list also has every issue that other runs opened before. So the run that looks last closes every
    duplicate, and no run closes the issue with the lowest number.
    """

    def __init__(self, issues: Issues, writer: Writer, patience: Patience, voice: Voice) -> None:
        self._issues = issues
        self._writer = writer
        self._patience = patience
        self._voice = voice
        self._own: dict[int, Issue] = {}  # as our last write left them
        self._opened: set[int] = set()
        self._unsure: dict[str, tuple[float, UnsureError]] = {}  # until when an issue for this cause is looked for
        self._began = patience.clock()

    def preview(self) -> None:
        _preview(self._known(self._issues.all()), self._writer, self._voice)

    def settle(self) -> list[Tracked]:
        """Change issues until the plan is empty; return the incidents.

        Raises:
            IncidentsError: Listing failed (then nothing was opened), or a change failed.
        """
        for attempt in range(_ROUNDS):
            listed = self._issues.all()
            tracked = self._known(listed)
            actions = plan(tracked, self._writer.run, self._writer.policy)
            unseen = self._opened - {issue.number for issue in listed}
            if not actions and not unseen:
                return tracked
            open_question = self._act(actions)
            if not open_question and not unseen:
                continue
            too_long = not actions and self._patience.clock() - self._began > _UNSEEN_S
            if too_long or not self._patience.wait(attempt):
                raise open_question or _unsettled(unseen)
        raise _unsettled(self._own)

    def announce(self, hook: Address, tracked: Sequence[Tracked]) -> None:
        """Tell Slack of every untold turn, then note in the issues that it was told.

        In this order a crash in between repeats a message rather than losing it.

        Raises:
            NotDeliveredError: Slack did not take the message.
            IncidentsError: Slack took it, but an issue could not be changed: the next run may tell it again.
        """
        fresh = slack_text.untold(tracked, self._writer)
        if not fresh:
            return
        slack.post(hook, *slack_text.message(fresh, self._writer), self._patience.wait)
        for one in fresh:
            self._voice.say(f"notified Slack of #{one.issue.number}: {slack_text.turns(one.state)}")
        told = {one.issue.number: one.state.untold for one in fresh}
        failed = None
        for one in self._known(self._issues.all()):
            heard, all_turns = told.get(one.issue.number, ()), one.state.untold
            if not heard or all_turns[: len(heard)] != heard:
                continue
            body = marker.rewrite(one.issue.body, replace(one.state, untold=all_turns[len(heard) :]))
            try:
                self._own[one.issue.number] = self._issues.edit(one.issue.number, body=body)
            except IncidentsError as error:
                failed = failed or error
        if failed:
            raise failed

    def _known(self, listed: list[Issue]) -> list[Tracked]:
        """Replace listed issues by our own newer versions of them, and select those with a state."""
        latest = {issue.number: issue for issue in listed}
        for number, own in self._own.items():
            if number not in latest or latest[number].updated_at <= own.updated_at:
                latest[number] = own
        known = [(issue, marker.read(issue.body)) for issue in latest.values()]
        return [Tracked(issue=issue, state=state) for issue, state in known if state]

    def _act(self, actions: list[Action]) -> IncidentsError | None:
        """Carry out all actions, even if one fails; return the error of one that may have been done."""
        unsure, failed = None, None
        for action in actions:
            try:
                self._do(action)
            except UnsureError as error:
                unsure = error
            except IncidentsError as error:
                failed = failed or error
        if failed:
            raise failed
        return unsure

    def _do(self, action: Action) -> None:
        title, body = self._writer.title(action.state), self._writer.body(action.state)
        if action.was is None:
            made = self._open(action.state.key, title, body)
            self._opened.add(made.number)
        else:
            self._notify(action)
            made = self._issues.edit(action.was.issue.number, title=title, body=body, **_CHANGES[action.verb])
        self._own[made.number] = made
        self._say(_DONE[action.verb], action, made.number)

    def _open(self, key: str, title: str, body: str) -> Issue:
        if key in self._unsure and self._patience.clock() < self._unsure[key][0]:
            raise self._unsure[key][1]
        try:
            return self._issues.create(title, body)
        except UnsureError as error:
            self._unsure[key] = self._patience.clock() + _UNSURE_S, error
            raise

    def _notify(self, action: Action) -> None:
        """Comment on the issue, at most once for a run, however often the run is run again.

        A locked issue takes none of a workflow's, and a full one none at all; its body has the same facts.
        """
        news, mark = self._writer.news(action), comment_mark(self._writer.run)
        if not news or action.was is None or not action.was.issue.takes_comments:
            return
        number = action.was.issue.number
        if not any(text.startswith(mark) for text in self._issues.comments(number)):
            self._issues.comment(number, news)

    def _say(self, verb: str, action: Action, number: int = 0) -> None:
        self._voice.say(_line(verb, action, self._writer, number))


def _line(verb: str, action: Action, writer: Writer, number: int = 0) -> str:
    known = number or (action.was.issue.number if action.was else 0)
    return f"{verb} {f'#{known} ' if known else ''}{writer.title(action.state)}"


def _preview(tracked: Sequence[Tracked], writer: Writer, voice: Voice) -> None:
    actions = plan(list(tracked), writer.run, writer.policy)
    for action in actions:
        voice.say(_line(f"would {action.verb}", action, writer))
        for line in writer.body(action.state).splitlines():
            voice.detail(line)
    after = {one.issue.number: one.state for one in slack_text.untold(tracked, writer)}
    after |= {action.was.issue.number if action.was else -at: action.state for at, action in enumerate(actions)}
    untold = [state for state in after.values() if state.untold and writer.policy.tells]
    for state in untold:
        voice.say(f"would notify Slack: {slack_text.turns(state)}: {writer.title(state)}")
    if not actions and not untold:
        voice.say("nothing to do")


_CHANGES: Mapping[str, Mapping[str, str]] = {
    "reopen": {"state": "open", "state_reason": "reopened"},
    "update": {},
    "close": {"state": "closed", "state_reason": "completed"},
    "retire": {"state": "closed", "state_reason": "not_planned"},
    "duplicate": {"state": "closed", "state_reason": "duplicate"},
}
_DONE = {
    "open": "opened",
    "reopen": "reopened",
    "update": "updated",
    "close": "closed",
    "retire": "closed, as its checks are gone:",
    "duplicate": "closed as a duplicate:",
}


def _unsettled(numbers: Iterable[int]) -> IncidentsError:
    return IncidentsError(
        f"GitHub: the issues do not settle: {', '.join(f'#{number}' for number in sorted(numbers))}",
        why="the list does not show them yet, or another run is changing them at the same time",
        todo="run it again; the next run fixes it in any case",
    )


def run_of(report: Report, environ: Mapping[str, str], last_good: str) -> CheckRun:
    """Make a run of a report. Its id is that of the workflow run, else a hash of the report.

    Raises:
        ManifestError: Its start or the commit is invalid.
    """
    if last_good and not is_commit(last_good):
        raise ManifestError(f"--last-good: {last_good!r} is not a commit", todo="give 7 to 64 hexadecimal digits")
    own = hashlib.sha256(report.as_json().encode()).hexdigest()[:16]
    known = environ.get("GITHUB_RUN_ID", "")
    id_ = known if re.fullmatch(r"[0-9]{1,20}", known, re.ASCII) else f"report-{own}"
    return CheckRun(report=report, id=id_, started=moment(report.started), last_good=last_good)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `testbay incidents`."""

    label: str = "testbay-incident"
    close_after: int = 2
    reopen_within_s: float = 24 * 3600
    last_good: str = ""
    dry_run: bool = False


def execute(
    report: Report,
    environ: Mapping[str, str],
    voice: Voice,
    options: Options,
    *,
    mask: Callable[[str], str] = str,
    patience: Patience | None = None,
) -> None:
    """Make the issues of GITHUB_REPOSITORY match a report, and tell Slack where SLACK_WEBHOOK_URL is set.

    `mask` takes secrets out of each text of the report.

    Raises:
        IncidentsError: The issues do not match, or that is not known.
        NotDeliveredError: They match, but Slack was not told.
        ManifestError: The report's start or an option is invalid.
    """
    if not 1 <= options.close_after <= 100:
        raise ManifestError(f"--close-after: {options.close_after} is not a count of runs", todo="use 1 to 100")
    if "," in options.label or not 0 < len(options.label.strip()) <= _MAX_LABEL:
        why = "GitHub takes a comma for the end of a label when it lists issues: none would be found again"
        todo = f"use 1 to {_MAX_LABEL} characters without a comma"
        raise ManifestError(
            f"--label: {options.label!r} is not a label", why=why if "," in options.label else "", todo=todo
        )
    patience = patience or Patience(tell=voice.say)
    if options.dry_run and not environ.get("GITHUB_TOKEN", "").strip():
        voice.say("GITHUB_TOKEN is not set: as if there were no issues yet")
        repository = environ.get("GITHUB_REPOSITORY", "")
        _preview([], _writer(masked(report, mask), environ, options, repository), voice)
        return
    access = GitHubAccess.of(environ)
    report = masked(report, lambda text: access.hidden(mask(text)))
    writer = _writer(report, environ, options, access.repository)
    reconciler = Reconciler(Issues(Api(access, patience), options.label), writer, patience, voice)
    if options.dry_run:
        reconciler.preview()
        return
    tracked = reconciler.settle()
    still_open = sum(one.issue.is_open for one in tracked)
    voice.say(f"the issues match the report: {still_open or 'none'} open")
    if hook_url := _hook_url(environ):  # one of no use is said in every run, not in the first outage; after the issues
        reconciler.announce(slack.address(hook_url), tracked)


def _writer(report: Report, environ: Mapping[str, str], options: Options, repository: str) -> Writer:
    server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    return Writer(
        run=run_of(report, environ, options.last_good),
        policy=Policy(
            close_after=options.close_after,
            reopen_within=timedelta(seconds=options.reopen_within_s),
            tells=bool(_hook_url(environ)),
        ),
        site=f"{server}/{repository}" if re.fullmatch(r"https?://[\w.:-]+", server, re.ASCII) else "",
    )


def _hook_url(environ: Mapping[str, str]) -> str:
    return environ.get("SLACK_WEBHOOK_URL", "").strip()

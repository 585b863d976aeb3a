"""The plan: which issues to change after a run of checks. Nothing here calls GitHub."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from testbay.production.incidents.findings import CheckRun
from testbay.production.incidents.issues import Issue
from testbay.production.incidents.marker import ENDS, KINDS, MOST_UNTOLD, Kind, State, Turn

_MOST_NEW = 10  # causes of one kind in one run; more of them are joined into one incident, a storm

Verb = Literal["open", "reopen", "update", "close", "retire", "duplicate"]
_URGENCY: list[Verb] = ["open", "reopen", "update", "close", "retire", "duplicate"]  # what people wait for comes first


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The choices of a team. `tells` is whether Slack is told of incidents."""

    close_after: int = 2
    reopen_within: timedelta = timedelta(hours=24)
    tells: bool = False


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """An issue with the state of its incident."""

    issue: Issue
    state: State


@dataclass(frozen=True, kw_only=True)
class Action:
    """A change of one issue: its new state, and the issue as it was, or None for a new one."""

    verb: Verb
    state: State
    was: Tracked | None = None


def plan(tracked: Iterable[Tracked], run: CheckRun, policy: Policy) -> list[Action]:
    """List the changes that are due, the most urgent first; empty if the issues agree with the run.

    A plan may be carried out in part: the next plan continues from there.
    """
    ours = sorted((one for one in tracked if one.state.scope == run.scope), key=lambda one: one.issue.number)
    actions = [action for kind in KINDS for action in _plan_kind(kind, ours, run, policy)]
    return sorted(actions, key=lambda action: _URGENCY.index(action.verb))


def _plan_kind(kind: Kind, ours: Sequence[Tracked], run: CheckRun, policy: Policy) -> list[Action]:
    mine = [one for one in ours if one.state.kind == kind]
    kept, actions = _swept([one for one in mine if one.issue.is_open])
    closed = [one for one in mine if not one.issue.is_open and not one.state.duplicate_of]
    joined, fresh = _sorted(run.troubles(kind), kept, run.key(kind, "storm"))
    for one, state in kept:
        actions += _carried_on(one, state, joined.get(one.issue.number, []), run, policy)
    return actions + _begun(
        [_state(kind, key, checks, ours, run) for key, checks in fresh.items()], closed, run, policy
    )


def _state(kind: Kind, key: str, checks: list[str], ours: Sequence[Tracked], run: CheckRun) -> State:
    """Make the state of a new incident."""
    return State(
        scope=run.scope,
        kind=kind,
        key=key,
        checks=_union(checks),
        failing=_union(checks),
        started=run.started,
        seen=run.started,
        run=run.id,
        good_commit=_last_good(ours, run),
        bad_commit=run.report.commit,
        untold=("opened",),
    )


def _turned(state: State, turn: Turn, policy: Policy) -> State:
    """Add a turn to the untold ones. If Slack is not used, the end of an untold incident clears them."""
    if turn in ENDS and state.untold and not policy.tells:
        return replace(state, untold=())
    return replace(state, untold=(*state.untold, turn)[-MOST_UNTOLD:])


Kept = list[tuple[Tracked, State]]


def _swept(opened: Sequence[Tracked]) -> tuple[Kept, list[Action]]:
    """Close duplicates: return the issues that stay, with their merged states, and an action for each of the others.

    The lowest number stays, so that two runs that each opened one at the same time agree.
    """
    kept: Kept = []
    actions = []
    for one in opened:
        mine = one.state
        for index, (first, state) in enumerate(kept):
            if state.key == mine.key or set(state.checks) & set(mine.checks):
                taken = replace(state, checks=_union(state.checks, mine.checks))
                kept[index] = first, taken
                duplicate = replace(mine, duplicate_of=first.issue.number, untold=())
                actions.append(Action(verb="duplicate", state=duplicate, was=one))
                break
        else:
            kept.append((one, mine))
    return kept, actions


def _sorted(troubles: Mapping[str, str], kept: Kept, storm: str) -> tuple[dict[int, list[str]], dict[str, list[str]]]:
    """Group failing checks by the number of their issue, and those without an issue by the key of their cause.

    More than _MOST_NEW new causes at once become one: the storm.
    """
    joined: dict[int, list[str]] = {}
    fresh: dict[str, list[str]] = {}
    for check, key in troubles.items():
        if home := _home(check, key, kept):
            joined.setdefault(home, []).append(check)
        else:
            fresh.setdefault(key, []).append(check)
    if len(fresh) > _MOST_NEW:
        return _sorted({**troubles, **dict.fromkeys(itertools.chain(*fresh.values()), storm)}, kept, storm)
    return joined, fresh


def _home(check: str, key: str, kept: Kept) -> int:
    """Find the number of the issue that a failing check belongs to, or 0.

    An issue that has this check already comes before one with the same cause, as the message of one outage changes.
    """
    by_check = (one.issue.number for one, state in kept if check in state.checks)
    by_key = (one.issue.number for one, state in kept if key == state.key)
    return next(by_check, 0) or next(by_key, 0)


def _carried_on(one: Tracked, state: State, troubles: list[str], run: CheckRun, policy: Policy) -> list[Action]:
    """List the changes that an open issue needs; `state` is the one after duplicates were merged."""
    taken_over = [Action(verb="update", state=state, was=one)] if state != one.state else []
    if not run.is_news_to(state, one.issue.updated):
        return taken_over
    checks = run.still_known(_union(state.checks, troubles))
    if not checks:
        retired = _turned(replace(state, seen=run.started, run=run.id), "retired", policy)
        return [Action(verb="retire", state=retired, was=one)]
    if not run.covers(replace(state, checks=checks)):
        return taken_over
    failing = run.still_known(state.failing) or checks
    state = replace(state, checks=checks, failing=failing, seen=run.started, run=run.id)
    if troubles:
        good, bad = state.fixed_commit or state.good_commit, run.report.commit or state.bad_commit
        state = replace(state, failing=_union(troubles), good=(), recovered=None)
        state = replace(state, good_commit=good, bad_commit=bad, fixed_commit="")
    elif run.cleared(state):
        fixed, since = run.report.commit or state.fixed_commit, state.recovered or run.started
        state = replace(state, good=_union(state.good, [run.id]), recovered=since, fixed_commit=fixed)
        if len(state.good) >= policy.close_after:
            return [Action(verb="close", state=_turned(state, "closed", policy), was=one)]
    return [Action(verb="update", state=state, was=one)]


def _begun(states: Sequence[State], closed: Sequence[Tracked], run: CheckRun, policy: Policy) -> list[Action]:
    """Open an issue for each state, or reopen the last one about the same; skip what a newer run already closed."""
    actions: list[Action] = []
    again: dict[int, Action] = {}
    for state in states:
        past = [one for one in closed if one.state.key == state.key or set(one.state.checks) & set(state.checks)]
        if not all(run.is_news_to(one.state, one.issue.updated) for one in past):
            continue
        last = _latest(state, past)
        if last is None or not last.issue.closed_at or run.started - last.issue.closed_at > policy.reopen_within:
            actions.append(Action(verb="open", state=state))
            continue
        failing = state.failing  # and what fails in other words, where that was in the same issue
        if last.issue.number in again:
            failing = _union(failing, again[last.issue.number].state.failing)
        reopened = replace(state, key=last.state.key, checks=_union(last.state.checks, failing), failing=failing)
        reopened = _turned(replace(reopened, untold=last.state.untold), "reopened", policy)
        again[last.issue.number] = Action(verb="reopen", state=reopened, was=last)
    return [*actions, *again.values()]


def _latest(state: State, past: Sequence[Tracked]) -> Tracked | None:
    """Find the last closed issue that has the same cause or all of the checks."""
    same = [one for one in past if one.state.key == state.key or set(state.checks) <= set(one.state.checks)]
    return max(same, key=lambda one: one.state.seen, default=None)


def _last_good(ours: Sequence[Tracked], run: CheckRun) -> str:
    """Return the commit of the last good run: the caller's, else that of the incident fixed last."""
    known = [(one.state.seen, one.state.fixed_commit) for one in ours if one.state.fixed_commit]
    return run.last_good or max(known, default=(run.started, ""))[1]


def _union(*several: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for names in several for name in names}))

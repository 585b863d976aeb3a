"""The gate: waits until the expected build is running, so that checks do not pass on an old one."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from testbay.manifest.exchange import Exchange
from testbay.manifest.expressions.evaluate import NotMetError
from testbay.manifest.expressions.parse import condition
from testbay.manifest.rollout import Rollout, RolloutLookup
from testbay.manifest.targets import Live
from testbay.production.checks.client import client
from testbay.production.checks.context import CheckContext, FoundError, Passed, deadline
from testbay.production.checks.exchange import Response, exchange
from testbay.text import one_line, plural

_PATIENCE_S = 10.0
_IN_A_ROW = 3  # while a deploy replaces one instance after another, the old ones answer in turn with the new
_ABBREVIATED = "; one of them is abbreviated: both need all digits"
_SAME_LETTERS = "; they differ in white space or the case of letters alone"


async def wait(
    context: CheckContext,
    live: Live,
    progress: Callable[[str], None],
    *,
    must_know: bool,
    lookup: RolloutLookup | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Passed, int]:
    """Ask until the expected commit answers a few times in a row; return the finding and the number of attempts.

    `lookup` is called each time: what is deployed may change while we wait. It leaves the commit that we take for the
    expected one in `context`.

    Raises:
        FoundError: `stale` when another build still answers at the end, `fail` when none can be told, or when the
            expected one is lost. When it is unknown which one to expect: `error` if it `must_know`, else `skip`.
    """
    began = time.monotonic()
    attempts = 0
    served: Counter[str] = Counter()
    while True:
        attempts += 1
        rollout = await lookup() if lookup else Rollout(expected=context.expected_sha)
        try:
            answers = [await _counted(context, live, rollout, served) for _ in range(_IN_A_ROW)]
        except FoundError as error:
            found = error
        else:
            return _passed(context, answers[-1], rollout), attempts
        if not rollout.expected:
            why = f"which commit should answer is not known: {rollout.said or 'name it with --commit'}"
            said = f"{why}; {context.commit or 'no known one'} answers"
            raise FoundError("error" if must_know else "skip", said, rollout.evidence)
        evidence = [*found.evidence, *_in_turn(served), *_evidence(rollout)]
        if rollout.lost:
            raise FoundError("fail", rollout.lost, [found.said, *evidence])
        waited_s = time.monotonic() - began
        if waited_s + live.every > live.give_up or context.left_s < live.every:
            often = f"asked {attempts} times in {waited_s:.0f} s" if attempts > 1 else "asked once"
            raise FoundError(found.verdict, f"{found.said} ({often})", evidence)
        waiting = f"waiting for {rollout.expected[:12]}, {context.commit[:12] or 'no known build'} answers"
        waiting += _hint(context.commit, rollout.expected)
        if attempts == 1:  # a log without a terminal is not silent for minutes
            tell(context.masked(f"live: {waiting}; asking again for {min(live.give_up, context.left_s):.0f} s at most"))
        progress(context.masked("; ".join(filter(None, [f"{live.url}: {waiting}", rollout.said]))))
        await asyncio.sleep(live.every)


async def _counted(context: CheckContext, live: Live, rollout: Rollout, served: Counter[str]) -> Response:
    try:
        return await once(context, live, rollout)
    finally:
        served[context.commit] += 1


def _evidence(rollout: Rollout) -> list[str]:
    return [rollout.said, *rollout.evidence] if rollout.said else []


def _passed(context: CheckContext, answer: Response, rollout: Rollout) -> Passed:
    said = f"{answer.asked}: {context.commit or 'the expected commit'} answers"
    if context.expected_sha != rollout.expected:
        said += f", which is on its way there; {rollout.expected[:12]} came before it"
    return Passed(said=said, evidence=tuple(_evidence(rollout)))


async def once(context: CheckContext, live: Live, rollout: Rollout) -> Response:
    """Ask once which build is running; note its commit in `context.commit`.

    Raises:
        FoundError: Another build answers (`stale`), or none that tells its commit (`fail`).
    """
    context.commit, context.expected_sha = "", rollout.expected
    table = Exchange(get=live.url, follow=True)
    async with (
        deadline(f"GET {live.url}", _PATIENCE_S, context.deadline, host=context.host) as progress,
        # Without the cookies of the last time: by them a load balancer would lead to the same instance again.
        client(context.client.connector, direct=context.direct, owner=False) as own,
    ):
        asking = replace(context, client=own, cookies=set())
        answer = await exchange(asking, table, context.scope(), progress)
    values, why = answer.values, ""
    served = condition(live.expect).beside("expected_sha", context.names(**values))
    context.commit = one_line(served) if isinstance(served, str) else ""
    for commit in (*rollout.under_way, rollout.expected):
        context.expected_sha = commit
        try:
            condition(live.expect).require(context.names(**values))
        except NotMetError as error:
            why = str(error) if answer.status < 400 else f"status {answer.status}; {error}"
        else:
            return answer
    why += _hint(context.commit, rollout.expected)
    raise asking.without_cookies(FoundError("stale" if context.commit else "fail", why, [answer.line()]))


def _in_turn(served: Counter[str]) -> list[str]:
    """Say how often each build answered, if there were several: a load balancer leads to old and new ones."""
    if len(served) < 2:
        return []
    counts = ", ".join(
        f"{commit[:12] or 'no known build'} {plural(count, 'time')}" for commit, count in served.most_common(5)
    )
    return [f"answered in turn: {counts}"]


def _hint(*commits: str) -> str:
    """Say why two commits will never be equal, if so."""
    short, long = sorted(commits, key=len)
    if not short or short == long:
        return ""
    if short.strip().lower() == long.strip().lower():
        return _SAME_LETTERS
    return _ABBREVIATED if long.startswith(short) else ""

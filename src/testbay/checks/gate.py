"""The gate: does the build answer that should? Without that, a green check may speak of yesterday's."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from testbay import process
from testbay.checks.asking import Asking, FoundError, Passed, deadline, judge
from testbay.checks.conditions import condition
from testbay.checks.exchange import Answer, exchange
from testbay.checks.report import one_line
from testbay.checks.tables import Exchange, Live

_PATIENCE_S = 10.0


async def wait(asking: Asking, live: Live, progress: Callable[[str], None], *, must_know: bool) -> tuple[Passed, int]:
    """Ask until the expected commit answers; also how often it was asked.

    Raises:
        FoundError: `stale` when another build still answers at the end, `fail` when none can be told. When nobody
            said which one to expect: `error` if it `must_know`, else `skip`.
    """
    began = time.monotonic()
    attempts = 0
    while True:
        attempts += 1
        try:
            answer = await _once(asking, live)
        except FoundError as error:
            found = error
        else:
            return Passed(said=f"{answer.asked}: {asking.commit or 'the expected commit'} answers"), attempts
        if not asking.expected_sha:
            why = "which commit should answer is not known: --commit says it"
            raise FoundError("error" if must_know else "skip", f"{why}; {asking.commit or 'an unknown one'} does")
        waited_s = time.monotonic() - began
        if waited_s + live.every > live.give_up or asking.deadline - time.monotonic() < live.every:
            raise FoundError(
                found.verdict, f"{found.said} (asked {attempts} times in {waited_s:.0f} s)", found.evidence
            )
        progress(f"{live.url}: waiting for {asking.expected_sha[:12]}, {asking.commit[:12] or 'nothing'} answers")
        await asyncio.sleep(live.every)


async def _once(asking: Asking, live: Live) -> Answer:
    """One answer of the expected build; `asking.commit` is what answered."""
    asking.commit = ""
    table = Exchange(get=live.url, follow=True)
    async with deadline(f"GET {live.url}", _PATIENCE_S, asking.deadline):
        answer = await exchange(asking, table, asking.scope())
    values = asking.names(**answer.values)
    served = condition(live.expect).beside("expected_sha", values)
    asking.commit = one_line(served) if isinstance(served, str) else ""
    try:
        judge([live.expect], values, [answer.line()])
    except FoundError as error:
        raise FoundError("stale" if asking.commit else "fail", error.said, error.evidence) from None
    return answer


def head(root: Path, environ: Mapping[str, str]) -> str:
    """The commit of the checkout; empty where there is none."""
    try:
        done = process.run(["git", "rev-parse", "HEAD"], cwd=root, env=environ, timeout_s=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.out.strip() if done.code == 0 else ""

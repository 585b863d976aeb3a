"""An HTTP check: one request, every condition on its answer, and with `latency` a few more for the time it takes."""

import statistics

from testbay.checks.asking import Asking, FoundError, Passed, deadline, judge
from testbay.checks.exchange import Answer, exchange
from testbay.checks.tables import HttpCheck


async def ask(asking: Asking, check: HttpCheck, instance: str) -> Passed:
    """Ask and judge.

    Raises:
        FoundError: No answer, another answer, or one that took too long.
    """
    answer = await _once(asking, check, instance)
    latencies_s = [answer.elapsed_s]
    while check.latency and len(latencies_s) < check.latency.probes:
        answer = await _once(asking, check, instance)
        latencies_s.append(answer.elapsed_s)
    hard_ms = check.latency.hard_ms if check.latency else None
    median_ms = statistics.median(latencies_s) * 1000
    if hard_ms is not None and median_ms > hard_ms:
        said = f"{answer.asked}: median of {len(latencies_s)} is {median_ms:.0f} ms, more than hard_ms = {hard_ms:g}"
        raise FoundError("fail", said, latencies_s=latencies_s)
    return Passed(said=f"{answer.asked} → {answer.status}", latencies_s=tuple(latencies_s))


async def _once(asking: Asking, check: HttpCheck, instance: str) -> Answer:
    scope = asking.scope(each=instance)
    async with deadline(f"{check.method.upper()} {check.path}", check.timeout, asking.deadline):
        answer = await exchange(asking, check, scope)
    judge(check.expect, asking.names(**answer.values), [answer.line()])
    return answer

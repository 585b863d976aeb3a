"""The HTTP check: a request and its conditions; with `latency`, further requests for the response time."""

from testbay.manifest.checks import HttpCheck
from testbay.production.checks.context import CheckContext, Passed, deadline, judge
from testbay.production.checks.exchange import Response, exchange


async def ask(context: CheckContext, check: HttpCheck, instance: str) -> Passed:
    """Ask and judge.

    Raises:
        FoundError: No answer, or another answer.
    """
    answer = await _once(context, check, instance)
    latencies_s = [answer.elapsed_s]
    while check.latency and len(latencies_s) < check.latency.probes:
        answer = await _once(context, check, instance)
        latencies_s.append(answer.elapsed_s)
    return Passed(said=f"{answer.asked} → {answer.status}", latencies_s=tuple(latencies_s))


async def _once(context: CheckContext, check: HttpCheck, instance: str) -> Response:
    scope = context.scope(each=instance)
    about = f"{check.method.upper()} {check.path}"
    async with deadline(about, check.timeout, context.deadline, host=context.host) as progress:
        answer = await exchange(context, check, scope, progress)
    judge(check.expect, context.names(**answer.values), [answer.line()])
    return answer

"""The budget: a call that would pass a limit is never made."""

from typing import Any

from error_monitor.database import Database
from error_monitor.fixes.options import Budget
from error_monitor.fixes.records import RefusedError, Usage

_LOCK = 7_310_203_551_998_002  # two instances that reserve at once take turns


class Spending:
    """The spending of one fix. A call is booked at its worst before it is made; a crash leaves that booked."""

    def __init__(self, database: Database, budget: Budget, fix_id: int, most_out: int) -> None:
        self._database = database
        self._budget = budget
        self._fix_id = fix_id
        self._most_out = most_out

    async def reserve(self, tokens_in: int) -> int:
        """Book the next call; its number.

        Raises:
            RefusedError: A limit is reached; the reason names it.
        """
        worst = self._budget.usd(tokens_in, self._most_out)
        async with self._database.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            found = await connection.execute(
                """SELECT count(*) FILTER (WHERE at > now() - interval '1 hour') AS calls,
                       coalesce(sum(tokens_in + tokens_out), 0) AS tokens, coalesce(sum(usd), 0) AS usd,
                       coalesce(sum(tokens_in + tokens_out) FILTER (WHERE fix_id = %(fix)s), 0) AS fix_tokens,
                       coalesce(sum(usd) FILTER (WHERE fix_id = %(fix)s), 0) AS fix_usd
                   FROM error_monitor.fix_calls WHERE at > now() - interval '1 day'""",
                {"fix": self._fix_id},
            )
            row = await found.fetchone()
            assert row is not None
            if reason := exceeded(self._budget, row, tokens_in + self._most_out, worst):
                raise RefusedError(2, reason)
            made = await connection.execute(
                """INSERT INTO error_monitor.fix_calls (fix_id, tokens_in, tokens_out, usd) VALUES (%s, %s, %s, %s)
                   RETURNING call_id""",
                (self._fix_id, tokens_in, self._most_out, worst),
            )
            call = await made.fetchone()
        assert call is not None
        return int(call["call_id"])

    async def settle(self, call_id: int, usage: Usage) -> None:
        """Book what the call really took."""
        await self._database.execute(
            """UPDATE error_monitor.fix_calls SET tokens_in = %s, tokens_out = %s, usd = %s, is_settled = true
               WHERE call_id = %s""",
            (usage.tokens_in, usage.tokens_out, self._budget.usd(usage.tokens_in, usage.tokens_out), call_id),
        )


def exceeded(budget: Budget, spent: Any, tokens: int, usd: float) -> str:
    """The limit that one more call of so many tokens would pass, or nothing."""
    if spent["calls"] + 1 > budget.calls_per_hour:
        return f"the budget of {budget.calls_per_hour} calls in an hour is spent"
    if spent["tokens"] + tokens > budget.tokens_per_day:
        return f"the budget of {budget.tokens_per_day} tokens in a day does not cover another call"
    if spent["fix_tokens"] + tokens > budget.tokens_per_fix:
        return f"the budget of {budget.tokens_per_fix} tokens for a fix does not cover another call"
    if spent["usd"] + usd > budget.usd_per_day:
        return f"the budget of {budget.usd_per_day:g} USD in a day does not cover another call"
    if spent["fix_usd"] + usd > budget.usd_per_fix:
        return f"the budget of {budget.usd_per_fix:g} USD for a fix does not cover another call"
    return ""

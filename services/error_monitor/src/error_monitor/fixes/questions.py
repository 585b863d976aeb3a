"""The queries on the tables of fixes: for the ladder, the API and the page."""

from typing import Any

from psycopg.rows import DictRow

from error_monitor.database import Database
from error_monitor.fixes.options import Budget

_COLUMNS = """f.fix_id, f.fingerprint, f.repository, f.base_commit, f.trigger, f.is_dry, f.state, f.rung, f.reason,
    f.cause, f.confidence, f.test, f.patch, f.proof, f.branch, f.pull_number, f.pull_url, f.merge_commit, f.tries,
    f.created_at, f.updated_at, f.opened_at, f.merged_at, p.type, p.message, p.frame, p.category, p.severity"""
_SPENT = """coalesce((SELECT json_build_object('calls', count(*), 'tokens_in', sum(c.tokens_in), 'tokens_out',
    sum(c.tokens_out), 'usd', round(sum(c.usd)::numeric, 4)::float8) FROM error_monitor.fix_calls c
    WHERE c.fix_id = f.fix_id HAVING count(*) > 0),
    '{"calls": 0, "tokens_in": 0, "tokens_out": 0, "usd": 0}') AS spent"""
_FROM = "FROM error_monitor.fixes f JOIN error_monitor.patterns p USING (fingerprint)"


class FixQuestions:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fix(self, fix_id: int) -> dict[str, Any] | None:
        """One fix with what each rung said."""
        row = await self._database.fetch_one(
            f"SELECT {_COLUMNS}, {_SPENT} {_FROM} WHERE f.fix_id = %s",
            (fix_id,),
        )
        if row is None:
            return None
        steps = await self._database.fetch(
            "SELECT rung, is_passed, reason, at FROM error_monitor.fix_steps WHERE fix_id = %s ORDER BY step_id",
            (fix_id,),
        )
        return {**row, "steps": steps}

    async def fixes(self, limit: int, offset: int = 0, fingerprint: str | None = None) -> tuple[list[DictRow], int]:
        """The newest fixes, and how many there are."""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS}, {_SPENT}, count(*) OVER () AS total {_FROM}
                WHERE (%(fingerprint)s::text IS NULL OR f.fingerprint = %(fingerprint)s)
                ORDER BY f.fix_id DESC LIMIT %(limit)s OFFSET %(offset)s""",
            {"limit": limit, "offset": offset, "fingerprint": fingerprint},
        )
        total = rows[0]["total"] if rows else 0
        return [{name: value for name, value in row.items() if name != "total"} for row in rows], total

    async def newest_commit(self, fingerprint: str) -> tuple[str, str]:
        """The commit that was deployed last of one of the pattern's services, and the service."""
        row = await self._database.fetch_one(
            """SELECT d.commit, d.service FROM error_monitor.deploys d JOIN error_monitor.patterns p
                   ON d.service = ANY (p.services) WHERE p.fingerprint = %s ORDER BY d.deployed_at DESC LIMIT 1""",
            (fingerprint,),
        )
        return (row["commit"], row["service"]) if row else ("", "")

    async def earlier(self, fingerprint: str, commit: str) -> list[DictRow]:
        """The fixes that bar another one: those that live, and those tried at this commit."""
        return await self._database.fetch(
            """SELECT fix_id, state, rung, reason, is_dry, pull_number FROM error_monitor.fixes WHERE fingerprint = %s
               AND (state IN ('working', 'proven', 'opened', 'merged') OR base_commit = %s) ORDER BY fix_id DESC""",
            (fingerprint, commit),
        )

    async def living(self, fingerprint: str) -> int | None:
        """The number of the fix that is worked on, proven or open for a pattern; there is at most one."""
        row = await self._database.fetch_one(
            """SELECT fix_id FROM error_monitor.fixes WHERE fingerprint = %s
               AND state IN ('working', 'proven', 'opened')""",
            (fingerprint,),
        )
        return int(row["fix_id"]) if row else None

    async def candidates(self, rest_s: float, limit: int = 20) -> list[str]:
        """Patterns that are worth the first rung, the most severe and frequent first.

        One whose climb has just ended rests, or it would be climbed for in each turn, and no other one ever.
        """
        rows = await self._database.fetch(
            """SELECT fingerprint FROM error_monitor.patterns p WHERE fixable AND severity IN ('critical', 'high')
               AND state IN ('open', 'regressed') AND last_seen > now() - interval '7 days'
               AND NOT EXISTS (SELECT FROM error_monitor.fixes f JOIN error_monitor.fix_steps s USING (fix_id)
                   WHERE f.fingerprint = p.fingerprint AND f.state IN ('refused', 'interrupted') AND s.is_passed
                   AND f.updated_at > now() - make_interval(secs => %s))
               ORDER BY severity = 'critical' DESC, events DESC, fingerprint LIMIT %s""",
            (rest_s, limit),
        )
        return [row["fingerprint"] for row in rows]

    async def followed(self) -> list[DictRow]:
        """The fixes whose pull requests are open, or merged and not yet judged, or whose patterns were seen since.

        Of the latter a pattern's newest one: what was seen since an older one has been judged with those after it.
        """
        return await self._database.fetch(
            """SELECT f.fix_id, f.fingerprint, f.state, f.pull_number, f.merge_commit, f.merged_at, f.updated_at
               FROM error_monitor.fixes f JOIN error_monitor.patterns p USING (fingerprint)
               WHERE f.state IN ('opened', 'merged') OR (f.state = 'stopped' AND p.last_seen > f.updated_at
                   AND NOT EXISTS (SELECT FROM error_monitor.fixes newer
                       WHERE newer.fingerprint = f.fingerprint AND newer.merged_at > f.merged_at))
               ORDER BY f.fix_id LIMIT 100"""
        )

    async def deploys_since(self, fix_id: int) -> list[DictRow]:
        """The deploys of the pattern's services since the fix was merged, oldest first."""
        return await self._database.fetch(
            """SELECT d.commit, d.deployed_at FROM error_monitor.deploys d JOIN error_monitor.fixes f ON f.fix_id = %s
               JOIN error_monitor.patterns p ON p.fingerprint = f.fingerprint AND d.service = ANY (p.services)
               WHERE d.deployed_at >= f.merged_at ORDER BY d.deployed_at LIMIT 50""",
            (fix_id,),
        )

    async def events_since(self, fingerprint: str, moment: Any) -> int:
        """Count the pattern's events in the minutes after a moment."""
        row = await self._database.fetch_one(
            """SELECT coalesce(sum(events), 0)::bigint AS events FROM error_monitor.occurrences
               WHERE fingerprint = %s AND minute >= date_trunc('minute', %s::timestamptz) + interval '1 minute'""",
            (fingerprint, moment),
        )
        return int(row["events"]) if row else 0

    async def events_since_last_fix(self) -> int:
        """Count the events since the newest pull request was opened; all of them without one."""
        row = await self._database.fetch_one(
            """SELECT coalesce(sum(events), 0)::bigint AS events FROM error_monitor.occurrences
               WHERE minute > coalesce((SELECT max(opened_at) FROM error_monitor.fixes), '-infinity')"""
        )
        return int(row["events"]) if row else 0

    async def pulls_today(self) -> int:
        """Count the pull requests that were opened in the last 24 hours."""
        row = await self._database.fetch_one(
            "SELECT count(*) AS pulls FROM error_monitor.fixes WHERE opened_at > now() - interval '1 day'"
        )
        return int(row["pulls"]) if row else 0

    async def overview(self, budget: Budget) -> dict[str, Any]:
        """The budget, what was spent of it, and how good the fixes were."""
        spent = await self._database.fetch_one(
            """SELECT count(*) FILTER (WHERE at > now() - interval '1 hour') AS calls_last_hour,
                   coalesce(sum(tokens_in + tokens_out), 0)::bigint AS tokens_today,
                   round(coalesce(sum(usd), 0)::numeric, 4)::float8 AS usd_today
               FROM error_monitor.fix_calls WHERE at > now() - interval '1 day'"""
        )
        states = await self._database.fetch("SELECT state, count(*) AS fixes FROM error_monitor.fixes GROUP BY state")
        counts = {row["state"]: row["fixes"] for row in states}
        merged = sum(counts.get(one, 0) for one in ("merged", "stopped", "returned", "reverted"))
        judged = merged - counts.get("merged", 0)
        return {
            "budget": {**vars(budget), "pulls_today": await self.pulls_today(), **(spent or {})},
            "states": counts,
            "pull_requests": merged + counts.get("opened", 0) + counts.get("closed", 0),
            "merged": merged,
            "reverted": counts.get("reverted", 0),
            "stopped": counts.get("stopped", 0),
            "precision": round(counts.get("stopped", 0) / judged, 3) if judged else None,
        }

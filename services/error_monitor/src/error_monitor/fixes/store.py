"""The table of fixes: one live row per pattern, and a fence that every write of an owner proves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg import errors
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from error_monitor.database import Connection, Database
from error_monitor.fixes.records import Answer, Edit, Proof
from error_monitor.patterns.store import as_jsonb, storable

MOST_INTERRUPTED = 3


class FixLostError(Exception):
    """Another instance goes on with this fix; what this one still wanted to write was refused."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A fix and the fence with which this instance owns it."""

    fix_id: int
    fingerprint: str
    fence: int


class FixStore:
    """Every write of a fix."""

    def __init__(self, database: Database, instance: UUID, *, lease_s: float) -> None:
        self._database = database
        self._instance = instance
        self._lease_s = lease_s

    async def begin(
        self, fingerprint: str, repository: str, commit: str, trigger: str, *, is_dry: bool
    ) -> Owned | None:
        """Own a new fix; None while the pattern has a live one, or the repository another in work."""
        try:
            row = await self._database.fetch_one(
                """INSERT INTO error_monitor.fixes (fingerprint, repository, base_commit, trigger, is_dry, state, rung,
                       owner, fence, expires_at)
                   VALUES (%s, %s, %s, %s, %s, 'working', 1, %s, nextval('error_monitor.fix_fences'),
                       clock_timestamp() + make_interval(secs => %s)) RETURNING fix_id, fence""",
                (fingerprint, repository, commit, trigger, is_dry, self._instance, self._lease_s),
            )
        except errors.UniqueViolation:
            return None
        return Owned(fix_id=row["fix_id"], fingerprint=fingerprint, fence=row["fence"]) if row else None

    async def note_early(
        self, fingerprint: str, repository: str, commit: str, trigger: str, *, rung: int, reason: str, is_dry: bool
    ) -> int:
        """A refusal before any work: stored once, however often it is asked again; the fix's number."""
        last = await self._database.fetch_one(
            """SELECT fix_id, base_commit, state, rung, reason FROM error_monitor.fixes WHERE fingerprint = %s
               ORDER BY fix_id DESC LIMIT 1""",
            (fingerprint,),
        )
        if last and (last["base_commit"], last["state"], last["rung"], last["reason"]) == (
            commit,
            "refused",
            rung,
            reason,
        ):
            return int(last["fix_id"])
        row = await self._database.fetch_one(
            """WITH made AS (INSERT INTO error_monitor.fixes (fingerprint, repository, base_commit, trigger, is_dry,
                   state, rung, reason, fence, expires_at) VALUES (%(fingerprint)s, %(repository)s, %(commit)s,
                   %(trigger)s, %(is_dry)s, 'refused', %(rung)s, %(reason)s,
                   nextval('error_monitor.fix_fences'), now()) RETURNING fix_id)
               INSERT INTO error_monitor.fix_steps (fix_id, rung, is_passed, reason)
               SELECT fix_id, %(rung)s, false, %(reason)s FROM made RETURNING fix_id""",
            {"fingerprint": fingerprint, "repository": repository, "commit": commit, "trigger": trigger, "rung": rung,
             "reason": storable(reason)[:500], "is_dry": is_dry},
        )  # fmt: skip
        assert row is not None
        return int(row["fix_id"])

    async def take_over(self) -> Owned | None:
        """Own a fix whose owner is not heard of any more, or that waits for its next try."""
        row = await self._database.fetch_one(
            """UPDATE error_monitor.fixes SET owner = %s, fence = nextval('error_monitor.fix_fences'),
                   expires_at = clock_timestamp() + make_interval(secs => %s)
               WHERE fix_id = (SELECT fix_id FROM error_monitor.fixes WHERE state IN ('working', 'proven')
                   AND next_try_at <= clock_timestamp() AND (owner IS NULL OR expires_at < clock_timestamp())
                   ORDER BY fix_id LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING fix_id, fingerprint, fence""",
            (self._instance, self._lease_s),
        )
        return Owned(**row) if row else None

    async def hold(self, owned: Owned) -> None:
        """Keep it a while longer.

        Raises:
            FixLostError: Another instance has it.
        """
        changed = await self._database.execute(
            """UPDATE error_monitor.fixes SET expires_at = clock_timestamp() + make_interval(secs => %s)
               WHERE fix_id = %s AND fence = %s AND state IN ('working', 'proven')""",
            (self._lease_s, owned.fix_id, owned.fence),
        )
        if changed != 1:
            raise FixLostError(f"fix {owned.fix_id} has another owner")

    async def passed(self, owned: Owned, rung: int, reason: str) -> None:
        """A rung said yes."""
        await self._write(owned, rung, reason, "rung = %(rung)s", {}, is_passed=True)

    async def ended(self, owned: Owned, state: str, rung: int, reason: str, runs: Proof | None = None) -> None:
        """A rung said no, or the work broke off; the fix does not go on. The runs that a proof had are kept."""
        fields = {"state": state, "reason": storable(reason)[:500], "proof": _json(runs and runs.as_record())}
        changes = (
            "rung = %(rung)s, state = %(state)s, reason = %(reason)s, owner = NULL,"
            " proof = coalesce(%(proof)s::jsonb, proof)"
        )
        await self._write(owned, rung, reason, changes, fields, is_passed=False)

    async def answered(self, owned: Owned, answer: Answer) -> None:
        """The cause, and the test and the patch as they were given."""
        fields = {
            "cause": storable(answer.cause)[:4000],
            "confidence": answer.confidence,
            "test": _json(answer.test and asdict(answer.test)),
            "patch": _json([asdict(edit) for edit in answer.patch]),
        }
        changes = "cause = %(cause)s, confidence = %(confidence)s, test = %(test)s, patch = %(patch)s"
        await self._write(owned, 0, "", changes, fields, is_passed=True)

    async def proven(self, owned: Owned, proof: Proof, branch: str, *, is_dry: bool) -> None:
        """The proof; of a dry run that is the end."""
        state, runs = ("dry" if is_dry else "proven"), len(proof.runs)
        reason = f"red on the base with this pattern, green with the patch: {runs} runs in {proof.jail}"
        fields = {
            "proof": _json(proof.as_record()),
            "branch": branch,
            "state": state,
            "reason": "" if not is_dry else DRY,
        }
        changes = "rung = 5, proof = %(proof)s, branch = %(branch)s, state = %(state)s, reason = %(reason)s"
        await self._write(owned, 5, reason, changes, fields, is_passed=True)

    async def opened(self, owned: Owned, number: int, url: str) -> None:
        """The pull request is there."""
        fields = {"number": number, "url": storable(url)[:500]}
        changes = (
            "rung = 6, state = 'opened', reason = '', pull_number = %(number)s, pull_url = %(url)s, opened_at = now(),"
            " owner = NULL"
        )
        await self._write(owned, 6, f"draft pull request {number}", changes, fields, is_passed=True)

    async def later(self, owned: Owned, reason: str, pause_s: float) -> None:
        """Go on after a pause that doubles; another instance may then do it."""
        fields = {"reason": storable(reason)[:500], "pause": pause_s}
        changes = (
            "reason = %(reason)s, tries = tries + 1, owner = NULL,"
            " next_try_at = clock_timestamp()"
            " + make_interval(secs => least(3600, %(pause)s * power(2, least(tries, 10))))"
        )
        await self._write(owned, 0, "", changes, fields, is_passed=True)

    async def judged(self, fix_id: int, was: str, state: str, reason: str, merge_commit: str = "") -> None:
        """Record the end of a pull request; a row that has changed since is left alone."""
        async with self._database.pool.connection() as connection, connection.transaction():
            done = await connection.execute(
                """UPDATE error_monitor.fixes SET state = %(state)s, rung = 7, reason = %(reason)s, updated_at = now(),
                       merge_commit = coalesce(nullif(%(merge)s, ''), merge_commit),
                       merged_at = CASE WHEN %(state)s = 'merged' THEN now() ELSE merged_at END
                   WHERE fix_id = %(fix_id)s AND state = %(was)s""",
                {"state": state, "reason": reason, "fix_id": fix_id, "was": was, "merge": merge_commit},
            )
            if done.rowcount:
                await _step(connection, fix_id, 7, reason, is_passed=state in ("merged", "stopped"))
                await _marked(connection, fix_id, state)

    async def _write(
        self, owned: Owned, rung: int, reason: str, changes: str, fields: Mapping[str, Any], *, is_passed: bool
    ) -> None:
        """One change with its step, if the fence is still ours."""
        async with self._database.pool.connection() as connection, connection.transaction():
            # Of our own words only: what is stored travels as parameters.
            query = f"""UPDATE error_monitor.fixes SET {changes}, updated_at = now(),
                expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
                WHERE fix_id = %(fix_id)s AND fence = %(fence)s AND state IN ('working', 'proven')"""  # noqa: S608
            given = {**fields, "rung": rung, "lease": self._lease_s, "fix_id": owned.fix_id, "fence": owned.fence}
            done = await connection.execute(query.encode(), given)
            if done.rowcount != 1:
                raise FixLostError(f"fix {owned.fix_id} has another owner")
            if rung:
                await _step(connection, owned.fix_id, rung, reason, is_passed=is_passed)


DRY = "a dry run ends below the client for GitHub: AUTO_FIX_ENABLED is not true"


async def _marked(connection: Connection, fix_id: int, judgement: str) -> None:
    """Give the pattern of a judged fix its state; a person's `ignored` stays."""
    if state := {"stopped": "resolved", "returned": "regressed"}.get(judgement):
        await connection.execute(
            """UPDATE error_monitor.patterns SET state = %(state)s, state_since = now() WHERE state NOT IN ('ignored',
               %(state)s) AND fingerprint = (SELECT fingerprint FROM error_monitor.fixes WHERE fix_id = %(fix_id)s)""",
            {"state": state, "fix_id": fix_id},
        )


async def _step(connection: Connection, fix_id: int, rung: int, reason: str, *, is_passed: bool) -> None:
    await connection.execute(
        "INSERT INTO error_monitor.fix_steps (fix_id, rung, is_passed, reason) VALUES (%s, %s, %s, %s)",
        (fix_id, rung, is_passed, storable(reason)[:500]),
    )


def _json(value: Any) -> Jsonb | None:
    return None if value is None else as_jsonb(value)


def edits(row: DictRow) -> tuple[Edit | None, Sequence[Edit]]:
    """The test and the patch of a stored fix."""
    test = Edit(**row["test"]) if row["test"] else None
    return test, tuple(Edit(**one) for one in row["patch"] or [])

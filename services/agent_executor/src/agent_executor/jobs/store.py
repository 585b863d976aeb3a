"""Every statement about jobs and agents. What it promises holds between many processes, not only within one."""

# ruff: noqa: S608 -- the only text put into a statement is the two column lists below
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from agent_executor.database import Database
from agent_executor.records import Agent, AgentRequest, ExecuteData, Job

JOB = """job_id, trace_id, agent_id, state, agent_definition, input_payload, result, error, attempts,
    stream_sequence, created_at, started_at, finished_at, announced_at"""
AGENT = "agent_id, name, description, definition, created_at"


class Store:
    """The jobs and agents tables."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def _job(self, query: LiteralString, params: tuple[Any, ...] | dict[str, Any]) -> Job | None:
        row = await self._db.fetch_one(query, params)
        return Job.model_validate(row) if row else None

    async def get_job(self, job_id: str) -> Job | None:
        """One job, or None."""
        return await self._job(f"SELECT {JOB} FROM jobs WHERE job_id = %s", (job_id,))

    async def accept(self, data: ExecuteData, *, agent_id: UUID | None) -> tuple[Job, bool]:
        """Queue a task whose event is still to be sent; (the job, whether it is new).

        An agent that was deleted since it was read is not named: the job has its own copy of the definition.
        """
        row = await self._db.fetch_one(
            f"""INSERT INTO jobs (job_id, trace_id, agent_id, agent_definition, input_payload)
                VALUES (%s, %s, (SELECT agent_id FROM agents WHERE agent_id = %s FOR KEY SHARE), %s, %s)
                ON CONFLICT (job_id) DO NOTHING RETURNING {JOB}""",
            (data.job_id, data.trace_id, agent_id, Jsonb(data.agent_definition), Jsonb(data.input_payload)),
        )
        if row:
            return Job.model_validate(row), True
        known = await self.get_job(data.job_id)
        assert known is not None, "jobs are never deleted by the service"
        return known, False

    async def event_sent(self, job_id: str) -> None:
        """The execute event is in the stream; the sweeper need not send it."""
        await self._db.fetch("UPDATE jobs SET event_sent_at = now() WHERE job_id = %s RETURNING 1", (job_id,))

    async def register(self, data: ExecuteData, *, sequence: int) -> None:
        """Make sure an event's job has a row. The first event for a job_id decides what the job is."""
        await self._db.fetch(
            """INSERT INTO jobs (job_id, trace_id, agent_definition, input_payload, stream_sequence, event_sent_at)
               VALUES (%s, %s, %s, %s, %s, now())
               ON CONFLICT (job_id) DO UPDATE
                   SET stream_sequence = coalesce(jobs.stream_sequence, EXCLUDED.stream_sequence),
                       event_sent_at = coalesce(jobs.event_sent_at, now())
               RETURNING 1""",
            (data.job_id, data.trace_id, Jsonb(data.agent_definition), Jsonb(data.input_payload), sequence),
        )

    async def claim(self, job_id: str, *, owner: UUID, lease_s: float) -> Job | None:
        """Take the job's lease; None while another owner's lease holds or when the job is final."""
        return await self._job(
            f"""UPDATE jobs SET state = 'running', owner = %(owner)s,
                    lease_until = now() + make_interval(secs => %(lease)s),
                    attempts = attempts + (owner IS DISTINCT FROM %(owner)s)::int,
                    started_at = coalesce(started_at, now())
                WHERE job_id = %(job)s AND state IN ('queued', 'running')
                    AND (owner IS NULL OR owner = %(owner)s OR lease_until < now())
                RETURNING {JOB}""",
            {"job": job_id, "owner": owner, "lease": lease_s},
        )

    async def renew(self, job_id: str, *, owner: UUID, lease_s: float) -> bool:
        """Keep the lease; False when somebody else has it now."""
        row = await self._db.fetch_one(
            """UPDATE jobs SET lease_until = now() + make_interval(secs => %s)
               WHERE job_id = %s AND owner = %s AND state = 'running' RETURNING 1 AS one""",
            (lease_s, job_id, owner),
        )
        return row is not None

    async def release(self, job_id: str, *, owner: UUID) -> None:
        """Give the lease back so that the next delivery can start at once."""
        await self._db.fetch(
            """UPDATE jobs SET owner = NULL, lease_until = NULL
               WHERE job_id = %s AND owner = %s AND state = 'running' RETURNING 1""",
            (job_id, owner),
        )

    async def finish(
        self, job_id: str, *, owner: UUID, result: dict[str, Any] | None, error: dict[str, Any] | None
    ) -> Job | None:
        """Make the job final, once: None unless `owner` still holds its lease."""
        return await self._job(
            f"""UPDATE jobs SET state = %s, result = %s, error = %s, finished_at = now(),
                    owner = NULL, lease_until = NULL
                WHERE job_id = %s AND owner = %s AND state = 'running' RETURNING {JOB}""",
            ("failed" if error else "completed", result and Jsonb(result), error and Jsonb(error), job_id, owner),
        )

    async def refuse(self, job_id: str, trace_id: str, error: dict[str, Any], *, sequence: int) -> Job | None:
        """Record the failed job of an invalid event; None when the job_id belongs to another message."""
        return await self._job(
            f"""INSERT INTO jobs (job_id, trace_id, state, agent_definition, input_payload, error,
                    stream_sequence, event_sent_at, finished_at)
                VALUES (%s, %s, 'failed', '{{}}', '{{}}', %s, %s, now(), now())
                ON CONFLICT (job_id) DO UPDATE SET stream_sequence = EXCLUDED.stream_sequence
                    WHERE jobs.stream_sequence = EXCLUDED.stream_sequence
                RETURNING {JOB}""",
            (job_id, trace_id, Jsonb(error), sequence),
        )

    async def announced(self, job_id: str) -> None:
        """The final event is in the status stream."""
        await self._db.fetch("UPDATE jobs SET announced_at = now() WHERE job_id = %s RETURNING 1", (job_id,))

    async def unsent(self, *, older_than_s: float) -> list[Job]:
        """Accepted tasks whose event never reached the stream."""
        rows = await self._db.fetch(
            f"""SELECT {JOB} FROM jobs WHERE event_sent_at IS NULL AND state = 'queued'
                AND created_at < now() - make_interval(secs => %s) ORDER BY created_at LIMIT 100""",
            (older_than_s,),
        )
        return [Job.model_validate(row) for row in rows]

    async def unannounced(self, *, older_than_s: float) -> list[Job]:
        """Final jobs whose final event never reached the stream."""
        rows = await self._db.fetch(
            f"""SELECT {JOB} FROM jobs WHERE finished_at IS NOT NULL AND announced_at IS NULL
                AND finished_at < now() - make_interval(secs => %s) ORDER BY finished_at LIMIT 100""",
            (older_than_s,),
        )
        return [Job.model_validate(row) for row in rows]

    async def job_numbers(self) -> dict[str, Any]:
        """Jobs by state, and the durations of the most recent thousand finished ones."""
        states = await self._db.fetch("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
        durations = await self._db.fetch_one(
            """SELECT count(*) AS jobs,
                   coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), 0)::float AS p50,
                   coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds), 0)::float AS p95
               FROM (SELECT extract(epoch FROM finished_at - started_at) AS seconds FROM jobs
                     WHERE finished_at IS NOT NULL AND started_at IS NOT NULL
                     ORDER BY finished_at DESC LIMIT 1000) AS recent"""
        )
        by_state = dict.fromkeys(("queued", "running", "completed", "failed"), 0)
        return {
            "jobs": by_state | {row["state"]: row["jobs"] for row in states},
            "durations_s": durations,
        }

    async def add_agent(self, request: AgentRequest) -> Agent | None:
        """Store an agent; None when the name is taken."""
        row = await self._db.fetch_one(
            f"""INSERT INTO agents (name, description, definition) VALUES (%s, %s, %s)
                ON CONFLICT (name) DO NOTHING RETURNING {AGENT}""",
            (request.name, request.description, Jsonb(request.definition)),
        )
        return Agent.model_validate(row) if row else None

    async def get_agent(self, agent_id: UUID) -> Agent | None:
        """One agent, or None."""
        row = await self._db.fetch_one(f"SELECT {AGENT} FROM agents WHERE agent_id = %s", (agent_id,))
        return Agent.model_validate(row) if row else None

    async def delete_agent(self, agent_id: UUID) -> bool:
        """Return whether there was one."""
        row = await self._db.fetch_one("DELETE FROM agents WHERE agent_id = %s RETURNING agent_id", (agent_id,))
        return row is not None

    async def list_agents(self, *, limit: int, offset: int) -> tuple[list[Agent], int]:
        """One page, newest first, and how many there are."""
        rows = await self._db.fetch(
            f"SELECT {AGENT} FROM agents ORDER BY created_at DESC, agent_id LIMIT %s OFFSET %s", (limit, offset)
        )
        total = await self._db.fetch_one("SELECT count(*) AS agents FROM agents")
        return [Agent.model_validate(row) for row in rows], total["agents"] if total else 0

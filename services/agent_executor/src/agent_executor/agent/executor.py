"""Run one job: build its graph, continue from its checkpoint, stream what happens, return the result."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.errors import GraphRecursionError

from agent_executor import jsonsafe
from agent_executor.agent import definition, graph
from agent_executor.agent.llm import Model
from agent_executor.database import Database
from agent_executor.errors import JobFailedError
from agent_executor.messaging.progress import Progress, event
from agent_executor.records import Job

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow
    from psycopg_pool import AsyncConnectionPool

# Well below NATS' 1 MiB payload limit: a result that cannot be published must not be stored as one.
MAX_RESULT_BYTES = 512 * 1024

log = structlog.get_logger(__name__)


class Executor:
    """Runs jobs; knows nothing of messages, leases or final events."""

    def __init__(self, database: Database, progress: Progress, model: Model, *, timeout_s: float) -> None:
        self._database = database
        self._progress = progress
        self._model = model
        self._timeout_s = timeout_s

    async def run(self, job: Job) -> dict[str, Any]:
        """The job's result; JobFailedError when the job is at fault, anything else when the world is."""
        agent = definition.parse(job.agent_definition)
        # One saver per run: a saver serialises its statements with a lock, which jobs should not share.
        saver = AsyncPostgresSaver(cast("AsyncConnectionPool[AsyncConnection[DictRow]]", self._database.pool))
        compiled = graph.build(agent, self._model, saver)
        config: RunnableConfig = {"configurable": {"thread_id": job.job_id}, "recursion_limit": agent.max_steps}
        timeout_s = min(agent.timeout_s or self._timeout_s, self._timeout_s)
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                await self._run_to_end(job, compiled, config)
                state = await compiled.aget_state(config)
        except GraphRecursionError:
            raise JobFailedError("too_many_steps", f"the agent did not end within {agent.max_steps} steps") from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise JobFailedError("timeout", f"the job took longer than {timeout_s:g} s") from None
        return _result(agent, state.values)

    async def _run_to_end(self, job: Job, compiled: graph.Graph, config: RunnableConfig) -> None:
        before = await compiled.aget_state(config)
        resumed = before.created_at is not None
        await self._emit(job, "job_started", {"attempt": job.attempts, "resumed": resumed})
        if resumed and not before.next:
            return  # the crash came after the last step, before the row said so
        start: Any = None if resumed else {"_input": job.input_payload, "_outputs": {}, "_last": ""}
        # "sync": a step's checkpoint is stored before the next step begins, so none runs twice after a crash.
        steps = compiled.astream(start, config, stream_mode=["tasks", "custom"], durability="sync")
        async for mode, payload in steps:
            await self._emit(job, *_progress(str(mode), payload))

    async def _emit(self, job: Job, kind: str, data: dict[str, Any]) -> None:
        await self._progress.publish(job.job_id, event(job, kind, data))


def _progress(mode: str, payload: Any) -> tuple[str, dict[str, Any]]:
    """LangGraph's stream part as our event."""
    if mode == "custom":
        return payload["event"], {key: value for key, value in payload.items() if key != "event"}
    if "triggers" in payload:
        return "node_started", {"node": payload["name"]}
    if payload["error"]:
        return "node_failed", {"node": payload["name"], "error": str(payload["error"])}
    return "node_finished", {"node": payload["name"], "output": dict(payload["result"])["_outputs"][payload["name"]]}


def _result(agent: definition.AgentDefinition, values: dict[str, Any]) -> dict[str, Any]:
    outputs = values["_outputs"]
    result = {"output": outputs.get(agent.output or values["_last"]), "outputs": outputs}
    size = len(jsonsafe.dumps(result))
    if size > MAX_RESULT_BYTES:
        raise JobFailedError("result_too_large", f"the result has {size} bytes, more than {MAX_RESULT_BYTES}")
    return result

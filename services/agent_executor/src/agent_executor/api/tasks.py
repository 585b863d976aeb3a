"""Jobs: hand one in, ask how it goes, watch it."""

import asyncio
import re
from contextlib import aclosing

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from agent_executor import jsonsafe
from agent_executor.agent import definition
from agent_executor.api.context import Context
from agent_executor.errors import ApiError
from agent_executor.messaging.progress import end_event
from agent_executor.outages import BROKER_AWAY, DATABASE_AWAY
from agent_executor.records import ID_PATTERN, ExecuteData, Job, JobId, JobView, TaskAccepted, TaskRequest
from agent_executor.tasks import end
from agent_executor.wiring import Wiring

UNKNOWN_JOB = 4404
TRY_AGAIN_LATER = 1013

router = APIRouter(prefix="/api/tasks", tags=["tasks"])
log = structlog.get_logger(__name__)


@router.post("", status_code=202)
async def add_task(request: TaskRequest, services: Context) -> TaskAccepted:
    """Accept a job and publish its execute event. The same job_id again is answered, not run again."""
    data = await _execute_data(request, services)
    definition.parse(data.agent_definition)
    job, created = await services.store.accept(data, agent_id=request.agent_id)
    if created:
        await _send_event(job, services)
    elif (job.agent_definition, job.input_payload) != (data.agent_definition, data.input_payload):
        message = f"job '{job.job_id}' exists already and is a different one"
        raise ApiError(409, "job_id_taken", message, job_id=job.job_id)
    url = f"/api/tasks/{job.job_id}"
    return TaskAccepted(
        job_id=job.job_id,
        trace_id=job.trace_id,
        state=job.state,
        created=created,
        status_url=url,
        stream_url=f"{url}/stream",
    )


@router.get("/{job_id}", response_model=JobView)
async def get_task(job_id: JobId, services: Context) -> Job:
    """A job's state and, once it is final, its result or error."""
    job = await services.store.get_job(job_id)
    if job is None:
        raise ApiError(404, "job_not_found", f"there is no job '{job_id}'", job_id=job_id)
    return job


@router.websocket("/{job_id}/stream")
async def stream_task(websocket: WebSocket, job_id: str, services: Context) -> None:
    """The job's events as they happen, ending with `end`; a finished job has only that one."""
    await websocket.accept()
    sending = asyncio.create_task(_send_events(websocket, job_id, services))
    leaving = asyncio.create_task(_wait_for_disconnect(websocket))
    try:
        await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(sending, leaving)
    if not sending.cancelled() and (exc := sending.exception()) is not None:
        log.warning("stream_ended_early", job_id=job_id, error=repr(exc))


async def _execute_data(request: TaskRequest, services: Wiring) -> ExecuteData:
    agent_definition = request.agent_definition
    if request.agent_id is not None:
        agent = await services.store.get_agent(request.agent_id)
        if agent is None:
            raise ApiError(404, "agent_not_found", f"there is no agent {request.agent_id}")
        agent_definition = agent.definition
    data = ExecuteData(
        job_id=request.job_id,
        trace_id=request.trace_id,
        agent_definition=agent_definition or {},
        input_payload=request.input_payload,
    )
    # What the consumer would refuse must not be accepted here; the margin is for the event's own attributes.
    limit = services.settings.max_event_bytes - 1024
    if len(jsonsafe.dumps(data.model_dump())) > limit:
        raise ApiError(413, "too_large", f"the task is larger than {limit} bytes")
    return data


async def _send_event(job: Job, services: Wiring) -> None:
    try:
        await services.bus.send_execute(job)
        await services.store.event_sent(job.job_id)
    except (*BROKER_AWAY, *DATABASE_AWAY) as exc:
        # Accepted is accepted: the row is there, and the sweeper sends its event when the broker is back.
        log.warning("event_will_be_sent_later", job_id=job.job_id, error=f"{type(exc).__name__}: {exc}")


async def _wait_for_disconnect(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.receive_bytes()
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return  # gone, or not speaking the protocol; either way there is nobody to send to


async def _send_events(websocket: WebSocket, job_id: str, services: Wiring) -> None:
    try:
        if not re.fullmatch(ID_PATTERN, job_id) or await services.store.get_job(job_id) is None:
            await websocket.close(UNKNOWN_JOB, f"there is no job '{job_id[:64]}'")
            return
        async with aclosing(services.progress.follow(job_id)) as messages:
            async for message in messages:
                text = await _end_if_final(job_id, services) if message is None else message.decode()
                if text is not None:
                    await websocket.send_text(text)
                    if jsonsafe.loads(text.encode())["event"] == "end":
                        break
        await websocket.close()
    except DATABASE_AWAY:
        await websocket.close(TRY_AGAIN_LATER, "the database does not answer")


async def _end_if_final(job_id: str, services: Wiring) -> str | None:
    job = await services.store.get_job(job_id)
    return jsonsafe.dumps(end_event(job)).decode() if job is not None and job.is_final else None

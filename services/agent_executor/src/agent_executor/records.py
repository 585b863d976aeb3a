"""The records that cross the service's borders: the event's data, requests, and the jobs row."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from agent_executor import jsonsafe

# A job_id becomes a NATS subject token, a channel name and a thread_id, so it must not need quoting in any.
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
JobId = Annotated[str, Field(pattern=ID_PATTERN)]
TraceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(jsonsafe.storable)]
FINAL_STATES = ("completed", "failed")


def new_id() -> str:
    """A fresh job_id or trace_id."""
    return str(uuid4())


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExecuteData(Strict):
    """The data of a `dev.my-platform.agent.execute` event."""

    job_id: JobId
    trace_id: TraceId
    agent_definition: JsonObject
    input_payload: JsonObject


class AgentRequest(Strict):
    """An agent definition to store under a name."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    description: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    definition: JsonObject


class TaskRequest(Strict):
    """A job to run: either a stored agent or a definition of its own."""

    job_id: JobId = Field(default_factory=new_id)
    trace_id: TraceId = Field(default_factory=new_id)
    agent_id: UUID | None = None
    agent_definition: JsonObject | None = None
    input_payload: JsonObject = {}

    @model_validator(mode="after")
    def _one_source(self) -> "TaskRequest":
        if (self.agent_id is None) == (self.agent_definition is None):
            raise ValueError("exactly one of agent_id and agent_definition is needed")
        return self


class Agent(BaseModel):
    """A stored agent definition."""

    agent_id: UUID
    name: str
    description: str
    definition: dict[str, Any]
    created_at: datetime


class AgentPage(BaseModel):
    """One page of agents, newest first."""

    items: list[Agent]
    total: int
    limit: int
    offset: int


class TaskAccepted(BaseModel):
    """The answer to POST /api/tasks; `created` is false when the job_id was known already."""

    job_id: str
    trace_id: str
    state: str
    created: bool
    status_url: str
    stream_url: str


class JobView(BaseModel):
    """The answer to GET /api/tasks/{job_id}."""

    job_id: str
    trace_id: str
    agent_id: UUID | None
    state: str
    attempts: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Job(JobView):
    """A jobs row."""

    agent_definition: dict[str, Any]
    input_payload: dict[str, Any]
    stream_sequence: int | None
    announced_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Return whether the outcome can change no more."""
        return self.state in FINAL_STATES

    def outcome(self) -> dict[str, Any]:
        """The end of the job, as its last stream event and its status event tell it."""
        return {"state": self.state, "result": self.result, "error": self.error}

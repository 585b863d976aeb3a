"""The ways a job or a request can be refused; each has a stable code that callers may switch on."""

from typing import Any


class ServiceError(Exception):
    """Something we can explain: a code for programs, a message for people, details for both."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """The one shape an error has in every event, row and response."""
        return {"code": self.code, "message": self.message, "details": self.details}


class InvalidEventError(ServiceError):
    """A message no retry can turn into a job. `job_id` and `trace_id` are set when they could be read."""

    def __init__(self, message: str, *, job_id: str | None = None, trace_id: str | None = None, **details: Any) -> None:
        super().__init__("invalid_event", message, **details)
        self.job_id = job_id
        self.trace_id = trace_id


class JobFailedError(ServiceError):
    """The job itself is at fault; running it again would end the same way."""


class DefinitionRefusedError(JobFailedError):
    """An agent definition that cannot be built; `details.problems` lists everything wrong with it."""

    def __init__(self, problems: list[dict[str, str]]) -> None:
        first = problems[0]["message"]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__("definition_refused", f"the agent definition was refused: {first}{more}", problems=problems)


class ApiError(ServiceError):
    """A request we answer with an error status."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(code, message, **details)
        self.status = status

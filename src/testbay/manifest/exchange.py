"""The tables of a request and of a WebSocket message, for checks and steps of journeys."""

from typing import Any

from pydantic import Field, model_validator

from testbay.manifest.checkbase import check_names, check_placeholders
from testbay.manifest.fields import Condition, Duration, Table

METHODS = ("get", "head", "post", "put", "patch", "delete")
READS = ("get", "head")

_OF_THE_WAY = {"response_ms", "ip", "certificate"}
HTTP_NAMES = frozenset({"status", "json", "headers", "text", "elapsed_ms", "expected_sha", "run", *_OF_THE_WAY})
MESSAGE_NAMES = frozenset({"message", "json", "binary", "size", "elapsed_ms", "expected_sha", "run"})


class Exchange(Table):
    """One HTTP request, and the conditions on its answer."""

    get: str | None = None
    head: str | None = None
    post: str | None = None
    put: str | None = None
    patch: str | None = None
    delete: str | None = None
    body: Any = Field(default=None, alias="json")
    form: dict[str, str] = {}
    files: dict[str, str] = {}
    headers: dict[str, str] = {}
    follow: bool = False
    expect: list[Condition] = []

    @property
    def method(self) -> str:
        """The HTTP method in lower case; empty if the table has none."""
        return next((name for name in METHODS if getattr(self, name) is not None), "")

    @property
    def path(self) -> str:
        """The path of the request, with its placeholders."""
        return getattr(self, self.method) if self.method else ""

    @property
    def has_json(self) -> bool:
        """Return whether the table has a JSON body; it may be null."""
        return "body" in self.model_fields_set

    @model_validator(mode="after")
    def _sends_one_thing(self) -> "Exchange":
        if sum(getattr(self, name) is not None for name in METHODS) > 1:
            raise ValueError(f"more than one of {', '.join(METHODS)}")
        if self.has_json and (self.form or self.files):
            raise ValueError("json excludes form and files: a request has one body")
        if self.method in READS and (self.has_json or self.form or self.files):
            raise ValueError(f"{self.method} has no body")
        return self

    @property
    def sent(self) -> list[Any]:
        """Everything in which placeholders may occur."""
        return [self.path, self.body, self.form, self.files, self.headers]


class Message(Table):
    """A text or a table to send, or a message to wait for; with `until`, the first one that meets the conditions."""

    send: Any = None
    recv: Duration | None = None
    until: list[Condition] = []
    expect: list[Condition] = []

    @model_validator(mode="after")
    def _does_one_thing(self) -> "Message":
        if (self.send is None) == (self.recv is None):
            raise ValueError("either send or recv")
        if self.send is not None and (self.expect or self.until):
            raise ValueError("nothing can be expected of what is sent: expect belongs to recv")
        return self


def check_messages(steps: list[Message], known: list[str]) -> None:
    """Raise ValueError unless every name that a conversation uses is known."""
    for step in steps:
        check_placeholders(step.send, known)
        check_names([*step.until, *step.expect], MESSAGE_NAMES | (set(known) - {"each"}))


def check_paths(paths: list[str], each: list[str]) -> None:
    """Raise ValueError for an address of another host: a check's secrets are for its target alone."""
    for path in paths:
        starts = each if path.startswith("{" + "each}") else [path]
        if not all(start.startswith("/") for start in starts):
            raise ValueError(f"{path!r} is not a path on the target: it starts with /")

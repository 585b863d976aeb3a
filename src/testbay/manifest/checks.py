"""The manifest's tables `[defaults]`, `[target.NAME]`, `[watch]` and `[[check]]`, validated before anything runs."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from testbay.manifest import shapes
from testbay.manifest.checkbase import (
    CheckBase,
    Every,
    Phase,
    check_names,
    check_placeholders,
    refuse,
)
from testbay.manifest.exchange import (
    HTTP_NAMES,
    MESSAGE_NAMES,
    METHODS,
    READS,
    Exchange,
    Message,
    check_messages,
    check_paths,
)
from testbay.manifest.expressions import parse
from testbay.manifest.fields import CaptureName, Condition, Duration, Instances, Share, Table, Value
from testbay.manifest.probes import PROBES, Probe
from testbay.manifest.targets import Target
from testbay.manifest.watching import Watching
from testbay.text import nearest

CONTAINER_NAMES = frozenset({"name", "status", "health", "restarts", "oom_killed", "exit_code"})


class Latency(Table):
    """The judgement of response times: the number of requests, and the limits."""

    probes: int = Field(default=10, ge=1, le=200)
    slower_than: Share | None = None
    hard_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False, strict=False)


class HttpCheck(CheckBase, Exchange):
    """A check of one HTTP request: its answer, and its response time."""

    kind: Literal["http"]
    each: Instances = []
    latency: Latency | None = None

    @model_validator(mode="after")
    def _complete(self) -> "HttpCheck":
        if not self.method:
            raise ValueError(f"one of {', '.join(METHODS)} is missing")
        if not self.expect:
            raise ValueError("expect is missing: what makes it pass?")
        check_paths([self.path], self.each)
        check_placeholders(self.sent, ["each"] * bool(self.each))
        check_names(self.expect, HTTP_NAMES)
        if self.method not in READS:
            _check_writes(self, f"it says {self.method}")
            if self.latency:
                raise ValueError(f"latency asks again and again, which {self.method} must not")
        return self


class WebSocketCheck(CheckBase):
    """A check of a conversation on a WebSocket. With `close`, the server must end it with this code."""

    kind: Literal["websocket"]
    url: str
    each: Instances = []
    headers: dict[str, str] = {}
    subprotocols: list[str] = []
    steps: list[Message] = []
    close: int | None = Field(default=None, ge=1000, le=4999)

    @model_validator(mode="after")
    def _complete(self) -> "WebSocketCheck":
        known = ["each"] * bool(self.each)
        check_paths([self.url], self.each)
        check_placeholders([self.url, self.headers], known)
        check_messages(self.steps, known)
        return self


class EnvCheck(CheckBase):
    """A check of variables in the file `source` or in the environment: that they are set and well-formed."""

    usual: ClassVar[list[Phase]] = ["pre-deploy"]
    kind: Literal["env"]
    attempts: int = Field(default=1, ge=1, le=10)
    source: str | None = None
    required: list[str] = []
    forbid: list[Annotated[str, Field(min_length=1)]] = []
    shape: dict[str, Annotated[str, AfterValidator(shapes.shape)]] = {}
    same_keys_as: str | None = None

    @model_validator(mode="after")
    def _looks_at_something(self) -> "EnvCheck":
        if not (self.required or self.shape or self.same_keys_as):
            raise ValueError("one of required, shape, same_keys_as is missing: what makes it pass?")
        if self.same_keys_as and not self.source:
            raise ValueError("same_keys_as compares two files, and source is missing")
        return self


class ContainerCheck(CheckBase):
    """A check of containers, by name or as the services of a compose project."""

    usual: ClassVar[list[Phase]] = ["pre-deploy"]
    kind: Literal["container"]
    containers: list[str] = []
    compose: str | None = None
    project: str | None = None
    services: list[str] = []
    expect: list[Condition] = ["status == 'running'", "health == 'healthy'", "restarts == 0", "not oom_killed"]
    no_healthcheck: Literal["fail", "accept"] = "fail"

    @model_validator(mode="after")
    def _names_them(self) -> "ContainerCheck":
        if bool(self.containers) == bool(self.compose):
            raise ValueError("either containers, by name, or compose, a file, with its services")
        if bool(self.compose) != bool(self.services):
            raise ValueError("compose and services belong together")
        check_names(self.expect, CONTAINER_NAMES)
        return self


class Step(Exchange):
    """A step of a journey: a request or a WebSocket conversation, and the values that it captures for later steps."""

    websocket: str | None = None
    steps: list[Message] = []
    close: int | None = Field(default=None, ge=1000, le=4999)
    capture: dict[CaptureName, Value] = {}
    capture_secret: dict[CaptureName, Value] = {}

    @property
    def captured(self) -> list[str]:
        return [*self.capture, *self.capture_secret]

    def check(self, known: list[str]) -> None:
        """Raise ValueError unless the step is consistent and uses only known names."""
        if bool(self.method) == bool(self.websocket):
            raise ValueError(f"one of {', '.join(METHODS)}, websocket")
        if self.method and not self.expect:
            raise ValueError("expect is missing: what makes it pass?")
        if self.websocket and (self.expect or not self.steps):
            raise ValueError("a websocket has steps, and expect belongs to one with recv")
        if self.method and (self.steps or self.close):
            raise ValueError(f"steps and close belong to websocket, not to {self.method}")
        check_paths([self.path or self.websocket or ""], [])
        check_placeholders([*self.sent, self.websocket], known)
        check_messages(self.steps, known)
        names = (HTTP_NAMES if self.method else MESSAGE_NAMES) | set(known)
        check_names(self.expect, names)
        for text in (*self.capture.values(), *self.capture_secret.values()):
            refuse(parse.unknown(parse.expression(text), names))
        for name in self.captured:
            if name in {"each", *HTTP_NAMES, *MESSAGE_NAMES}:
                raise ValueError(f"capture {name!r}: that name means something already")


class JourneyCheck(CheckBase):
    """A check of several steps in order; a step can use what earlier ones captured. The cleanup always runs."""

    kind: Literal["journey"]
    timeout: Duration = 60.0
    attempts: int = Field(default=1, ge=1, le=10)
    step: list[Step] = Field(min_length=1)
    cleanup: list[Step] = []

    @model_validator(mode="after")
    def _complete(self) -> "JourneyCheck":
        known: list[str] = []
        for part in ("step", "cleanup"):
            for number, step in enumerate(getattr(self, part), 1):
                try:
                    step.check(known)
                except ValueError as error:
                    raise ValueError(f"{part} {number}: {error}") from None
                known += step.captured
        writes = [step.method for step in (*self.step, *self.cleanup) if step.method not in ("", *READS)]
        if writes:
            _check_writes(self, f"it says {writes[0]}")
        return self


Check = Annotated[
    HttpCheck | WebSocketCheck | EnvCheck | ContainerCheck | JourneyCheck | Probe,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[CheckBase]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind
    for kind in (HttpCheck, WebSocketCheck, EnvCheck, ContainerCheck, JourneyCheck, *PROBES)
}


class Defaults(Table):
    """The defaults for checks of all kinds."""

    timeout: Duration | None = None
    attempts: int | None = Field(default=None, ge=1, le=10)
    every: Every | None = None
    phases: list[Phase] = Field(default=[], min_length=1)


class CheckTables(Table):
    """The tables of a manifest that concern checks."""

    defaults: Defaults = Defaults()  # before the checks, so that its errors are reported as its own
    target: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], Target] = {}
    watch: Watching = Watching()
    check: list[Check] = []

    @model_validator(mode="before")
    @classmethod
    def _has_its_defaults(cls, found: dict[str, Any]) -> dict[str, Any]:
        """Fill the defaults into the checks; tables of a wrong type are left for validation to refuse."""
        said, checks = found.get("defaults"), found.get("check")
        if not isinstance(said, dict) or not isinstance(checks, list):
            return found
        usual = {name: said[name] for name in Defaults.model_fields if name in said}
        return found | {"check": [_with(usual, check) if isinstance(check, dict) else check for check in checks]}

    @model_validator(mode="after")
    def _tells_them_apart(self) -> "CheckTables":
        ids = [check.id for check in self.check]
        if twice := [name for name in ids if ids.count(name) > 1]:
            raise ValueError(f"two checks have the id {twice[0]!r}")
        for window in self.watch.maintenance:
            for name in (name for name in window.checks if name not in ids):
                raise ValueError(f"watch.maintenance: unknown check {name!r}{nearest(name, ids)}")
            for name in (name for name in window.targets if name not in self.target):
                raise ValueError(f"watch.maintenance: unknown target {name!r}{nearest(name, self.target)}")
        return self


def _with(usual: dict[str, Any], check: dict[str, Any]) -> dict[str, Any]:
    """Fill in the default keys; a check with `without` keeps its one phase."""
    return {name: value for name, value in usual.items() if name != "phases" or not check.get("without")} | check


def _check_writes(check: CheckBase, why: str) -> None:
    if not check.writes:
        raise ValueError(f"{why}, so it needs writes = true; a target that allows it says that, too")

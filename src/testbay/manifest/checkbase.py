"""The part common to all kinds of check: id, phases, interval and attempts."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from testbay.manifest import placeholders
from testbay.manifest.expressions import parse
from testbay.manifest.fields import CHECK_ID, Duration, Table
from testbay.manifest.needs import ALIASES

Phase = Literal["pre-merge", "pre-deploy", "post-deploy", "scheduled"]
Evidence = Literal["full", "verdict"]  # what issues about a target show: answers too, or only the verdict
PHASES: tuple[Phase, ...] = ("pre-merge", "pre-deploy", "post-deploy", "scheduled")
LIVE = "live"  # the id of the gate's own result
SERVED: list[Phase] = ["pre-merge", "post-deploy", "scheduled"]
DEPLOYED: list[Phase] = ["post-deploy", "scheduled"]

Every = Annotated[Duration, Field(ge=5, le=86400)]


class CheckBase(Table):
    """The keys of every kind of check. `every` is the interval at which `testbay watch` asks it."""

    usual: ClassVar[list[Phase]] = SERVED  # the phases, where the manifest names none
    id: str = Field(pattern=CHECK_ID)
    phases: list[Phase] = Field(default=[], min_length=1)
    timeout: Duration = 10.0
    attempts: int = Field(default=3, ge=1, le=10)
    every: Every = 60.0
    writes: bool = False
    without: list[Annotated[str, AfterValidator(lambda name: ALIASES.get(name, name))]] = []

    @property
    def asked_in(self) -> list[Phase]:
        """The check's phases: the manifest's, else the usual ones; with `without` only pre-merge."""
        return self.phases or (["pre-merge"] if self.without and self.usual is SERVED else self.usual)

    @model_validator(mode="after")
    def _has_its_own_id(self) -> "CheckBase":
        if self.id == LIVE:
            raise ValueError(f"{LIVE!r} is the id of the gate that waits for a deploy")
        if self.without and self.asked_in != ["pre-merge"]:
            raise ValueError("without cuts a dependency off, which is for the phase pre-merge alone")
        return self


def refuse(why: str) -> None:
    """Raise ValueError with the reason, if there is one."""
    if why:
        raise ValueError(why)


def check_names(rules: list[str], known: Iterable[str]) -> None:
    """Raise ValueError if a condition uses a name that it cannot have."""
    for rule in rules:
        refuse(parse.unknown(parse.condition(rule), known))


def check_placeholders(sent: Any, known: list[str]) -> None:
    """Raise ValueError if a placeholder can never be filled in."""
    refuse(placeholders.unknown(sent, ["run.id", *known]))

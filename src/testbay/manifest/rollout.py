"""Deployment platforms: how a manifest names them, and the state of a deploy that they report."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from testbay.manifest.fields import STRICT

_Id = Annotated[str, Field(pattern=r"^([\w-]{1,100}|\$\{\w+\})$")]


class Deployment(BaseModel):
    """The source of deploys: the environment of that name, in GitHub's deployments."""

    model_config = STRICT

    github: str = Field(min_length=1, max_length=255)


class Railway(BaseModel):
    """A service on Railway, by its ids; `${NAME}` in one comes from the environment."""

    model_config = STRICT

    project: _Id
    environment: _Id
    service: _Id


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The state of a target's deploy, as the platform tells it.

    `expected` should answer; it is empty where that is unknown, and `said` is why. The commits in `under_way` are on
    their way there, and may answer already. `lost` is why the expected one never will.
    """

    expected: str
    under_way: tuple[str, ...] = ()
    said: str = ""
    evidence: tuple[str, ...] = ()
    lost: str = ""


Look = Callable[[], Awaitable[Rollout]]

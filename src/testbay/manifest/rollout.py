"""Deployment platforms: how a manifest names them, and the deployment state that they report."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from testbay.manifest.fields import Table

_Id = Annotated[str, Field(pattern=r"^([\w-]{1,100}|\$\{\w+\})$")]


class Deployment(Table):
    """A source of deployments: GitHub's deployments to the environment of that name."""

    github: str = Field(min_length=1, max_length=255)


class Railway(Table):
    """A service on Railway, by its ids; `${NAME}` in one comes from the environment."""

    project: _Id
    environment: _Id
    service: _Id


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The state of a target's deployment according to its platform.

    `expected` should be running; it is empty if unknown, with the reason in `said`. The commits `under_way` are being
    deployed, and may be running already. `lost` is the reason why the expected one never will be.
    """

    expected: str
    under_way: tuple[str, ...] = ()
    said: str = ""
    evidence: tuple[str, ...] = ()
    lost: str = ""


RolloutLookup = Callable[[], Awaitable[Rollout]]

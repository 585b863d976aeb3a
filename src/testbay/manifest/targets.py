"""The tables `[target.NAME]`: a deployment, and how to find out which commit answers."""

from pydantic import Field, model_validator

from testbay.manifest.checkbase import Evidence, refuse
from testbay.manifest.exchange import HTTP_NAMES
from testbay.manifest.expressions import parse
from testbay.manifest.fields import BASE_URL, Condition, Duration, Table
from testbay.manifest.rollout import Deployment, Railway


class Live(Table):
    """The request that tells which commit is running: `expect` compares it with `expected_sha`."""

    url: str = Field(pattern="^/")
    expect: Condition
    every: Duration = 10.0
    give_up: Duration = 600.0

    @model_validator(mode="after")
    def _speaks_of_it(self) -> "Live":
        found = parse.condition(self.expect)
        refuse(parse.unknown(found, HTTP_NAMES))
        if "expected_sha" not in found.names:
            raise ValueError(f"{self.expect!r} does not say expected_sha, so any build would do")
        return self


class Target(Table):
    """A deployment. `${NAME}` in its address and headers comes from the environment."""

    base_url: str = Field(pattern=BASE_URL)
    headers: dict[str, str] = {}
    writes: bool = False
    evidence: Evidence = "full"
    live: Live | None = None
    deployment: Deployment | None = None
    railway: Railway | None = None

    @model_validator(mode="after")
    def _asks_for_it(self) -> "Target":
        if (self.deployment or self.railway) and not self.live:
            raise ValueError("who knows which commit should answer is of no use without live, which asks for it")
        return self

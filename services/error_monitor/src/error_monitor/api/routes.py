"""The routes for programs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, model_validator

from error_monitor import __version__
from error_monitor.api import overview
from error_monitor.api.access import ApiError, bearer, no_pattern, of, reader, router
from error_monitor.patterns.queries import Wanted
from error_monitor.scanning.lease import LeaseLostError

Severity = Literal["critical", "high", "medium", "low"]
State = Literal["open", "resolved", "regressed", "ignored"]
Category = Literal[
    "database",
    "network",
    "timeout",
    "auth",
    "validation",
    "resource",
    "dependency",
    "logic",
    "configuration",
    "unknown",
]
Order = Literal["new", "last_seen", "first_seen", "events", "severity"]
Text = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")]

public, reading, writing = router(), router(reader), router(bearer)


class Filters(BaseModel):
    """The patterns that are wanted."""

    model_config = {"extra": "forbid"}
    category: Category | None = None
    severity: Severity | None = None
    state: State | None = None
    service: Text = None
    fixable: bool | None = None
    since: datetime | None = None
    words: Text = None
    order: Order = "new"
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """A form sends the fields that were left alone, too."""
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given

    def wanted(self, **more: Any) -> Wanted:
        """Turn the request into the question that the tables are asked.

        Raises:
            ApiError: It asks for another value of what an address has fixed.
        """
        for name, value in more.items():
            if name in self.model_fields_set and getattr(self, name) != value:
                problem = {"at": f"query.{name}", "problem": f"is always {value!r} here; ask /errors/patterns"}
                raise ApiError(422, "invalid_request", "the request is not valid", problems=[problem])
        return Wanted(**(self.model_dump() | more))


class Slice(BaseModel):
    """The part of a list that is wanted."""

    model_config = {"extra": "forbid"}
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class Deploy(BaseModel):
    """A deploy that has just ended."""

    model_config = {"extra": "forbid"}
    service: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")
    commit: str = Field(pattern=r"^[0-9a-f]{7,64}$")


@public.get("/health")
async def health(request: Request) -> JSONResponse:
    """Return whether errors are being read and stored; no token is needed, and nothing of a log is told."""
    found = await overview.health(of(request))
    return JSONResponse(found, 503 if found["status"] == "unhealthy" else 200)


@reading.get("/metrics")
async def metrics(request: Request) -> Response:
    """The counters of this process and of the database, in Prometheus' format."""
    monitor = of(request)
    last = await monitor.queries.last_scan(monitor.settings.monitor)
    _, gaps = await monitor.queries.gaps(1)
    age_s = last["age_s"] if last else None
    summary, is_leader = await monitor.queries.summary(), monitor.loop.fence is not None
    text = monitor.metrics.text(summary, gaps, age_s, is_leader=is_leader)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@reading.get("/autonomous/status")
async def status(request: Request) -> dict[str, Any]:
    """The loop, the sources, the instances, and the gaps in what was read."""
    return await overview.status(of(request))


@reading.get("/dashboard")
async def dashboard(request: Request, asked: Annotated[Filters, Query()]) -> dict[str, Any]:
    """The page's content as JSON, with the same filters."""
    return await overview.dashboard(of(request), asked.wanted())


async def _listed(request: Request, wanted: Wanted) -> dict[str, Any]:
    rows, total = await of(request).queries.patterns(wanted)
    return {"total": total, "limit": wanted.limit, "offset": wanted.offset, "patterns": rows}


@reading.get("/errors/patterns")
async def patterns(request: Request, asked: Annotated[Filters, Query()]) -> dict[str, Any]:
    """Every pattern that fits, the new ones first."""
    return await _listed(request, asked.wanted())


@reading.get("/errors/recent")
async def recent(request: Request, asked: Annotated[Filters, Query()]) -> dict[str, Any]:
    """The patterns that were seen last."""
    return await _listed(request, asked.wanted(order="last_seen"))


@reading.get("/errors/critical")
async def critical(request: Request, asked: Annotated[Filters, Query()]) -> dict[str, Any]:
    """The critical patterns."""
    return await _listed(request, asked.wanted(severity="critical"))


@reading.get("/errors/fixable")
async def fixable(request: Request, asked: Annotated[Filters, Query()]) -> dict[str, Any]:
    """The patterns that a change of the code could end."""
    return await _listed(request, asked.wanted(fixable=True))


@reading.get("/errors/{fingerprint}")
async def one(request: Request, fingerprint: str) -> dict[str, Any]:
    """One pattern, with its newest minutes."""
    found = await of(request).queries.pattern(_plain(fingerprint))
    if found is None:
        raise no_pattern(fingerprint)
    return {**found, "occurrences": await of(request).queries.occurrences(fingerprint)}


@reading.get("/gaps")
async def gaps(request: Request, asked: Annotated[Slice, Query()]) -> dict[str, Any]:
    """List the gaps in what was read, the newest first."""
    rows, total = await of(request).queries.gaps(asked.limit, asked.offset)
    return {"total": total, "limit": asked.limit, "offset": asked.offset, "gaps": rows}


@reading.get("/scans")
async def scans(request: Request, asked: Annotated[Slice, Query()]) -> dict[str, Any]:
    """The newest scans, of whichever instance."""
    monitor = of(request)
    rows, total = await monitor.queries.scans(monitor.settings.monitor, asked.limit, asked.offset)
    return {"total": total, "limit": asked.limit, "offset": asked.offset, "scans": rows}


@writing.post("/monitor/scan")
async def scan(request: Request) -> JSONResponse:
    """Scan now, also what failed lately; 202 where another instance scans, which is not asked."""
    monitor = of(request)
    if not monitor.settings.enabled:
        raise ApiError(409, "disabled", "ERROR_MONITORING_ENABLED is false: this instance never scans")
    try:
        outcome = await monitor.loop.scan_now(monitor.settings.scan_deadline_s * 2)
    except TimeoutError as exc:
        raise ApiError(504, "scan_not_ended", "the scan has not ended in time, and goes on") from exc
    except LeaseLostError as exc:
        raise ApiError(503, "scan_interrupted", str(exc)) from exc
    if outcome is None:
        return JSONResponse({"scanned": False, "reason": monitor.loop.error or "another instance scans"}, 202)
    return JSONResponse({"scanned": True, **vars(outcome)})


@writing.post("/errors/{fingerprint}/{verdict}")
async def judge(request: Request, fingerprint: str, verdict: Literal["resolve", "ignore", "reopen"]) -> dict[str, Any]:
    """A person's verdict. A resolved pattern that is seen again is `regressed`; an ignored one stays ignored."""
    state = {"resolve": "resolved", "ignore": "ignored", "reopen": "open"}[verdict]
    found = await of(request).queries.set_state(_plain(fingerprint), state)
    if found is None:
        raise no_pattern(fingerprint)
    return dict(found)


@writing.post("/deploys", status_code=201)
async def deployed(request: Request, deploy: Deploy) -> dict[str, Any]:
    """Note a deploy: what is new since then is shown first."""
    await of(request).queries.deployed(deploy.service, deploy.commit)
    return {"service": deploy.service, "commit": deploy.commit}


def _plain(fingerprint: str) -> str:
    if "\0" in fingerprint or len(fingerprint) > 200:
        raise ApiError(404, "pattern_not_found", "there is no such pattern", version=__version__)
    return fingerprint

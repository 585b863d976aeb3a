"""The routes for operators: health, version, metrics, routes."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent_executor import version
from agent_executor.api.context import Context

router = APIRouter(tags=["operations"])


@router.get("/api/health")
async def health(services: Context) -> JSONResponse:
    """healthy, degraded (jobs run, progress is not seen) or unhealthy (503)."""
    status, body = await services.health.report()
    return JSONResponse(body, status)


@router.get("/api/version")
def show_version(services: Context) -> dict[str, str]:
    """Version and commit."""
    return version.describe(services.settings.git_commit)


@router.get("/metrics")
def prometheus(services: Context) -> Response:
    """Prometheus text format."""
    pool = services.database.pool_numbers()
    services.metrics.pool_used.set(pool["used"])
    services.metrics.pool_size.set(pool["size"])
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/summary")
async def summary(services: Context) -> dict[str, Any]:
    """The numbers a person looks at first."""
    queries = services.queries
    return {
        **await services.store.job_numbers(),
        "active": {name: puller.active for name, puller in services.pullers.items()},
        "queries": {
            "count": queries.count,
            "slow_count": queries.slow_count,
            "slow_over_ms": queries.slow_ms,
            "slow": list(queries.slowest_kept),
        },
        "db": {"pool": services.database.pool_numbers()},
    }


@router.get("/debug/routes")
def routes(request: Request) -> list[dict[str, Any]]:
    """Every route, WebSockets included."""
    listed: list[dict[str, Any]] = request.app.state.routes
    return listed

"""The application: `uvicorn agent_executor.app:app`."""

# ruff: noqa: E402 -- the collector must be off before the imports begin
import gc

# The libraries below leave a million objects that live as long as the process. Looking through them again and again
# while they are made costs an eighth of the start-up, and afterwards every full collection would do it again.
gc.disable()

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from agent_executor import __version__, logs
from agent_executor.api import agents, failures, middleware, operations, tasks
from agent_executor.settings import Settings
from agent_executor.wiring import Wiring


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services = Wiring(app.state.settings)
    app.state.services = services
    await services.start()
    try:
        yield
    finally:
        await services.stop()


def create_app(settings: Settings) -> FastAPI:
    """The application, configured but not started."""
    logs.configure(settings.log_level)
    app = FastAPI(title="agent_executor", version=__version__, lifespan=_lifespan)
    app.state.settings = settings
    routers = (operations.router, agents.router, tasks.router)
    app.state.routes = [entry for part in (app.router, *routers) for entry in _listed(part)]
    for router in routers:
        app.include_router(router)
    failures.install(app)
    app.add_middleware(middleware.Requests)
    return app


def _listed(router: APIRouter) -> list[dict[str, Any]]:
    """A router's routes; those without methods are WebSockets."""
    return [
        {
            "path": getattr(route, "path", ""),
            "methods": sorted(getattr(route, "methods", None) or ["WEBSOCKET"]),
            "name": getattr(route, "name", ""),
        }
        for route in router.routes
    ]


app = create_app(Settings.from_env())

gc.freeze()
gc.enable()

"""The application: `create_app()` for a service of its own, `attach(app)` for somebody else's."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from error_monitor import __version__, logs
from error_monitor.api import fixes, page, routes
from error_monitor.api.access import PREFIX, unrouted
from error_monitor.monitor import Monitor
from error_monitor.settings import Settings, SettingsError

# The page last: its path is the empty one, and routes are tried in order.
_ROUTERS = (routes.public, routes.reading, routes.writing, fixes.reading, fixes.writing, page.router)


def create_app(settings: Settings | None = None) -> FastAPI:
    """A service that does nothing but monitor.

    Raises:
        SettingsError: The environment is not usable; the message names every variable that is wrong.
    """
    settings = settings or Settings.from_env()
    logs.configure(settings.log_level)
    app = FastAPI(title="error-monitor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, unrouted)
    _watch(app, settings)
    for router in _ROUTERS:  # as they are: `include_router` would make each route anew, at the first request
        app.router.routes.extend(router.routes)

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse(f"{PREFIX}/")

    return app


def attach(app: FastAPI, settings: Settings | None = None) -> Monitor:
    """Add the monitor's routes below /error-monitor, and its loop to the lifespan, whatever that does already.

    Raises:
        SettingsError: The environment is not usable.
    """
    monitor = _watch(app, settings or Settings.from_env())
    for router in _ROUTERS:
        app.include_router(router)
    return monitor


def _watch(app: FastAPI, settings: Settings) -> Monitor:
    settings.check_serving()
    monitor = Monitor(settings)
    app.state.error_monitor = monitor
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(outer: Any) -> AsyncIterator[Any]:
        await monitor.start()
        try:
            async with _entered(inner, outer) as state:
                yield state
        finally:
            await monitor.stop()

    app.router.lifespan_context = lifespan
    return monitor


def _entered(inner: Any, app: Any) -> AbstractAsyncContextManager[Any]:
    entered: AbstractAsyncContextManager[Any] = inner(app)
    return entered


__all__ = ["PREFIX", "SettingsError", "attach", "create_app"]

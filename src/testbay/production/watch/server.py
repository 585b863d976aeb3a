"""The live page: status, each check, incidents, metrics, badges and a feed, served by the watcher itself."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbay.errors import EngineUnavailableError
from testbay.production.watch import facts
from testbay.production.watch.cycle import Cycle
from testbay.production.watch.watcher import Watcher

if TYPE_CHECKING:
    from aiohttp import web

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}


@dataclass(kw_only=True)
class LivePage:
    """Serves what the watcher knows. Nothing here changes anything, but for the calls of jobs."""

    watcher: Watcher
    cycle: Cycle
    _runner: "web.AppRunner | None" = field(default=None)

    async def start(self, host: str, port: int) -> str:
        """The address that it is served at.

        Raises:
            EngineUnavailableError: The address is taken, or not this machine's.
        """
        from aiohttp import web

        app = web.Application(client_max_size=64 << 10)
        app.router.add_get("/api/checks", self._headed(self._checks))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise EngineUnavailableError(
                f"--listen: {host}:{port} cannot be used", why=error.strerror or str(error), todo="name another port"
            ) from None
        found = self._runner.addresses[0]
        return f"http://{f'[{found[0]}]' if ':' in found[0] else found[0]}:{found[1]}/"

    async def stop(self) -> None:
        """Answer what is being asked, and end."""
        if self._runner:
            await self._runner.cleanup()

    def _headed(
        self, answer: Callable[["web.Request"], Awaitable["web.Response"]]
    ) -> Callable[["web.Request"], Awaitable["web.Response"]]:
        async def handler(request: "web.Request") -> "web.Response":
            response = await answer(request)
            response.headers.update(_HEADERS)
            return response

        return handler

    async def _checks(self, _request: "web.Request") -> "web.Response":
        return self._json(facts.checks(self.watcher, self.cycle.recorder.clock()))

    def _json(self, facts: Any) -> "web.Response":
        from aiohttp import web

        return web.Response(text=json.dumps(facts, indent=1) + "\n", content_type="application/json")

"""A deployment on loopback: a real web service with a WebSocket, and a switch for everything that can be wrong."""

import asyncio
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from testbay.manifest.load import load_manifest
from testbay.output import Voice
from testbay.production.checks import command as check
from testbay.production.checks.report import Report
from testbay.settings import Settings


@dataclass(kw_only=True)
class Deployment:
    """Where it answers, which build it says it is, what is wrong with it, and what was asked of it."""

    port: int = 0
    commit: str = "new"
    wrong: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def version(self, _: Request) -> Response:
        """Which build."""
        return JSONResponse({"commit": "old" if "stale" in self.wrong else self.commit})

    async def health(self, _: Request) -> Response:
        """Or 404, for hours."""
        if "health" in self.wrong:
            return JSONResponse({"detail": "Not Found"}, 404)
        return JSONResponse({"status": "healthy", "db": {"pool": {"used": 1, "size": 10}}})

    async def page(self, _: Request) -> Response:
        """Or what a proxy says of it."""
        bad = "page" in self.wrong
        return HTMLResponse("<html><h1>502 Bad Gateway</h1>", 502) if bad else JSONResponse({"queue_depth": 0})

    async def slow(self, _: Request) -> Response:
        """Or late."""
        await asyncio.sleep(0.4 if "slow" in self.wrong else 0)
        return JSONResponse({})

    async def things(self, request: Request) -> Response:
        """Makes one, or ends one; a step that hangs is asked for by its path."""
        self.asked.append(f"{request.method} {request.url.path}")
        if request.url.path == "/things/hang":
            await asyncio.sleep(30)
        return JSONResponse({"id": "7"}, 201 if request.method == "POST" else 200)

    async def stream(self, websocket: WebSocket) -> None:
        """Echoes, or accepts and is silent."""
        await websocket.accept()
        message = await websocket.receive_json()
        if "stream" not in self.wrong:
            await websocket.send_json({"type": "pong", "id": message["id"]})
        await websocket.receive()


@contextmanager
def deployed() -> Iterator[Deployment]:
    """It, serving until the block ends."""
    made = Deployment()
    routes = [
        Route("/api/version", made.version),
        Route("/api/health", made.health),
        Route("/page", made.page),
        Route("/slow", made.slow),
        Route("/things", made.things, methods=["POST"]),
        Route("/things/{name}", made.things, methods=["GET", "DELETE"]),
        WebSocketRoute("/ws", made.stream),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", ws="websockets-sansio")
    server = uvicorn.Server(config)
    config.load()
    with config.bind_socket() as socket:
        made.port = socket.getsockname()[1]
        socket.listen()  # who asks before the thread has begun waits for an answer, and is not refused
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            yield made
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


class Terminal(io.StringIO):
    """What a person sees."""

    def isatty(self) -> bool:
        return True


def ask(folder: Path, manifest: str, environ: Mapping[str, str], **asked: Any) -> tuple[Report, str]:
    """`testbay check` in this process: its report, and all it said, progress too."""
    (folder / "tests/integration").mkdir(parents=True, exist_ok=True)
    (folder / "testbay.toml").write_text(manifest, encoding="utf-8")
    settings = Settings(cache_dir=folder, environ=environ)
    said = Terminal()
    meant = check.CheckOptions(manifest=load_manifest(folder), project=folder, settings=settings, **asked)
    report, _ = check.execute(meant, Voice(said))
    return report, said.getvalue()

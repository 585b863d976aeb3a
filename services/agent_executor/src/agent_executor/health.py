"""The health of all that we need, told within the time-out, whatever the dependencies do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agent_executor import __version__
from agent_executor.agent.llm import Model
from agent_executor.database import Database
from agent_executor.messaging.bus import Bus
from agent_executor.messaging.progress import Progress
from agent_executor.messaging.puller import Puller
from agent_executor.outages import nudge

Probe = Callable[[], Awaitable[None]]


class Health:
    """Probes every dependency at once."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        progress: Progress,
        model: Model,
        pullers: dict[str, Puller],
        *,
        timeout_s: float,
    ) -> None:
        self._database = database
        self._model = model
        self._pullers = pullers
        self._timeout_s = timeout_s
        self._away: set[str] = set()
        self._probes: dict[str, Probe] = {"postgres": database.ping, "nats": bus.ping, "dragonfly": progress.ping}
        # A probe we stopped waiting for ends later, on its own; until then it must not be garbage-collected.
        self._running: set[asyncio.Task[str | None]] = set()

    async def report(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of GET /api/health."""
        answers = await asyncio.gather(*(self._probe(probe) for probe in self._probes.values()))
        dependencies = dict(zip(self._probes, answers, strict=True))
        away = {name for name, answer in dependencies.items() if answer["error"]}
        if self._away - away:
            nudge()
        self._away = away
        status = self._status(dependencies)
        body = {
            "status": status,
            "version": __version__,
            "dependencies": dependencies,
            "db": {"pool": self._database.pool_numbers()},
            "consumers": {
                name: {"active": puller.active, "error": puller.error} for name, puller in self._pullers.items()
            },
            "model": {"configured": self._model.is_configured},
        }
        return 503 if status == "unhealthy" else 200, body

    def _status(self, dependencies: dict[str, dict[str, Any]]) -> str:
        needed = (dependencies["postgres"]["error"], dependencies["nats"]["error"])
        if any(needed) or any(puller.error for puller in self._pullers.values()):
            return "unhealthy"
        # Jobs run without Dragonfly; only their progress is not seen.
        return "degraded" if dependencies["dragonfly"]["error"] else "healthy"

    async def _probe(self, probe: Probe) -> dict[str, Any]:
        started = time.perf_counter()
        task = asyncio.create_task(_outcome(probe))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Not wait_for: it waits for the cancelled probe, and a frozen connection may take its time.
        done, _ = await asyncio.wait([task], timeout=self._timeout_s)
        error = task.result() if done else f"no answer within {self._timeout_s:g} s"
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        return {"status": "down" if error else "up", "latency_ms": latency_ms, "error": error}


async def _outcome(probe: Probe) -> str | None:
    try:
        await probe()
    except Exception as exc:  # noqa: BLE001 -- whatever it is, it is the answer
        return f"{type(exc).__name__}: {exc}"
    return None

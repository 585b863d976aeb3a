"""Every part of the running service, wired once, started and stopped in order."""

import asyncio

import structlog

from agent_executor.agent.executor import Executor
from agent_executor.agent.llm import Model
from agent_executor.database import Database
from agent_executor.health import Health
from agent_executor.jobs.lifecycle import Jobs
from agent_executor.jobs.store import Store
from agent_executor.jobs.sweeper import Sweeper
from agent_executor.messaging.bus import Bus
from agent_executor.messaging.deliveries import Deliveries
from agent_executor.messaging.progress import Progress
from agent_executor.messaging.puller import Bind, Handle, Puller
from agent_executor.metrics import Metrics, QueryLog
from agent_executor.settings import Settings

log = structlog.get_logger(__name__)


class Wiring:
    """The parts the HTTP layer and the consumers share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.queries = QueryLog(self.metrics, settings.slow_query_ms)
        self.database = Database(settings, self.queries)
        self.store = Store(self.database)
        self.bus = Bus(settings)
        self.progress = Progress(settings, self.metrics)
        self.model = Model(settings, self.metrics)
        self.jobs = Jobs(settings, self.store, self.bus, self.progress, self.metrics)
        executor = Executor(self.database, self.progress, self.model, timeout_s=settings.job_timeout_s)
        deliveries = Deliveries(settings, self.jobs, executor, self.bus, self.metrics)
        self.pullers = {
            "execution": self._puller(self.bus.execution_subscription, deliveries.execute, settings.concurrency),
            "exhausted": self._puller(self.bus.exhausted_subscription, deliveries.exhausted, 1),
        }
        self.sweeper = Sweeper(self.store, self.bus, self.jobs, interval_s=settings.sweep_interval_s)
        self.health = Health(
            self.database, self.bus, self.progress, self.model, self.pullers, timeout_s=settings.health_timeout_s
        )

    async def start(self) -> None:
        """Start everything; waits for no dependency."""
        await self.database.open()
        self.bus.start()
        for puller in self.pullers.values():
            puller.start()
        self.sweeper.start()
        log.info("service_started", model_configured=self.model.is_configured)

    async def stop(self) -> None:
        """Stop taking work, let running jobs end or hand them back, then close the connections they used."""
        await self.sweeper.stop()
        await asyncio.gather(*(puller.stop(self.settings.shutdown_grace_s) for puller in self.pullers.values()))
        await self.bus.close()
        await self.model.close()
        await self.progress.close()
        await self.database.close()
        log.info("service_stopped")

    def _puller(self, bind: Bind, handle: Handle, slots: int) -> Puller:
        return Puller(bind, handle, self._can_work, slots=slots, fetch_timeout_s=self.settings.fetch_timeout_s)

    async def _can_work(self) -> None:
        """Raise unless a message could be recorded, and the request for one would be sent now and not later."""
        await self.bus.await_first_connection()
        self.bus.require_connection()
        await self.database.ping()

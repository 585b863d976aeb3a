"""The parts of one instance, put together."""

from error_monitor import logs
from error_monitor.database import AWAY, NO_TABLES, NOT_MIGRATED, Database
from error_monitor.fixes.worker import Fixer
from error_monitor.metrics import Metrics
from error_monitor.patterns.queries import Queries
from error_monitor.patterns.store import Store
from error_monitor.scanning.loop import Loop
from error_monitor.scanning.scan import Scanner
from error_monitor.settings import Settings
from error_monitor.sources.table import sources

log = logs.get(__name__)


class Monitor:
    """One instance: what it reads, where it stores it, and the loop that does both."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.database = Database(settings)
        self.queries = Queries(self.database)
        self.sources = sources(settings)
        scanner = Scanner(settings, Store(self.database), self.sources, self.metrics)
        self.loop = Loop(settings, self.database, scanner, self.metrics)
        self.fixer = Fixer(settings, self.database, self.loop.instance, lambda: self.loop.fence is not None)

    async def start(self) -> None:
        """Begin to scan; the database may still be down."""
        await self.database.open()
        if self.settings.enabled:
            self.loop.start()
            self.fixer.start()
        log.info("monitor_started", monitor=self.settings.monitor, sources=[source.name for source in self.sources])

    async def stop(self) -> None:
        """End, and free the lease."""
        await self.fixer.stop()
        await self.loop.stop()
        for source in self.sources:
            await source.close()
        await self.database.close()

    async def trouble(self) -> str:
        """The reason why nothing can be stored, or nothing."""
        try:
            await self.database.ping()
        except NOT_MIGRATED:
            return NO_TABLES
        except AWAY:
            return "the database is away"
        return ""

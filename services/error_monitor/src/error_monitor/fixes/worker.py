"""The work on fixes in the background of one instance."""

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import UUID

from error_monitor import logs
from error_monitor.database import AWAY, NOT_MIGRATED, Database
from error_monitor.fixes.follow import follow
from error_monitor.fixes.ladder import Ladder
from error_monitor.fixes.records import LaterError
from error_monitor.fixes.store import Owned
from error_monitor.settings import Settings
from error_monitor.tasks import end

log = logs.get(__name__)

_EVERY_S = 60.0
_REST_PAUSES = 30
"""How many pauses a pattern rests after a climb that was refused or broke off: a quarter of an hour by default."""


class Fixer:
    """Goes on with what was left, follows pull requests, and climbs for new patterns where that is enabled."""

    def __init__(self, settings: Settings, database: Database, instance: UUID, leads: Callable[[], bool]) -> None:
        self.ladder = Ladder(settings.fixes, database, secrets(settings), instance)
        self._settings = settings
        self._leads = leads
        self._climbs: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._supervise(), name="error-monitor-fixes")

    async def stop(self) -> None:
        """End; what is being worked on is taken over by the next instance."""
        await end(*self._climbs, *([self._task] if self._task else []))

    async def generate(self, fingerprint: str) -> tuple[int, bool]:
        """Try a fix now, in the background; its number, and whether it goes on after the first rung.

        Raises:
            LookupError: There is no such pattern.
        """
        fix_id, owned = await self.ladder.start(fingerprint, "request")
        if owned is not None:
            self._climb(owned)
        return fix_id, owned is not None

    def _climb(self, owned: Owned) -> None:
        task = asyncio.create_task(self.ladder.climb(owned))
        self._climbs.add(task)
        task.add_done_callback(self._climbs.discard)

    async def _supervise(self) -> None:
        pause_s = min(_EVERY_S, self._settings.interval_s, self._settings.fixes.pause_s)
        while True:
            try:
                await self.turn()
            except (*AWAY, *NOT_MIGRATED, LaterError) as exc:
                log.info("fixes_wait", error=type(exc).__name__)
            except Exception as exc:  # noqa: BLE001 -- the worker survives everything, and says what it was
                log.error("fixes_failed", error=logs.trace(exc))  # noqa: TRY400 -- one line: a traceback would become a pattern
            await asyncio.sleep(pause_s)

    async def turn(self) -> None:
        """Go on, follow, and climb for the first pattern that passes the first rung."""
        while await self.ladder.resume():
            log.info("fix_resumed")
        await follow(self._settings.fixes, self.ladder.store, self.ladder.questions)
        if not (self._settings.fixes.enabled and self._leads()):
            return
        for fingerprint in await self.ladder.questions.candidates(_REST_PAUSES * self._settings.fixes.pause_s):
            with contextlib.suppress(LookupError):
                _, owned = await self.ladder.start(fingerprint, "scan")
                if owned is not None:
                    await self.ladder.climb(owned)
                    return


def secrets(settings: Settings) -> list[str]:
    """The monitor's own secrets: none of them may ever leave."""
    found = [settings.token, settings.fixes.api_key, settings.fixes.github_token]
    found.append(urlsplit(settings.database_url).password or "")
    found += [settings.loki.token if settings.loki else "", settings.railway.token if settings.railway else ""]
    return [one for one in found if one]

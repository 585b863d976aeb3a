"""The whole ladder on two instances that are killed between any two steps, while database and GitHub fail."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from harness import shop
from harness.git_host import GitHost
from harness.messages_api import MessagesApi, call
from harness.recorded_jail import FUNCTIONS, RecordedJail

from error_monitor.database import AWAY, Database
from error_monitor.fixes.ladder import Ladder
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import LaterError
from error_monitor.fixes.store import FixLostError
from error_monitor.patterns.queries import Queries, Wanted
from error_monitor.scanning.once import scan_once
from error_monitor.settings import Settings

if TYPE_CHECKING:
    from testbay.fixtures import Lease

pytestmark = pytest.mark.xdist_group("model")  # one worker loads its client, which takes a second
ROUNDS = int(os.environ.get("FIX_ROUNDS", "3"))  # .ci/run takes 20, a measurement 300, at once or from where one ended
FIRST = int(os.environ.get("FIX_FIRST", "0"))
FAULTS = {"kill": 4, "freeze": 4, "session": 2, "answer": 3, "github": 5}
STEPS = 300  # of both instances in a round, after which the faults end


class Killed(BaseException):
    """The instance is gone: no handler of the product sees this, and nothing of it goes on."""


class Chaos:
    """Chance that kills instances, ends sessions and lets GitHub fail, until it has done so often enough."""

    def __init__(self, seed: int, admin: "psycopg.Connection[Any]") -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- chance that picks a victim is no cryptography
        self.left, self.steps = Counter(FAULTS), 0
        self.done: Counter[str] = Counter()
        self._admin = admin
        self._dead: set[UUID] = set()

    @property
    def is_over(self) -> bool:
        """Whether there are no more faults."""
        return self.steps >= STEPS

    def hits(self, what: str, rate: float) -> bool:
        """Whether this fault happens now."""
        found = self.left[what] > 0 and not self.is_over and self.chance.random() < rate
        self.left[what] -= found
        self.done[what] += found
        return found

    async def step(self, instance: UUID) -> None:
        """A moment between two steps of an instance."""
        self.steps += 1
        await asyncio.sleep(0)
        if instance in self._dead or self.hits("kill", 0.012):
            self._dead.add(instance)
            self.expire(instance)
            raise Killed
        if self.hits("freeze", 0.012):
            self.expire(instance)  # it was away so long that another may take over, and goes on all the same

    def expire(self, instance: UUID) -> None:
        """As if the time of its lease had passed."""
        self._admin.execute("UPDATE error_monitor.fixes SET expires_at = now() WHERE owner = %s", (instance,))

    def end_sessions(self) -> None:
        """The server ends every session of the monitors."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'error-monitor' AND datname = current_database()"
        )

    def github(self, _: str) -> tuple[int, bool] | None:
        """A fault of GitHub at a call: its status, and whether the call took effect all the same."""
        if not self.hits("github", 0.12):
            return None
        return self.chance.choice((403, 409, 422, 429, 502)), self.chance.random() < 0.5


class ChaosDatabase(Database):
    """The database of one instance, where anything may happen before, within and after a transaction."""

    def __init__(self, settings: Settings, chaos: Chaos, instance: UUID) -> None:
        super().__init__(settings)
        self.real, self.pool = self.pool, self  # type: ignore[assignment]
        self._chaos, self._instance = chaos, instance

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """What the product asks of the pool."""
        await self._chaos.step(self._instance)
        async with self.real.connection() as connection:
            if self._chaos.hits("session", 0.02):
                self._chaos.end_sessions()
            yield connection
        await self._chaos.step(self._instance)
        if self._chaos.hits("answer", 0.02):
            raise psycopg.OperationalError("the answer to the commit was lost")


@pytest.fixture
def told(bay: "Lease", tmp_path: Path) -> Iterator[tuple[MessagesApi, GitHost, Mapping[str, str]]]:
    """The stand-ins, and what an instance is told; two patterns are known."""
    log = tmp_path / "shop.log"
    log.write_text("".join(shop.log(function) * 3 for function in FUNCTIONS))
    with MessagesApi() as model, GitHost() as github:
        github.add_commit(shop.clone(tmp_path / "clone"))
        model.replies = [[call("submit", shop.answer())]]
        env = {
            **bay.exports, **model.environ, **github.environ, **shop.SETTINGS, "LOG_FILES": str(log),
            "ERROR_MONITOR_FIX_CLONE": str(tmp_path / "clone"), "ERROR_MONITOR_SETTLE_S": "0", "LOG_LEVEL": "ERROR",
            "ERROR_MONITOR_DB_POOL_MAX": "2", "ERROR_MONITOR_DB_TIMEOUT_S": "15",
        }  # fmt: skip
        asyncio.run(scan_once(Settings.from_env(env), None, ""))
        yield model, github, env


async def work(ladder: Ladder, database: Database) -> None:
    """One turn of an instance: go on with what was left, and climb for each pattern."""
    while await ladder.resume():
        pass
    rows, _ = await Queries(database).patterns(Wanted())
    for row in rows:
        _, owned = await ladder.start(row["fingerprint"], "scan")
        if owned is not None:
            await ladder.climb(owned)


async def live(settings: Settings, chaos: Chaos, *, is_broken: bool) -> None:
    """An instance that is started again whenever it is killed, until a life passes without a fault."""
    is_calm = False
    while not is_calm:
        is_calm, instance = chaos.is_over, uuid4()
        database = ChaosDatabase(settings, chaos, instance)

        async def choose(_: FixSettings, instance: UUID = instance) -> RecordedJail:
            return RecordedJail(lambda: chaos.step(instance), is_broken=is_broken)

        fixes = replace(settings.fixes, lease_s=600, pause_s=0.0)
        ladder = Ladder(fixes, database, [], instance, choose=choose)
        await database.real.open(wait=False)
        try:
            for _ in range(2):
                await work(ladder, database)
                await asyncio.sleep(0.02)  # who has nothing to do leaves the other one time
        except Killed:
            continue
        except (*AWAY, LaterError, FixLostError):
            chaos.expire(instance)
            is_calm = False
        finally:
            await database.real.close()


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[str]]:
    """What happened in this worker's rounds; a single one may end by its faults alone."""
    counted: Counter[str] = Counter()
    yield counted
    print(dict(counted))  # for a measurement with -s
    assert counted["pull requests"] > 0 or counted["rounds"] < 10


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_one_proven_pull_request_whatever_happens(
    told: tuple[MessagesApi, GitHost, Mapping[str, str]],
    postgres: "psycopg.Connection[Any]",
    seen: Counter[str],
    seed: int,
) -> None:
    """At most one open pull request for a pattern, never one without its proof, and no write in a dry run."""
    _, github, env = told
    postgres.autocommit = True
    chaos = Chaos(seed, postgres)
    github.fault = chaos.github
    is_broken, is_dry = seed % 4 == 1, seed % 4 == 2
    settings = Settings.from_env({**env, "AUTO_FIX_ENABLED": str(not is_dry).lower()})

    async def both() -> None:
        await asyncio.gather(*(live(settings, chaos, is_broken=is_broken) for _ in range(2)))

    asyncio.run(both())
    heads = Counter(pull["head"]["ref"] for pull in github.pulls if pull["state"] == "open")
    unproven = [pull["number"] for pull in github.pulls if "whole suite with the patch" not in pull["body"]]
    rows = postgres.execute(
        "SELECT branch FROM error_monitor.fixes WHERE jsonb_array_length(proof -> 'runs') = 6"
        " AND state IN ('proven', 'opened', 'refused') AND branch <> ''"
    ).fetchall()
    seen.update(chaos.done, **{"pull requests": len(heads), "rounds": 1})
    assert ([head for head, count in heads.items() if count > 1], unproven) == ([], [])
    assert set(heads) <= {row[0] for row in rows}, (heads, rows)
    assert not ((is_dry or is_broken) and github.writes), github.writes

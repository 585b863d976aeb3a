"""The ladder with stand-ins for model, GitHub and jail: cheats end at the fourth rung, merges are followed."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness import cheats, shop
from harness.git_host import GitHost
from harness.messages_api import MessagesApi, call
from harness.recorded_jail import RecordedJail

from error_monitor.database import Database
from error_monitor.fixes import jail
from error_monitor.fixes.follow import follow
from error_monitor.fixes.ladder import Choose, Ladder
from error_monitor.fixes.options import FixSettings
from error_monitor.patterns.queries import Queries, Wanted
from error_monitor.scanning.once import scan_once
from error_monitor.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from testbay.fixtures import Lease

pytestmark = pytest.mark.xdist_group("model")  # one worker loads its client, which takes a second
ORDERS = "src/shop/orders.py"
MERGE, OTHER = "b" * 40, "c" * 40
MERGED = {"merged": True, "merge_commit_sha": MERGE}
DEPLOYED = """INSERT INTO error_monitor.deploys (service, commit, deployed_at)
    SELECT services[1], %s, now() - interval '30 minutes' FROM error_monitor.patterns"""
SEEN = """INSERT INTO error_monitor.occurrences (fingerprint, minute, source, service, events)
    SELECT fingerprint, date_trunc('minute', now() - interval '5 minutes'), 'x', '', 2 FROM error_monitor.patterns"""
NEWER = """INSERT INTO error_monitor.fixes (fingerprint, repository, base_commit, trigger, is_dry, state, rung, reason,
    fence, expires_at, merged_at) SELECT fingerprint, repository, base_commit, trigger, is_dry, state, rung, reason,
    fence + 1, expires_at, now() FROM error_monitor.fixes"""
EARLIER = "UPDATE error_monitor.fixes SET merged_at = now() - interval '1 hour'"


class World:
    """One pattern, one ladder, and who is around it."""

    def __init__(self, env: Mapping[str, str], model: MessagesApi, github: GitHost) -> None:
        self.env, self.model, self.github = env, model, github
        self.settings = Settings.from_env(env)
        self.clone = Path(env["ERROR_MONITOR_FIX_CLONE"])

    @asynccontextmanager
    async def ladder(self, given: Choose | None = None) -> AsyncIterator[tuple[Ladder, str]]:
        """A ladder on a database that is open, and the pattern; with a recorded jail where none is given."""

        async def choose(_: FixSettings) -> RecordedJail:
            return RecordedJail(lambda: asyncio.sleep(0))

        database = Database(self.settings)
        await database.open()
        try:
            (row,), _ = await Queries(database).patterns(Wanted())
            yield Ladder(self.settings.fixes, database, [], choose=given or choose), row["fingerprint"]
        finally:
            await database.close()

    async def climbed(self, ladder: Ladder, fingerprint: str) -> Mapping[str, Any]:
        """The fix at the end of one climb."""
        fix_id, owned = await ladder.start(fingerprint, "scan")
        assert owned is not None
        await ladder.climb(owned)
        return await self.fix(ladder, fix_id)

    async def fix(self, ladder: Ladder, fix_id: int) -> Mapping[str, Any]:
        """The fix as the page shows it."""
        found = await ladder.questions.fix(fix_id)
        assert found is not None
        return found


@pytest.fixture
def world(bay: "Lease", tmp_path: Path) -> Iterator[World]:
    log = tmp_path / "shop.log"
    log.write_text(shop.LOG * 3)
    with MessagesApi() as model, GitHost() as github:
        github.add_commit(shop.clone(tmp_path / "clone"))
        env = {
            **bay.exports, **model.environ, **github.environ, **shop.SETTINGS, "LOG_FILES": str(log),
            "ERROR_MONITOR_FIX_CLONE": str(tmp_path / "clone"), "ERROR_MONITOR_SETTLE_S": "0", "LOG_LEVEL": "ERROR",
            "ERROR_MONITOR_DB_TIMEOUT_S": "15", "AUTO_FIX_ENABLED": "true", "ERROR_MONITOR_FIX_QUIET_AFTER_S": "0",
        }  # fmt: skip
        asyncio.run(scan_once(Settings.from_env(env), None, ""))
        yield World(env, model, github)


def deploy(postgres: "psycopg.Connection[Any]", commit: str, *, is_seen: bool = False) -> None:
    """Half an hour ago, half an hour after the merge; the pattern was seen since then or not."""
    postgres.execute(EARLIER)
    postgres.execute(DEPLOYED, (commit,))
    if is_seen:
        postgres.execute(SEEN)


FATES: dict[str, tuple[Mapping[str, Any], str, tuple[str, bool] | None]] = {
    "closed": ({"merged": False}, "", None),
    "merged": (MERGED, "", None),
    "merged, and not deployed": (MERGED, "", (OTHER, True)),
    "reverted": (MERGED, f"Revert it\n\nThis reverts commit {MERGE}.", None),
    "stopped": (MERGED, "", (MERGE, False)),
    "returned": (MERGED, "", (MERGE, True)),
}


@pytest.mark.parametrize("fate", FATES)
def test_a_pull_request_is_followed(world: World, postgres: "psycopg.Connection[Any]", fate: str) -> None:
    """Closed, merged, reverted; and, in a build that has the merge, whether the pattern stopped or returned."""
    pull, said, deployed = FATES[fate]
    postgres.autocommit = True
    world.model.replies = [[call("submit", shop.answer())]]
    world.github.messages = [said]

    async def lived() -> list[str]:
        async with world.ladder() as (ladder, fingerprint):
            opened = await world.climbed(ladder, fingerprint)
            world.github.pulls[0] |= {"state": "closed", **pull}
            await follow(ladder.settings, ladder.store, ladder.questions)
            if deployed:
                deploy(postgres, deployed[0], is_seen=deployed[1])
            await follow(ladder.settings, ladder.store, ladder.questions)
            found = postgres.execute("SELECT state FROM error_monitor.patterns").fetchone()
            return [opened["state"], (await world.fix(ladder, opened["fix_id"]))["state"], *(found or [])]

    state = {"stopped": "resolved", "returned": "regressed"}.get(fate, "open")
    assert asyncio.run(lived()) == ["opened", fate.partition(",")[0], state]


@pytest.mark.parametrize(
    ("runs", "is_newest", "state"), [(MERGE, True, "returned"), (OTHER, True, "stopped"), (MERGE, False, "stopped")]
)
def test_a_pattern_that_had_stopped_returns(
    world: World, postgres: "psycopg.Connection[Any]", runs: str, state: str, *, is_newest: bool
) -> None:
    """The judgement is taken back, if the build that runs now has the fix, and no newer fix has been merged."""
    postgres.autocommit = True
    world.model.replies = [[call("submit", shop.answer())]]

    async def lived() -> list[str]:
        async with world.ladder() as (ladder, fingerprint):
            opened = await world.climbed(ladder, fingerprint)
            world.github.pulls[0] |= {"state": "closed", **MERGED}
            await follow(ladder.settings, ladder.store, ladder.questions)
            deploy(postgres, MERGE)
            await follow(ladder.settings, ladder.store, ladder.questions)
            states = [(await world.fix(ladder, opened["fix_id"]))["state"]]
            if runs != MERGE:
                postgres.execute(DEPLOYED.replace("30 minutes", "1 minute"), (runs,))
            postgres.execute(SEEN.replace("now() - interval", "now() + interval"))
            postgres.execute("UPDATE error_monitor.patterns SET last_seen = now() + interval '5 minutes'")
            if not is_newest:
                postgres.execute(NEWER)
            await follow(ladder.settings, ladder.store, ladder.questions)
            return [*states, (await world.fix(ladder, opened["fix_id"]))["state"]]

    assert asyncio.run(lived()) == ["stopped", state]


def test_a_wrong_token_keeps_the_proof(world: World, postgres: "psycopg.Connection[Any]") -> None:
    """Tried again without end, the proven fix is published once GitHub lets it."""
    postgres.autocommit = True
    world.model.replies = [[call("submit", shop.answer())]]
    world.github.fault = lambda asked: (403, False) if asked == "POST /git/blobs" else None

    async def lived() -> list[str]:
        async with world.ladder() as (ladder, fingerprint):
            fix = await world.climbed(ladder, fingerprint)
            states = [fix["state"]]
            for fault in (world.github.fault, lambda _: None):
                world.github.fault = fault
                postgres.execute("UPDATE error_monitor.fixes SET tries = 20, next_try_at = now()")
                await ladder.resume()
                states.append((await world.fix(ladder, fix["fix_id"]))["state"])
            return states

    assert asyncio.run(lived()) == ["proven", "proven", "opened"]


WRONG_REPOSITORIES = {
    "no clone": ({"ERROR_MONITOR_FIX_CLONE": "/nonexistent"}, "", "ERROR_MONITOR_FIX_CLONE cannot be read as a git"),
    "no branch": (
        {"ERROR_MONITOR_FIX_BASE": "trunk"},
        "",
        "ERROR_MONITOR_FIX_BASE names the branch trunk, which is not",
    ),
    "no commit": ({}, OTHER, f"the commit {OTHER}, which POST /deploys named, is not in"),
    "no sources": ({"ERROR_MONITOR_FIX_SOURCES": "app"}, "", "which are app by ERROR_MONITOR_FIX_FOLDER and ERROR"),
    "no Python": (
        {"ERROR_MONITOR_FIX_PYTHON": "/nonexistent"},
        "",
        "set ERROR_MONITOR_FIX_PYTHON to a Python that has",
    ),
    "no key": ({"ANTHROPIC_API_KEY": "sk-wrong"}, "", "the model's API answered 401: check ANTHROPIC_API_KEY"),
}


@pytest.fixture
def jails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a bubblewrap that says yes on the PATH: this machine may have none, and it is not used."""
    program = tmp_path / "bin/bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("jails")
@pytest.mark.parametrize("name", WRONG_REPOSITORIES)
def test_a_wrong_setting_is_named_and_bars_nothing(
    world: World, postgres: "psycopg.Connection[Any]", name: str
) -> None:
    """The reason names the setting; the pattern rests, and with the setting right a fix begins at the same commit."""
    env, deployed, said = WRONG_REPOSITORIES[name]
    postgres.autocommit = True
    world.model.replies = [[call("submit", shop.answer(confidence="low"))]]
    right = world.settings
    world.settings = Settings.from_env({**world.env, **env})
    if deployed:
        deploy(postgres, deployed)

    async def refused() -> Mapping[str, Any]:
        choose = jail.choose if name == "no Python" else None
        async with world.ladder(choose) as (ladder, fingerprint):
            fix_id, owned = await ladder.start(fingerprint, "scan")
            if owned:
                await ladder.climb(owned)
            rests = [await ladder.questions.candidates(rest_s) for rest_s in (900, 0)]
            assert rests == [[] if owned else [fingerprint], [fingerprint]]
            return await world.fix(ladder, fix_id)

    fix = asyncio.run(refused())
    assert (fix["state"], said in fix["reason"], fix["rung"] <= 2) == ("refused", True, True), fix["reason"]
    assert not fix["is_dry"]
    postgres.execute("DELETE FROM error_monitor.deploys")
    world.settings = right

    async def again() -> Mapping[str, Any]:
        async with world.ladder() as (ladder, fingerprint):
            return await world.climbed(ladder, fingerprint)

    assert asyncio.run(again())["rung"] == 3


def cheating(name: str) -> dict[str, Any]:
    """The answer with a cheat in its test or in its change."""
    is_test = name in cheats.TESTS
    text = (cheats.TESTS if is_test else cheats.SOURCES)[name][0]
    test = {"path": cheats.NEW, "content": text if is_test else cheats.TEST}
    return shop.answer(test=test, patch=[{"path": ORDERS, "content": cheats.GOOD if is_test else text}])


@pytest.mark.parametrize("name", ["returns early", "a part of pytest", "a lower level", "an alias"])
def test_a_cheat_ends_at_the_fourth_rung(world: World, name: str) -> None:
    """With the reason that the rails give, and nothing is written to GitHub."""
    world.github.add_commit(shop.commit(world.clone, ORDERS, cheats.SOURCE))
    world.model.replies = [[call("submit", cheating(name))]]

    async def ended() -> Mapping[str, Any]:
        async with world.ladder() as (ladder, fingerprint):
            return await world.climbed(ladder, fingerprint)

    fix = asyncio.run(ended())
    assert (fix["state"], fix["rung"], world.github.writes) == ("refused", 4, []), fix["reason"]

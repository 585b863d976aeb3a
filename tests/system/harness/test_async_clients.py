"""Clients of a lease for coroutines, whoever runs the loop."""

import pytest
from tests.system.fakes.guest import MANIFEST, Guest

BOTH = MANIFEST.replace('["postgres"]', '["postgres", "dragonfly"]')
TESTS = """import asyncio, pytest, sqlalchemy
async def use(postgres_async, redis_async):
    async with postgres_async.connect() as connection, redis_async.connect() as client:
        await connection.execute("INSERT INTO items (name) VALUES ('tea')")
        found = await (await connection.execute("SELECT name FROM items")).fetchall()
        assert (found, await client.dbsize()) == ([("tea",)], 0)
        await client.set("key", "value")
@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.MARK
async def test_marked(postgres_async, redis_async, again):
    await use(postgres_async, redis_async)
def test_own_loop(postgres_async, dragonfly_async):
    asyncio.run(use(postgres_async, dragonfly_async))
@pytest.fixture
def engine(bay):
    engine = sqlalchemy.create_engine(bay.postgres.dsn.replace("postgresql", "postgresql+psycopg", 1))
    yield engine
    engine.dispose()
def test_engine(engine):
    with engine.begin() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM items")).scalar() == 0
"""
PEER = """import asyncio
def test_asyncpg(postgres_asyncpg):
    async def use():
        async with postgres_asyncpg.connect() as connection:
            assert await connection.fetchval("SELECT count(*) FROM items") == 0
    asyncio.run(use())
"""
ANYIO = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_loops_of_plugins_are_used(guest: Guest, plugin: str) -> None:
    """Each test has a loop of its own, and leaves nothing open."""
    guest.tools("asyncpg", *(["pytest-asyncio"] if plugin == "asyncio" else []))
    tests = {"tests/test_it.py": TESTS.replace("MARK", plugin), "tests/test_peer.py": PEER}
    guest.write({"testbay.toml": BOTH, "tests/conftest.py": ANYIO, **tests})
    done = guest.pytest("-q", "--testbay-strict", PYTEST_ADDOPTS="-p no:hypothesispytest")

    assert (done.code, "5 passed" in done.out) == (0, True), done.out


def test_missing_asyncpg_is_named(guest: Guest) -> None:
    """With what does without it."""
    guest.write({"tests/test_peer.py": PEER})
    done = guest.pytest("-q")

    assert (done.code, "the fixture postgres_asyncpg needs asyncpg" in done.out) == (1, True), done.out

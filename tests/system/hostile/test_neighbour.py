"""Another user of this machine against a running embedded stack: nothing is written, run or read outside of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Bay

from testbay.harness.engines import sandbox

NOBODY = 65533  # a user nobody else here is; only root can become one, anyone else attacks as oneself

# Runs as that user: each statement in turn, and what came of it.
ATTACKER = """
import encodings.idna, json, os, sys
import psycopg, redis, redis.exceptions
redis.Redis.from_url("redis://localhost")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY)
said = []
for kind, target, words in json.loads(sys.argv[1]):
    try:
        if kind == "sql":
            with psycopg.connect(target, autocommit=True) as session:
                found = session.execute(words)
                said.append(str(found.fetchall() if found.description else "done"))
        else:
            said.append(str(redis.Redis.from_url(target).execute_command(*words)))
    except (psycopg.Error, redis.exceptions.RedisError) as error:
        said.append("refused: " + str(error)[:200])
print(json.dumps(said))
""".replace("NOBODY", str(NOBODY))


STATEMENTS = [
    "COPY (SELECT 1) TO PROGRAM 'touch TARGET/new'",
    "CREATE TEMP TABLE o (t text); COPY o FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO 'TARGET/new'",
    "SELECT pg_read_file('TARGET/key')",
    "SELECT lo_import('TARGET/key')",
    "SELECT lo_export(lo_create(0), 'TARGET/new')",
    "SELECT pg_ls_dir('TARGET')",
    "CREATE TABLESPACE t LOCATION 'TARGET'",
    "LOAD 'TARGET/key'",
]


@pytest.fixture
def stack(bay: Bay) -> Iterator[dict[str, str]]:
    """What a kept stack exports."""
    done = bay.run("up", "shop", "--keep")
    exported = dict(line.removeprefix("export ").split("=", 1) for line in done.lines if line.startswith("export "))
    yield {name: value.strip("'") for name, value in exported.items()}
    bay.run("down")


def attack(*steps: tuple[str, str, object]) -> list[str]:
    """What another user is told who takes these steps."""
    argv = [sys.executable, "-c", ATTACKER, json.dumps(steps)]
    return [str(said) for said in json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder of the invoking user's, with a file that only its owner may read."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "key").write_text("a private key")
    (folder / "key").chmod(0o600)
    return folder


needs_landlock = pytest.mark.skipif(not sandbox.abi(), reason="this kernel has no Landlock")


@needs_landlock
def test_postgresql_reaches_nothing_outside(stack: dict[str, str], target: Path) -> None:
    """A superuser of the database is nobody on the machine."""
    told = attack(*(("sql", stack["DATABASE_URL"], line.replace("TARGET", str(target))) for line in STATEMENTS))

    assert [said for said in told if not said.startswith("refused: ") or "private key" in said] == []
    assert [file.name for file in target.iterdir()] == ["key"]


@needs_landlock
def test_an_archive_command_runs_nothing(stack: dict[str, str], target: Path) -> None:
    """A setting that names a command is one more way to run it."""
    url = stack["DATABASE_URL"]
    settings = {"archive_mode": "on", "archive_command": f"touch {target}/new", "ssl_passphrase_command": "touch x"}
    changes = [("sql", url, f"ALTER SYSTEM SET {name} = '{value}'") for name, value in settings.items()]
    cleanup = ("sql", url, f"ALTER SYSTEM SET archive_cleanup_command = 'touch {target}/new'")
    attack(*changes, cleanup, ("sql", url, "SELECT pg_reload_conf()"), ("sql", url, "CHECKPOINT"))

    assert [file.name for file in target.iterdir()] == ["key"]


@needs_landlock
def test_redis_writes_nothing_outside(stack: dict[str, str], target: Path) -> None:
    """Neither its data nor its log, wherever it is told to."""
    url = stack["REDIS_URL"]
    steps = [["SET", "k", "planted"], ["CONFIG", "SET", "dir", str(target)], ["CONFIG", "SET", "dbfilename", "new"]]
    attack(
        *(("redis", url, words) for words in [*steps, ["SAVE"], ["BGSAVE"], ["MODULE", "LOAD", str(target / "key")]])
    )

    assert [file.name for file in target.iterdir()] == ["key"]


STRANGER = """
import asyncio, concurrent.futures, encodings.idna, json, logging, os, sys
import nats, nats.js, redis, redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
redis.Redis.from_url("redis://localhost")
concurrent.futures.ThreadPoolExecutor
logging.disable()
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY)

def told(what):
    try:
        return str(what())
    except Exception as error:
        return f"refused: {error}"

async def subscribe(**login):
    connection = await nats.connect(sys.argv[2], allow_reconnect=False, connect_timeout=5, **login)
    answer = await connection.jetstream().account_info()
    await connection.close()
    return answer

def ask(word, password=None):
    once = Retry(NoBackoff(), 0)  # redis-py takes a refusal for an outage, and waits seconds for its end
    return lambda: redis.Redis(port=int(sys.argv[1]), password=password, retry=once).execute_command(*word.split())

logins = [{}, *({"user": name, "password": name} for name in ("main", "lease1", "overseer"))]
print(json.dumps(
    [told(lambda login=login: asyncio.run(subscribe(**login))) for login in logins]
    + [told(ask(word)) for word in ("GET k", "CONFIG GET requirepass", "MONITOR", "SHUTDOWN NOSAVE")]
    + [told(ask("GET k", "lease1"))]
))
""".replace("NOBODY", str(NOBODY))


def test_who_has_no_password_reads_nothing(stack: dict[str, str], bay: Bay) -> None:
    """Not of Dragonfly, not of NATS, under no name of an account; the password stands in no command line."""
    secret = stack["DRAGONFLY_PASSWORD"]
    attack(("redis", stack["REDIS_URL"], ["SET", "k", "guarded"]))
    address = "nats://" + stack["NATS_URL"].partition("@")[2]
    argv = [sys.executable, "-c", STRANGER, stack["DRAGONFLY_PORT"], address]
    told = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)

    assert ["authorization violation" in said.lower() for said in told[:4]] == [True] * 4, told
    refused = [said.startswith("refused: ") and ("uthenticat" in said or "invalid" in said) for said in told[4:]]
    assert refused == [True] * 5, told
    assert [line for line in bay.processes() if secret in line] == []
    assert attack(("redis", stack["REDIS_URL"], ["GET", "k"])) == ["b'guarded'"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could run a server as root")
def test_no_server_runs_as_root(stack: dict[str, str], bay: Bay) -> None:
    """Each of them runs as another user, without the right to write what is not that user's."""
    servers = [line.split()[0] for line in bay.processes() if "guard" not in line]
    rights = {
        pid: dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        for pid in servers
    }

    assert servers
    assert {int(facts["Uid"].split()[0]) for facts in rights.values()} == {65534}
    assert {int(facts["CapEff"], 16) for facts in rights.values()} == {1 << 2}  # CAP_DAC_READ_SEARCH


COPYING = """
import pytest

@pytest.mark.parametrize("folder", ["tests", "migrations", "."])
def test_copy(postgres, folder):
    postgres.execute("CREATE TEMP TABLE numbers (n int)")
    postgres.execute("COPY numbers FROM 'SERVICE/" + folder + "/data.csv'")
    assert postgres.execute("SELECT n FROM numbers").fetchall() == [(7,)]
"""


@needs_landlock
def test_data_beside_the_tests_can_be_copied(bay: Bay) -> None:
    """What a suite's own `COPY … FROM` reads: files in its folders of tests and migrations, and no others."""
    for folder in (bay.service / "tests", bay.service / "migrations", bay.service):
        (folder / "data.csv").write_text("7\n")
    bay.tests(COPYING.replace("SERVICE", str(bay.service)))
    done = bay.run("run", "shop")

    assert "2 passed, 1 failed" in done.out, done.out
    assert "could not open file" in done.out

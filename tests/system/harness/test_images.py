"""Compose files of strangers: the server is what their image makes of them, and nobody's data is touched."""

import gzip
import hashlib
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.fakes.guest import Guest

from testbay.harness.engines import sandbox

MANIFEST = 'service = "guest"\nneeds = ["{}"]\ntests = "tests"\ncompose = "compose.yml"\n'
SCRIPT = """set -eu
for db in reports archive; do
  psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -qc "CREATE DATABASE $db"
done
"""
CONFIGURES = """set -e
echo "max_connections = 44" >/tmp/more.conf
echo "wal_keep_segments = 8 # of PostgreSQL 12" >>/tmp/more.conf
sed -i 's/^#work_mem.*/work_mem = 7MB/' "$PGDATA/postgresql.conf"
echo "shared_preload_libraries = 'no_such_library'" | cat - /tmp/more.conf >> "$PGDATA/postgresql.conf"
"""


def project(guest: Guest, need: str, compose: str, test: str, **more: str) -> None:
    """One service of a compose file, and one test of what it is."""
    files = {"testbay.toml": MANIFEST.format(need), "compose.yml": compose, "tests/test_it.py": test}
    guest.write(files | more)


def postgres(image: str = "postgres:18-alpine", more: str = "") -> str:
    """A compose file with one PostgreSQL."""
    environment = "{POSTGRES_PASSWORD: 'p$$w', POSTGRES_USER: ann}"
    return f"services:\n  db:\n    image: {image}\n    environment: {environment}\n{more}"


def test_init_scripts_run_once_and_are_part_of_the_template(guest: Guest) -> None:
    """Plain, packed and a shell's, with files named as in the container; a changed one makes another template."""
    test = """def test_it(postgres):
    names = {name for name, in postgres.execute("SELECT datname FROM pg_database")}
    assert {"archive", "reports"} < names
    assert postgres.execute("SELECT name FROM audit.event").fetchall() == [("first",)]
    assert postgres.execute("SELECT * FROM a, b, c, who").fetchall() == [(1, 2, 3, "ann")]
    (dumps,), (serves,) = postgres.execute("SELECT * FROM tools UNION ALL SELECT current_setting('server_version')")
    assert dumps.split()[2].split(".")[0] == serves.split(".")[0]
    assert postgres.execute("SHOW work_mem").fetchone() == ("7MB",)
    assert postgres.execute("SHOW max_connections").fetchone() == ("44",)
    assert postgres.execute("SELECT * FROM teams").fetchall() == [("red",), ("blue",)]
"""
    more = "    volumes: ['./init:/docker-entrypoint-initdb.d:ro', './more:/srv/more']\n"
    who = "\\set who `echo $POSTGRES_USER`\nSELECT :'who' AS who INTO who;\n"
    scripts = {"init/02.sh": SCRIPT, "init/01.sql": "CREATE SCHEMA audit;\n" + who, "init/.00.sql": "SELEC 1;\n"}
    scripts |= {
        "init/04.sql": "\\i /srv/more/a.sql\n\\ir sub/b.sql\nCOPY b FROM '/srv/more/b.csv';\n",
        "more/b.csv": "2\n",
    }
    scripts |= {
        "init/05.sh": 'psql -q < "/docker-entrypoint-initdb.d/sub/c.sql"\n',
        "more/a.sql": "SELECT 1 AS a INTO a;",
    }
    # What a script exports the next one has, and the entrypoint's own function, array and variable are there.
    scripts |= {
        "init/06.sh": "export TEAM=blue${POSTGRES_INITDB_ARGS?}\ndocker_process_sql -c 'CREATE TABLE teams (t text)'\n",
        "init/08.sh": CONFIGURES,
        "init/09.sh": "psql -h /var/run/postgresql -c \"CREATE TABLE tools AS SELECT '$(pg_dump --version)'\"\n",
        "init/07.sh": "\"${psql[@]}\" -q <<<\"INSERT INTO teams VALUES ('red'), ('$TEAM')\"\n",
    }
    scripts |= {"init/sub/b.sql": "CREATE TABLE b (b int);\n", "init/sub/c.sql": "SELECT 3 AS c INTO c;\n"}
    project(guest, "postgres", postgres("postgres:15-alpine", more=more), test, **scripts)
    packed = b"CREATE TABLE audit.event AS SELECT 'first' AS name;\n"
    (guest.project / "init/03.sql.gz").write_bytes(gzip.compress(packed))

    cold, warm = guest.run("run"), guest.run("run")
    (guest.project / "init/03.sql.gz").write_bytes(gzip.compress(packed.replace(b"first", b"second")))
    changed = guest.run("run")

    assert (cold.code, warm.code, changed.code) == (0, 0, 1), cold.out + warm.out + changed.out
    assert [done.out.count("/docker-entrypoint-initdb.d/02.sh") for done in (cold, warm, changed)] == [1, 0, 1]
    assert "assert [('second',)] == [('first',)]" in changed.out
    said = "note: an init script sets wal_keep_segments in postgresql.conf, which this server does not have"
    assert said in cold.out


needs_landlock = pytest.mark.skipif(not sandbox.abi(), reason="this kernel has no Landlock")
needs_ports = pytest.mark.skipif(not sandbox.knows_ports(), reason="this kernel's Landlock does not know ports")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("1.sql", "SELECT 1;\nSELEC 2;\n", '1.sql failed: syntax error at or near "SELEC"'),
        pytest.param(
            "1.sql",
            "\\! touch ../touched\nSELEC 2;\n",
            '1.sql failed: syntax error at or near "SELEC"',
            marks=needs_landlock,
        ),
        ("1.sh", "echo said; exit 3\n", "1.sh failed: exit code 3"),
        pytest.param("1.sh", "touch ../../touched\n", "1.sh failed: exit code 1", marks=needs_landlock),
        pytest.param(
            "1.sh",
            "(: </dev/tcp/127.0.0.1/1) |& grep -om1 'Permission.*'\n",
            "1.sh failed: exit code 1, Permission denied",
            marks=needs_ports,
        ),
        ("1.sql.gz", "not packed", "1.sql.gz failed: it cannot be read: Not a gzipped file (b'no')"),
    ],
)
def test_an_init_script_that_fails_ends_the_run(guest: Guest, name: str, text: str, what: str) -> None:
    """As it would end the image's start; it cannot write into the project, or reach other servers."""
    more = "    volumes: ['./init:/docker-entrypoint-initdb.d:ro']\n"
    project(guest, "postgres", postgres(more=more), "def test_it(postgres): pass\n", **{f"init/{name}": text})

    done = guest.run("run")

    assert (done.code, done.lines[-3]) == (13, "❌ Migrations: failed"), done.out
    assert f"error: /docker-entrypoint-initdb.d/{what}" in done.out
    assert f"correct {guest.project / 'init' / name}; or run it in its container, with --engine compose" in done.out
    assert not (guest.project / "touched").exists()


def test_an_init_script_that_ends_the_entrypoints_shell_is_refused(guest: Guest) -> None:
    """The image would start no server, and run none of the scripts behind it; an executable one has its own shell."""
    more = "    volumes: ['./init:/docker-entrypoint-initdb.d:ro']\n"
    scripts = {"init/1.sh": "#!/bin/sh\nexit 0\n", "init/2.sh": "exit 0\n", "init/3.sql": "SELEC 1;\n"}
    project(guest, "postgres", postgres(more=more), "def test_it(postgres): pass\n", **scripts)
    (guest.project / "init/1.sh").chmod(0o755)

    done = guest.run("run")

    assert (done.code, done.lines[-3]) == (13, "❌ Migrations: failed"), done.out
    assert "error: /docker-entrypoint-initdb.d/2.sh failed: it ends its shell with exit code 0" in done.out
    assert f"write `return` for `exit` in {guest.project / 'init/2.sh'}" in done.out


def test_a_secret_file_is_the_password(guest: Guest) -> None:
    """And a setting of the command is a setting of the server."""
    compose = """services:
  db:
    image: postgres:18-alpine
    command: sh -c "docker-entrypoint.sh postgres -c work_mem=$$MEM"
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pw, MEM: 5MB}
    secrets: [pw]
secrets:
  pw: {file: ./pw.txt}
"""
    test = """import os
def test_it(postgres):
    assert os.environ["POSTGRES_PASSWORD"] == "s3:cr/et"
    assert postgres.execute("SHOW work_mem").fetchone() == ("5MB",)
"""
    project(guest, "postgres", compose, test, **{"pw.txt": "s3:cr/et\n"})

    done = guest.run("run")

    assert done.code == 0, done.out
    assert "s3:cr" not in done.out


NATS_TEST = """import asyncio
def test_it(nats, bay):
    async def go():
        async with nats.connect() as client:
            await client.jetstream().add_stream(name="A", subjects=["a.>"])
            return (await client.jetstream().publish("a.b", b"1")).seq, client.max_payload
    assert (*asyncio.run(go()), bay.shared) == {}
"""
SHARED = "all of NATS (the compose file gives it a login of its own)"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("-js --auth t@k/en", (1, 1 << 20, [SHARED])),
        ("-js --user ann --pass p@w", (1, 1 << 20, [SHARED])),
        ("-c /etc/nats/own.conf", (1, 4 << 20, [SHARED])),
        ("-c /etc/nats/plain.conf", (1, 4 << 20, [])),
    ],
)
def test_nats_with_something_of_its_own_works(guest: Guest, command: str, expected: tuple[int, int, list[str]]) -> None:
    """Token, user, configuration: the fixture logs in, and what tests share is said before and after."""
    plain = "max_payload: 4MB\njetstream { store_dir: /data }\n"
    own = plain + "accounts { A: { jetstream: enabled, users: [ {user: u, password: $PW} ] } }\n"
    compose = "services:\n  bus:\n    image: nats:2.12\n    environment: {PW: p:w}\n    volumes: ['./conf:/etc/nats']\n"
    compose += f"    command: {command}\n"
    project(guest, "nats", compose, NATS_TEST.format(expected), **{"conf/own.conf": own, "conf/plain.conf": plain})

    done = guest.run("run")

    assert done.code == 0, done.out
    assert ("the tests share its one account" in done.out) == (SHARED in expected[2])
    assert (f"tests share {SHARED}" in done.out) == (SHARED in expected[2])


def test_redis_behind_a_shell_has_its_password(guest: Guest) -> None:
    """And it stands in no argv."""
    compose = """services:
  redis:
    image: redis:7
    command: [sh, -c, 'exec redis-server --requirepass "$$PW" --databases 40']
    environment: {PW: "p@ss/w:rd#1"}
"""
    test = """import os, pathlib, redis
def test_it(dragonfly):
    assert redis.Redis.from_url(os.environ["REDIS_URL"]).config_get("databases") == {"databases": "40"}
    assert "p%40ss%2Fw%3Ard%231" in os.environ["REDIS_URL"]
    argvs = [file.read_bytes() for file in pathlib.Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert not [argv for argv in argvs if b"redis.conf" in argv and b"p@ss" in argv]
"""
    project(guest, "dragonfly", compose, test)

    done = guest.run("run")

    assert done.code == 0, done.out


def test_a_service_that_its_image_refuses_is_refused(guest: Guest) -> None:
    """Before anything starts."""
    project(guest, "postgres", "services:\n  db:\n    image: postgres:18\n", "def test_it(postgres): pass\n")

    done = guest.run("run")

    assert (done.code, "Start postgres" in done.out) == (10, False)
    assert "error: service 'db': postgres:18 does not start without POSTGRES_PASSWORD" in done.out


STRANGE = """x-common: &common {restart: always, container_name: shop_db, ports: ["5432:5432"]}
services:
  db:
    <<: *common
    image: ${POSTGRES_IMAGE:?the image of the tests}
    environment:
      POSTGRES_USER: ann
      POSTGRES_PASSWORD_FILE: /run/secrets/pw
      POSTGRES_DB: shop
      POSTGRES_INITDB_ARGS: --data-checksums
      PGDATA: /var/lib/postgresql/data/inner
    secrets: [pw]
    command: [postgres, -c, max_connections=77, -c, "timezone=Europe/Berlin"]
    volumes: ["./init:/docker-entrypoint-initdb.d:ro", "pg:/var/lib/postgresql/data"]
  web: {build: ., depends_on: [db]}
secrets: {pw: {file: ./pw.txt}}
volumes: {pg: {external: true, name: shop_pg}}
"""


@pytest.mark.compose
def test_a_strangers_file_means_the_same_on_the_compose_engine(guest: Guest) -> None:
    """Its password file, init scripts, folder and settings count; its names, ports and volumes are not touched."""
    test = """import os
def test_it(postgres):
    names = ("max_connections", "timezone", "data_checksums")
    shown = [postgres.execute(f"SHOW {name}").fetchone()[0] for name in names]
    assert shown == ["77", "Europe/Berlin", "on"]
    assert postgres.execute("SELECT name FROM audit.event").fetchall() == [("first",)]
    assert {"archive", "reports"} < {name for name, in postgres.execute("SELECT datname FROM pg_database")}
    assert os.environ["POSTGRES_PASSWORD"] == "s3:cr/et"
"""
    scripts = {"init/02.sh": SCRIPT, "init/01.sql": "CREATE SCHEMA audit;\n", "pw.txt": "s3:cr/et\n"}
    project(guest, "postgres", STRANGE, test, **scripts)
    packed = b"CREATE TABLE audit.event AS SELECT 'first' AS name;\n"
    (guest.project / "init/03.sql.gz").write_bytes(gzip.compress(packed))

    guest.use("compose")
    done = guest.run("run")

    assert done.code == 0, done.out
    assert "service 'db' begins with empty data in memory: pg:/var/lib/postgresql/data is not used" in done.out


class Developer:
    """His own stack from the same file, with his rows in it."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.name = f"dev{hashlib.sha256(str(guest.project).encode()).hexdigest()[:8]}"

    def compose(self, words: str) -> None:
        """`docker compose` on his stack."""
        done = self._guest.type(f"docker compose -p {self.name} -f compose.yml {words}")
        assert done.code == 0, done.out

    def sql(self, statement: str) -> str:
        """What his server answers, once it does."""
        line = f"docker exec -e PGPASSWORD='p$w' his_own_db psql -h 127.0.0.1 -U ann -Atqc {shlex.quote(statement)}"
        deadline = time.monotonic() + 30
        while (done := self._guest.type(line)).code:
            assert time.monotonic() < deadline, done.out
            time.sleep(0.1)
        return done.out.strip()


@pytest.fixture
def developer(guest: Guest) -> Iterator[Developer]:
    """Running, with data in a bind mount and in a named volume, a fixed name and a fixed port."""
    facts = "    container_name: his_own_db\n    ports: ['27543:5432']\n    volumes: ['./pgdata:/data', 'more:/more']\n"
    compose = postgres("${POSTGRES_IMAGE}", facts) + "volumes:\n  more:\n"
    compose = compose.replace("POSTGRES_USER: ann", "POSTGRES_USER: ann, PGDATA: /data/pg")
    test = """def test_it(postgres):
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    postgres.execute("CREATE TABLE mine (id int)")
"""
    project(guest, "postgres", compose, test)
    (guest.project / "pgdata").mkdir()
    (guest.project / "pgdata").chmod(0o777)
    developer = Developer(guest)
    developer.compose("up -d")
    developer.sql("CREATE TABLE notes AS SELECT 'mine' AS body")
    yield developer
    developer.compose("down -v")


def checksum(folder: Path) -> str:
    """Of every file's name and content."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest()


@pytest.mark.compose
def test_nobodys_data_is_touched(guest: Guest, developer: Developer) -> None:
    """Beside his running stack, and while it is stopped: his files are the same byte for byte, his rows are there."""
    guest.use("compose")
    beside = guest.run("run")
    databases = developer.sql("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1").split()
    developer.compose("stop")
    before = checksum(guest.project / "pgdata")
    alone = guest.run("run")

    assert (beside.code, alone.code, databases) == (0, 0, ["ann", "postgres"]), beside.out + alone.out
    assert checksum(guest.project / "pgdata") == before
    developer.compose("start")
    assert developer.sql("SELECT body FROM notes") == "mine"
    said = f"begins with empty data in memory: {guest.project / 'pgdata'}:/data, more:/more is not used"
    assert said in beside.out


def test_an_extension_that_a_script_wants_is_the_servers_matter(guest: Guest) -> None:
    """The script is not blamed."""
    compose = postgres(more="    volumes: ['./init:/docker-entrypoint-initdb.d:ro']\n")
    script = {"init/1.sql": "CREATE EXTENSION no_such_extension;\n"}
    project(guest, "postgres", compose, "def test_it(postgres): pass\n", **script)

    done = guest.run("run")

    assert done.code == 11, done.out
    assert "no extension 'no_such_extension', which /docker-entrypoint-initdb.d/1.sql asks for" in done.out

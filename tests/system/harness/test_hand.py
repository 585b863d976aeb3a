"""Stacks by hand: exec, up, migrate, down, ps, gc, doctor."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
from tests.system.conftest import Bay, read_until

CONTRACT = [
    "DATABASE_URL",
    "DISABLE_VAULT_AUTH",
    "DRAGONFLY_HOST",
    "DRAGONFLY_PASSWORD",
    "DRAGONFLY_PORT",
    "NATS_URL",
    "POSTGRES_DB",
    "POSTGRES_HOST",
    "POSTGRES_PASSWORD",
    "POSTGRES_PORT",
    "POSTGRES_USER",
    "REDIS_URL",
    "SHOP_CACHE_PASSWORD",
    "SHOP_CACHE_PORT",
    "SHOP_DSN",
    "TESTING",
]


def test_exec_gives_the_environment_of_the_contract(bay: Bay) -> None:
    """Every variable tier 3 exports, and those the manifest maps, reach any command."""
    done = bay.run("exec", "shop", "--", "env")

    exported = dict(line.split("=", 1) for line in done.lines if re.match(r"[A-Z_]+=", line))
    assert done.code == 0
    assert [name for name in CONTRACT if name in exported] == CONTRACT
    assert exported["DATABASE_URL"] == (
        f"postgresql://{exported['POSTGRES_USER']}:{exported['POSTGRES_PASSWORD']}"
        f"@localhost:{exported['POSTGRES_PORT']}/{exported['POSTGRES_DB']}"
    )
    assert exported["SHOP_DSN"] == exported["DATABASE_URL"]
    secret = exported["SHOP_CACHE_PASSWORD"]
    assert (len(secret), exported["DRAGONFLY_PASSWORD"]) == (32, secret)
    assert exported["NATS_URL"].startswith(f"nats://main:{secret}@localhost:")
    assert exported["REDIS_URL"] == f"redis://:{secret}@localhost:{exported['DRAGONFLY_PORT']}/0"


def test_exec_gives_back_the_exit_code(bay: Bay) -> None:
    """The command's exit code is ours; one that a signal ended is 128 and the signal."""
    assert bay.run("exec", "shop", "--", "sh", "-c", "exit 7").code == 7
    assert bay.run("exec", "shop", "--", "sh", "-c", "kill -9 $$").code == 137


def test_exec_keeps_the_commands_output_clean(bay: Bay) -> None:
    """What testbay says goes to standard error, so that a command's output can be piped. A client needs no address."""
    argv = [sys.executable, "-m", "testbay", "exec", "shop", "--", "redis-cli", "ECHO", "only this"]
    done = subprocess.run(argv, cwd=bay.project, env=bay.environ, capture_output=True, text=True, check=True)

    assert done.stdout == "only this\n"


def test_exec_of_no_program_says_so(bay: Bay) -> None:
    """A command that does not exist is refused before any server starts."""
    done = bay.run("exec", "shop", "--", "no-such-program", "-x")

    assert done.code == 10
    assert done.lines[0] == "error: cannot run no-such-program -x: No such file or directory"


def test_commands_start_with_default_signals(bay: Bay) -> None:
    """An ignored SIGINT, as a background shell leaves it, is put back for what we run."""
    probe = "import signal; print('handler', signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    shell = f"trap '' INT; exec {sys.executable} -m testbay exec shop -- {sys.executable} -c \"{probe}\""
    done = subprocess.run(
        ["bash", "-c", shell], cwd=bay.project, env=bay.environ, capture_output=True, text=True, check=True
    )

    assert done.stdout == "handler True\n"


def test_kept_stack_is_found_migrated_and_ended(bay: Bay) -> None:
    """Up --keep leaves a stack that exec finds warm, migrate brings up to date, ps lists and down ends."""
    kept = re.search(r"# stack (\S+) stays", bay.run("up", "shop", "--keep").out)
    assert kept is not None
    assert f"    stack {kept[1]}: found warm" in bay.run("exec", "shop", "--", "true").lines
    assert bay.run("ps").lines[1].split()[:2] == [kept[1], "kept"]

    (bay.service / "migrations" / "0003_more.sql").write_text("CREATE TABLE more (i int);\n")
    migrated = bay.run("migrate", "shop")
    assert (migrated.code, [line for line in migrated.lines if ".sql" in line]) == (0, ["    0003_more.sql"])
    tables = bay.run("exec", "shop", "--", sys.executable, "-c", _COUNT_TABLES)
    assert (f"    stack {kept[1]}: found warm" in tables.lines, tables.lines[-1]) == (True, "2")

    assert bay.run("down").lines == [f"ended {kept[1]}"]
    assert bay.run("ps").lines == ["no stack runs"]


_COUNT_TABLES = (
    "import os, psycopg; "
    "c = psycopg.connect(os.environ['DATABASE_URL']); "
    "print(c.execute(\"SELECT count(*) FROM pg_tables WHERE schemaname = 'public'\").fetchone()[0])"
)


def test_a_migration_that_failed_is_still_to_do(bay: Bay) -> None:
    """It fits the copy that leases come from, and not the rows that a person has put into the database."""
    up = bay.run("up", "shop", "--keep").out
    [dsn] = re.findall(r"export DATABASE_URL=(\S+)", up)
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("INSERT INTO items (name) VALUES ('a'), ('a')")
        (bay.service / "migrations" / "0003_more.sql").write_text("CREATE UNIQUE INDEX one ON items (name);\n")
        refused = bay.run("migrate", "shop")
        session.execute("TRUNCATE items")
        done = bay.run("migrate", "shop")
        [(there,)] = session.execute("SELECT to_regclass('one') IS NOT NULL").fetchall()
    bay.run("down")

    assert (refused.code, done.code, there) == (13, 0, True), done.out


def test_changed_migration_is_never_met_by_a_stale_stack(bay: Bay) -> None:
    """A kept stack with other migrations is not reused, and migrating it past the change is refused."""
    bay.run("up", "shop", "--keep")
    (bay.service / "migrations" / "0001_items.sql").write_text("CREATE TABLE items (id int, name text);\n")

    assert "found warm" not in bay.run("exec", "shop", "--", "true").out
    refused = bay.run("migrate", "shop")
    assert (refused.code, "error: migration 0001_items.sql changed after it was applied" in refused.lines) == (13, True)
    bay.run("down")


def test_idle_stack_ends_itself(bay: Bay) -> None:
    """A kept stack nobody uses is gone after its idle time, without another call."""
    assert bay.run("up", "shop", "--keep", "--idle", "1s").code == 0

    assert bay.left() == []


def test_up_holds_until_interrupted(bay: Bay) -> None:
    """Without --keep the stack lasts until Ctrl-C."""
    child = bay.start("up", "shop")
    seen = read_until(child, "# Ctrl-C ends it")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)

    assert (child.returncode, "export DATABASE_URL=" in seen) == (0, True)
    assert bay.left() == []


def test_migrate_without_a_stack_says_what_to_do(bay: Bay) -> None:
    """There is nothing to migrate until a stack is kept."""
    done = bay.run("migrate", "shop")

    assert (done.code, done.lines[0]) == (11, "error: no kept stack of shop runs")


def test_down_of_an_unknown_stack_names_those_that_run(bay: Bay) -> None:
    """A wrong name ends nothing."""
    done = bay.run("down", "nothing-here")

    assert (done.code, done.lines[0]) == (10, "error: no stack 'nothing-here' of this project runs")


def test_doctor_sees_what_a_run_would_see(bay: Bay) -> None:
    """Every program with its version, every service of the project, nothing started."""
    done = bay.run("doctor")

    assert done.code == 0
    assert "✅ service shop: needs postgres, dragonfly, nats" in done.lines
    assert [line.split()[1] for line in done.lines if re.match(r"✅ (PostgreSQL|Dragonfly|NATS) \d", line)] == [
        "PostgreSQL",
        "Dragonfly",
        "NATS",
    ]


def test_no_project_says_where_it_looked(bay: Bay, tmp_path: Path) -> None:
    """Outside any project every command says so and what to do."""
    argv = [sys.executable, "-m", "testbay", "run"]
    done = subprocess.run(argv, cwd=os.sep, env=bay.environ, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.splitlines()[0]) == (10, "error: / is in no project")

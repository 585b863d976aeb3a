"""Runs on a kept stack: each has a database, a keyspace and a NATS account of its own, and the stack stays."""

import os
import signal

import pytest
from tests.system.conftest import Bay, read_until

PASSED = "✅ Tests: 4 passed"
# The project's tests insert a row and expect it to be the only one, and publish and expect to be first: on anything
# shared the second run would fail.


@pytest.fixture
def kept(bay: Bay, engine: str) -> Bay:
    """A project whose stack is kept; the last test line ends it."""
    bay.use(engine)
    assert bay.run("up", "shop", "--keep", "--idle", "60s").code == 0
    return bay


def test_runs_one_after_another_meet_nothing(kept: Bay) -> None:
    """The second run on the same number finds nothing of the first."""
    first, second = kept.run("run", "shop"), kept.run("run", "shop")
    kept.run("down")

    assert [first.code, second.code] == [0, 0], first.out + second.out
    assert all("==> Take lease1 on the warm stack shop-" in done.out and PASSED in done.out for done in (first, second))


def test_runs_at_once_meet_nothing(kept: Bay) -> None:
    """Three runs at the same time share the servers and nothing else."""
    children = [kept.start("run", "shop") for _ in range(3)]
    outs = [child.communicate(timeout=90)[0] for child in children]
    kept.run("down")

    assert [child.returncode for child in children] == [0, 0, 0], "\n".join(outs)
    assert sorted(out.partition("Take lease")[2][:1] for out in outs) == ["1", "2", "3"]


MIGRATE = """
import os
import pathlib
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    for step in sorted(pathlib.Path("steps").iterdir()):
        connection.execute(step.read_text())
"""
COLUMNS = """
def test_columns(postgres):
    rows = postgres.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'things'").fetchall()
    print("columns:", sorted(name for (name,) in rows))
"""


def test_a_new_revision_reaches_a_kept_stack(bay: Bay) -> None:
    """A `migrate` command runs again before leases are made, once a file of the service has changed."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(manifest.read_text().replace('migrations = "migrations"', 'migrate = "python migrate.py"'))
    (bay.service / "migrate.py").write_text(MIGRATE)
    (bay.service / "steps").mkdir()
    (bay.service / "steps/1.sql").write_text("CREATE TABLE IF NOT EXISTS things (one int)")
    bay.tests(COLUMNS)
    assert bay.run("up", "shop", "--keep", "--idle", "60s").code == 0
    first = bay.run("run", "shop", "--", "-s", "--no-cov")
    (bay.service / "steps/2.sql").write_text("ALTER TABLE things ADD COLUMN IF NOT EXISTS two int")
    assert bay.run("exec", "shop", "--", "true").code == 0  # which migrates the database alone that is not leased
    second = bay.run("run", "shop", "--", "-s", "--no-cov")
    third = bay.run("run", "shop", "--", "--no-cov", "-n", "2", "-rP")
    (bay.service / "steps/3.sql").write_text("nonsense")
    refused = bay.run("run", "shop")
    bay.run("down")

    assert ["columns: ['one']" in first.out, "columns: ['one', 'two']" in second.out] == [True, True], second.out
    assert "columns: ['one', 'two']" in third.out, third.out
    assert (refused.code, "nonsense" in refused.out) == (13, True), refused.out


def test_what_a_person_left_in_the_stack_is_untouched(kept: Bay) -> None:
    """A run does not see the rows somebody inserted by hand, nor does it remove them."""
    kept.run("exec", "shop", "--", "psql", "-c", "INSERT INTO items (name) VALUES ('mine')")
    done = kept.run("run", "shop")
    rows = kept.run("exec", "shop", "--", "psql", "-At", "-c", "SELECT name FROM items")
    kept.run("down")

    assert (done.code, PASSED in done.out, rows.lines[-1]) == (0, True, "mine")


def test_migration_of_a_kept_stack_reaches_its_leases(kept: Bay) -> None:
    """What `testbay migrate` applies is there in the next run's database too."""
    (kept.service / "migrations" / "0003_more.sql").write_text("CREATE TABLE more (i int);\n")
    assert kept.run("migrate", "shop").code == 0
    kept.tests(
        "import os\n\nimport psycopg\n\n\ndef test_more():\n"
        "    with psycopg.connect(os.environ['DATABASE_URL']) as connection:\n"
        "        connection.execute('INSERT INTO more VALUES (1)')\n"
    )
    done = kept.run("run", "shop")
    kept.run("down")

    assert (done.code, "==> Take lease1 on" in done.out) == (0, True), done.out


def test_killed_run_leaves_the_stack_and_nothing_else(kept: Bay) -> None:
    """A run on a kept stack is killed: its pytest and what that started go, the stack stays, the lease is free."""
    start = "subprocess.Popen(['sleep', '600'])"
    kept.tests(f"import subprocess\nimport time\n\n\ndef test_slow():\n    {start}\n    time.sleep(60)\n")
    child = kept.start("run", "shop")
    read_until(child, "test session starts")
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)

    kept.tests("def test_fine():\n    pass\n")
    again = kept.run("run", "shop")
    still_there = [line for line in kept.processes() if "startpytest.py" in line or "sleep 600" in line]
    kept.run("down")

    assert (again.code, "==> Take lease1 on the warm stack" in again.out, still_there) == (0, True, []), again.out

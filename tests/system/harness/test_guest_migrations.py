"""Migrations and commands that strangers wrote for other tools."""

import pytest
from tests.system.fakes.guest import Guest

BOTH_WAYS = "-- {0}up\nCREATE TABLE items (id int);\n\n-- {0}down\nDROP TABLE items;\n"
READS = 'def test_reads(postgres):\n    postgres.execute("SELECT count(*) FROM items")\n'


@pytest.mark.parametrize("tool", ["migrate:", "+goose ", "+migrate "])
def test_way_down_in_the_same_file_is_not_applied(guest: Guest, tool: str) -> None:
    """dbmate, goose and sql-migrate keep both ways in one file."""
    guest.write({"migrations/0001_items.sql": BOTH_WAYS.format(tool), "tests/test_it.py": READS})

    done = guest.run("run")

    assert done.code == 0, done.out
    assert "        the way up alone; its way down begins at line 4" in done.lines


def test_line_of_a_failure_is_the_readers(guest: Guest) -> None:
    """A part of a file is applied, and the whole file is what a message counts in."""
    text = "-- migrate:down\nDROP TABLE items;\n-- migrate:up\nCREATE TABL items ();\n"
    guest.write({"migrations/0001_items.sql": text, "tests/test_it.py": READS})

    done = guest.run("run")

    assert (done.code, done.lines[-3]) == (13, "❌ Migrations: failed"), done.out
    assert 'error: migration 0001_items.sql failed at line 4: syntax error at or near "TABL"' in done.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BEGIN;\nCREATE TABLE items ();\n", "leaves a transaction open: PostgreSQL takes back what it did"),
        ("\\connect template1\nSELECT 1;\n", "ends in another database: template1"),
    ],
    ids=["open", "elsewhere"],
)
def test_migration_whose_work_is_not_there_is_refused(guest: Guest, text: str, said: str) -> None:
    """Psql itself ends well; nothing of the file would be in the tests' database."""
    guest.write({"migrations/0001_items.sql": text, "tests/test_it.py": READS})

    done = guest.run("run")

    assert (done.code, done.lines[-3]) == (13, "❌ Migrations: failed"), done.out
    assert f"error: migration 0001_items.sql {said}" in done.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("\\set ON_ERROR_STOP off\nSELECT nothing;\n", 'psql went on after ERROR: column "nothing" does not exist'),
        ("\\q\nCREATE TABLE more ();\n", "psql left out what follows line 2, \\q"),
        ("BEGIN;\nCREATE TABLE more ();\nROLLBACK;\n", "line 4, ROLLBACK, took back what stands before it"),
        ("\\ir more/inner.sql\n", "psql left out what follows line 1 of inner.sql, \\q"),
    ],
    ids=["error", "end", "rollback", "end of an included file"],
)
def test_success_is_not_said_of_half_a_migration(guest: Guest, more: str, said: str) -> None:
    """Psql itself ends well; a later start says it again."""
    inner = {"migrations/more/inner.sql": "\\q\nCREATE TABLE more ();\n"} if "inner" in more else {}
    guest.write({"migrations/2.sql": f"CREATE TABLE half ();\n{more}", "tests/test_it.py": READS} | inner)

    for _ in range(2):
        done = guest.run("run")
        assert (done.code, f"✅ Migrations: Applied, but 2.sql: {said}" in done.lines) == (0, True), done.out


def test_success_is_not_said_of_migrations_without_a_statement(guest: Guest) -> None:
    """A folder of comments leaves an empty database; the evidence of a failed test names it as applied."""
    fails = "def test_it(postgres):\n    assert not postgres\n"
    guest.write({"migrations/0001_items.sql": "-- later\n", "tests/test_it.py": fails})
    done = guest.run("run")

    said = "✅ Migrations: Applied, but 0001_items.sql: the migrations contain no statement"
    assert (done.code, said in done.lines, "migrations: 0001_items.sql" in done.lines) == (1, True, True), done.out


def test_a_kept_stack_says_what_its_migrations_lack(guest: Guest) -> None:
    """Whoever started it has read it; the runs on it have not. What lies deeper is named."""
    text = "CREATE TABLE half ();\n\\if :{?more}\n\\q\n\\endif\nROLLBACK;\n\\q\nSELECT 1;\n"
    guest.write({"migrations/2.sql": text, "migrations/v2/3.sql": "SELECT 1;\n", "tests/test_it.py": READS})
    up = guest.run("up", "--keep")
    assert "note: v2/3.sql not applied: migrations are the *.sql directly in migrations/" in up.out

    done = guest.run("run")
    assert guest.run("down").code == 0

    assert "✅ Migrations: Applied, but 2.sql: psql left out what follows line 6, \\q" in done.lines, done.out


def test_migrate_and_start_run_as_a_shell_reads_them(guest: Guest) -> None:
    """Both halves, with what the stack exports; a plain `psql` reaches its database, as behind `testbay exec`."""
    create = "psql -qc 'CREATE TABLE items (id int)' && psql {postgres.url} -qc \"INSERT INTO items VALUES ($ONE)\""
    manifest = f"""service = "guest"
needs = ["postgres"]
tests = "tests"
migrate = '''export ONE=1; {create}'''
start = "echo {{DATABASE_URL}} > url.txt && python -m http.server -b 127.0.0.1 {{port}}"
"""
    text = """def test_reads(postgres, bay, service):
    assert postgres.execute("SELECT id FROM items").fetchall() == [(1,)]
    assert service.client.get("/url.txt").text.strip() == bay.postgres.dsn
"""
    guest.write({"testbay.toml": manifest.replace("{{", "{").replace("}}", "}"), "tests/test_it.py": text})

    done = guest.run("run")

    assert done.code == 0, done.out
    assert "made nothing" not in done.out


def test_a_migration_of_another_database_is_told(guest: Guest) -> None:
    """A command whose address is written down ends well, and nothing has come into the stack."""
    guest.write({"testbay.toml": 'service = "guest"\nneeds = ["postgres"]\nmigrate = "true"\n'})

    done = guest.run("exec", "--", "true")

    assert "note: `migrate` ended well and made nothing in the stack's database. If an address is hard" in done.out


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("true", "`migrate` ended well and made nothing in the stack's database"),
        ("psql {DATABASE_URL} -qc 'CREATE TABLE aerich (id int)'", "`migrate` ended well and made nothing but aerich"),
        ("psql {DATABASE_URL} -qc 'CREATE TABLE aerich (id int); CREATE TYPE mood AS ENUM ()'", "Applied successfully"),
    ],
    ids=["nothing", "the list of a tool", "a type"],
)
def test_success_is_not_said_of_a_migration_that_made_nothing(guest: Guest, made: str, said: str) -> None:
    """A tool that finds no migration ends well, most often after it made the table of its list."""
    manifest = f'service = "guest"\nneeds = ["postgres"]\ntests = "tests"\nmigrate = """{made}"""\n'
    guest.write({"testbay.toml": manifest, "tests/test_it.py": "def test_it(postgres):\n    pass\n"})

    done = guest.run("run")

    assert done.code == 0, done.out
    assert f"✅ Migrations: {said}" in done.lines

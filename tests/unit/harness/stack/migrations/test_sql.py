import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.errors import MigrationError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.stack.migrations import dialects, sql
from testbay.harness.stack.migrations.migrated import AppliedFile

Listen = Callable[[Callable[[socket.socket], None]], int]
ENVIRON = {"PATH": os.defpath}


def folder(parent: Path, *names: str) -> Path:
    for name in names:
        (parent / name).write_text(f"-- {name}\n", encoding="utf-8")
    return parent


def endpoint(port: int) -> Endpoint:
    return Endpoint(name="postgres", title="PostgreSQL", host="127.0.0.1", port=port, user="app", db="shop")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["1.sql", "2.sql", "3.sql"], []),
        (["1.sql", "3.sql", "4.sql", "6.sql"], [2, 5]),
        (["7.sql"], []),
        (["1.sql", "50.sql"], []),
        (["20240101.sql", "20240103.sql"], []),
        (["1_a.sql", "1_b.sql"], []),
    ],
)
def test_a_gap_in_the_numbers_is_seen(names: list[str], missing: list[int]) -> None:
    """A migration somebody forgot to commit; time stamps and numbers by tens are no such sequence."""
    assert sql.missing_numbers([Path(name) for name in names]) == missing


def test_only_what_a_database_lacks_is_pending(tmp_path: Path) -> None:
    """By name, as long as the text is the one that was applied."""
    files = dialects.ordered(folder(tmp_path, "1.sql", "2.sql", "3.sql"))
    applied = [
        AppliedFile("1.sql", sql.digest(files[0])),
        AppliedFile("0.sql", "gone"),
        AppliedFile("3.sql", sql.digest(files[2])),
    ]

    assert sql.pending(files, applied) == [tmp_path / "2.sql"]
    assert sql.digest(files[0]) == hashlib.sha256(b"-- 1.sql\n").hexdigest()


def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    """The database has the old text, and nobody can take it back."""
    files = dialects.ordered(folder(tmp_path, "1.sql"))

    with pytest.raises(MigrationError) as refused:
        sql.pending(files, [AppliedFile("1.sql", "another digest")])

    assert str(refused.value) == (
        "migration 1.sql changed after it was applied\n"
        "  why:      a database cannot be taken back to before it\n"
        "  do:       testbay down, then up again: a fresh stack takes the new text"
    )


@pytest.mark.parametrize(
    ("said", "what", "why"),
    [
        (
            (
                'psql:2.sql:1: NOTICE:  hi\npsql:2.sql:7: ERROR:  relation "x" does not exist\n'
                "LINE 1: SELECT * FROM x;\nSTATEMENT:  SELECT * FROM x;\n"
            ),
            'migration 2.sql failed at line 7: relation "x" does not exist',
            "the database refused the statement below",
        ),
        (
            "psql:2.sql:1: NOTICE:  hi\npsql:sub/more.sql:9: FATAL:  out of disk\n",
            "migration 2.sql failed at line 9 of sub/more.sql: out of disk",
            "the database refused the statement below",
        ),
        (
            "psql: error: no route to host\n",
            "migration 2.sql failed: psql: error: no route to host",
            "psql could not run it",
        ),
        ("", "migration 2.sql failed: ", "psql could not run it"),
    ],
)
def test_a_failure_names_file_line_and_message(said: str, what: str, why: str) -> None:
    """The whole of what psql said is the evidence."""
    error = sql._failed(Path("/m/2.sql"), said)

    assert (error.what, error.why, error.todo, error.evidence) == (what, why, "fix /m/2.sql", said.strip())


def test_a_file_that_psql_does_not_find_is_looked_for_beside_the_migration() -> None:
    """The migration may be right for a psql that runs elsewhere: the advice is not to change it."""
    error = sql._failed(Path("/m/2.sql"), "psql:2.sql:3: error: m/more.sql: No such file or directory\n")

    assert error.why == "psql runs in /m: the path of an \\i or a \\copy counts from there"
    assert error.todo == (
        'let psql run where m/more.sql is found: migrate = "psql -v ON_ERROR_STOP=1 -f …" instead of migrations'
    )


def test_endless_output_is_cut() -> None:
    """Evidence is for reading."""
    assert len(sql._failed(Path("2.sql"), "x" * 100_000).evidence) == 4000


def test_a_database_that_is_not_there_is_a_failed_migration(tmp_path: Path) -> None:
    """The real psql, no server: its own words are the message."""
    file = folder(tmp_path, "1.sql") / "1.sql"
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]

    with pytest.raises(MigrationError) as failed:
        sql.apply(file, endpoint(port), ENVIRON)

    assert failed.value.what.startswith("migration 1.sql failed: psql: error: connection to server at")
    assert "Connection refused" in failed.value.evidence


def test_a_migration_that_waits_for_ever_is_ended(
    tmp_path: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and says nothing does not hold the run for ever."""
    monkeypatch.setattr(sql, "_TIMEOUT_S", 0.2)

    def silence(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    port = listen(silence)
    file = folder(tmp_path, "1.sql") / "1.sql"

    with pytest.raises(MigrationError) as failed:
        sql.apply(file, endpoint(port), ENVIRON)

    assert str(failed.value) == (
        "migration 1.sql did not end: psql did not answer within 0.2 s\n  do:       look for a lock it waits on"
    )


@pytest.mark.parametrize(
    "said",
    [
        'psql: error: connection to server at "localhost" (127.0.0.1), port 1 failed: server closed the connection',
        "psql:1.sql:3: fatal: connection to server was lost",
    ],
)
def test_a_server_that_ends_is_no_fault_of_the_migration(said: str) -> None:
    """The advice is not to fix a file that was never asked."""
    failed = sql._failed(Path("1.sql"), said)

    assert failed.what == "migration 1.sql is not applied: PostgreSQL ended the connection"
    assert failed.todo.startswith("run it again; ")


@pytest.mark.parametrize(
    ("said", "thing", "todo"),
    [
        ('collation "en_US.utf8" for encoding "UTF8" does not exist', "locale 'en_US.utf8'", "`sudo locale-gen en_US"),
        ('collation "de-x-icu" for encoding "UTF8" does not exist', "locale 'de-x-icu'", "`testbay servers add`"),
        ('invalid LC_COLLATE locale name: "en_US.UTF-8"', "locale 'en_US.UTF-8'", "`sudo locale-gen en_US"),
        ('could not create locale "en_US.utf8": No such file or directory', "locale 'en_US.utf8'", "`sudo locale-gen"),
        ("ICU is not supported in this build", "ICU", "`testbay servers add`"),
    ],
)
def test_a_missing_locale_is_no_fault_of_the_migration(said: str, thing: str, todo: str) -> None:
    """The image has en_US and ICU's; the server of this machine has what was built in and what the machine has."""
    failed = sql._failed(Path("1.sql"), f"psql:1.sql:1: ERROR:  {said}\n")

    assert failed.what == f"this PostgreSQL server has no {thing}, which 1.sql asks for"
    assert failed.todo.startswith(todo)
    assert failed.todo.endswith("an image that has it, with --engine compose")


@pytest.mark.parametrize(
    ("said", "extension"),
    [
        ('type "geometry" does not exist', "postgis"),
        ("function st_makepoint(integer, integer) does not exist", "postgis"),
        ("function create_hypertable(unknown, unknown) does not exist", "timescaledb"),
        ("function public.create_distributed_table(unknown, unknown) does not exist", "citus"),
    ],
)
def test_an_extension_that_the_image_makes_is_no_fault_of_the_migration(said: str, extension: str) -> None:
    """Its entrypoint runs CREATE EXTENSION, so that no migration does."""
    failed = sql._failed(Path("1.sql"), f"psql:1.sql:1: ERROR:  {said}\n")

    assert failed.what == f"1.sql uses the extension {extension!r}, which this database does not have"
    assert failed.todo.startswith(f"say CREATE EXTENSION IF NOT EXISTS {extension} in a migration; ")


def test_a_collation_of_its_own_is_the_migrations() -> None:
    """One that it should have made itself."""
    failed = sql._failed(Path("1.sql"), 'psql:1.sql:1: ERROR:  collation "ci" for encoding "UTF8" does not exist\n')

    assert failed.what.startswith("migration 1.sql failed at line 1")


@pytest.mark.parametrize(("name", "is_added"), [("postgis", False), ("pgcrypto", True)])
def test_missing_extension_is_no_fault_of_the_migration(name: str, *, is_added: bool) -> None:
    """The server that runs here came without it; one that `testbay servers add` brings has those of contrib alone."""
    failed = sql._failed(Path("1.sql"), f'psql:1.sql:1: ERROR:  extension "{name}" is not available\n')

    assert failed.what == f"this PostgreSQL server has no extension {name!r}, which 1.sql asks for"
    assert ("testbay servers add" in failed.todo) == is_added

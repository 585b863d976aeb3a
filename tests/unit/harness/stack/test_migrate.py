import hashlib
import os
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.errors import EngineUnavailableError, MigrationError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.stack import dialects, migrate

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
    assert migrate.missing_numbers([Path(name) for name in names]) == missing


def test_only_what_a_database_lacks_is_pending(tmp_path: Path) -> None:
    """By name, as long as the text is the one that was applied."""
    files = dialects.ordered(folder(tmp_path, "1.sql", "2.sql", "3.sql"))
    applied = [["1.sql", migrate.digest(files[0])], ["0.sql", "gone"], ["3.sql", migrate.digest(files[2])]]

    assert migrate.pending(files, applied) == [tmp_path / "2.sql"]
    assert migrate.digest(files[0]) == hashlib.sha256(b"-- 1.sql\n").hexdigest()


def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    """The database has the old text, and nobody can take it back."""
    files = dialects.ordered(folder(tmp_path, "1.sql"))

    with pytest.raises(MigrationError) as refused:
        migrate.pending(files, [["1.sql", "another digest"]])

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
            "psql:2.sql:3: error: more.sql: No such file or directory\n",
            "migration 2.sql failed at line 3: more.sql: No such file or directory",
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
    error = migrate._failed(Path("/m/2.sql"), said)

    assert (error.what, error.why, error.todo, error.evidence) == (what, why, "fix /m/2.sql", said.strip())


def test_endless_output_is_cut() -> None:
    """Evidence is for reading."""
    assert len(migrate._failed(Path("2.sql"), "x" * 100_000).evidence) == 4000


def test_a_database_that_is_not_there_is_a_failed_migration(tmp_path: Path) -> None:
    """The real psql, no server: its own words are the message."""
    file = folder(tmp_path, "1.sql") / "1.sql"
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]

    with pytest.raises(MigrationError) as failed:
        migrate.apply_sql(file, endpoint(port), ENVIRON)

    assert failed.value.what.startswith("migration 1.sql failed: psql: error: connection to server at")
    assert "Connection refused" in failed.value.evidence


def test_a_migration_that_waits_for_ever_is_ended(
    tmp_path: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and says nothing does not hold the run for ever."""
    monkeypatch.setattr(migrate, "_TIMEOUT_S", 0.2)

    def silence(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    port = listen(silence)
    file = folder(tmp_path, "1.sql") / "1.sql"

    with pytest.raises(MigrationError) as failed:
        migrate.apply_sql(file, endpoint(port), ENVIRON)

    assert str(failed.value) == (
        "migration 1.sql did not end: psql did not answer within 0.2 s\n  do:       look for a lock it waits on"
    )


def test_a_migrate_command_runs_in_the_services_folder(tmp_path: Path) -> None:
    """With the stack's environment, and its quotes as a shell reads them."""
    handed: list[int] = []
    environ = {**ENVIRON, "URL": "postgresql://x"}
    command = "sh -c 'pwd > where; echo $URL > url'"
    migrate.run_command(command, tmp_path, environ, tmp_path / "log", handed.append)

    said = ((tmp_path / "where").read_text(encoding="utf-8"), (tmp_path / "url").read_text(encoding="utf-8"))
    assert (said, len(handed)) == ((f"{tmp_path}\n", "postgresql://x\n"), 1)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("psql:a.sql:2: ERROR:  no table\n", "psql went on after ERROR: no table"),
        ("ERROR:  no table\nLINE 1: x\n", "psql went on after ERROR: no table"),
        ("ERROR: of another program\nINFO psql\n", ""),
    ],
)
def test_psql_that_goes_on_after_an_error_is_told(tmp_path: Path, printed: str, told: str) -> None:
    """Its exit code is 0 unless ON_ERROR_STOP is set: the database may lack what the file should make."""
    command = f"printf {shlex.quote(printed)} >&2; true"

    assert migrate.run_command(command, tmp_path, ENVIRON, tmp_path / "log", lambda _: None) == told


def test_a_failed_migrate_command_shows_its_last_words(tmp_path: Path) -> None:
    """And the command that runs it by hand."""
    command = "sh -c 'echo out; echo err >&2; exit 3'"

    with pytest.raises(MigrationError) as failed:
        migrate.run_command(command, tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert str(failed.value).splitlines() == [
        f"migrate = {command!r} failed with exit code 3",
        "  why:      its last lines say",
        f"  do:       run it yourself: testbay exec SERVICE --no-migrate -- {command}",
        "  evidence: out",
        "            err",
    ]


def test_migrate_command_of_a_shell_is_run_by_hand_in_one(tmp_path: Path) -> None:
    """What is proposed does the same as what failed."""
    with pytest.raises(MigrationError) as failed:
        migrate.run_command("false && true", tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert failed.value.todo == "run it yourself: testbay exec SERVICE --no-migrate -- sh -c 'false && true'"


@pytest.mark.parametrize(
    "said",
    [
        'ERROR:  extension "postgis" is not available',
        'could not open extension control file "/usr/share/extension/postgis.control": No such file',
    ],
)
def test_missing_extension_blames_the_server(tmp_path: Path, said: str) -> None:
    """The migration is right, whether psql or a tool of Python's reports it."""
    with pytest.raises(EngineUnavailableError) as failed:
        migrate.run_command(f"echo {shlex.quote(said)}; false", tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    of_sql = migrate._failed(Path("1.sql"), f"psql:1.sql:1: ERROR:  {said.removeprefix('ERROR:  ')}\n")
    assert failed.value.what == "this PostgreSQL server has no extension 'postgis', which `migrate` asks for"
    assert of_sql.what == "this PostgreSQL server has no extension 'postgis', which 1.sql asks for"


@pytest.mark.parametrize(
    "said",
    [
        'psql: error: connection to server at "localhost" (127.0.0.1), port 1 failed: server closed the connection',
        "psql:1.sql:3: fatal: connection to server was lost",
    ],
)
def test_a_server_that_ends_is_no_fault_of_the_migration(said: str) -> None:
    """The advice is not to fix a file that was never asked."""
    failed = migrate._failed(Path("1.sql"), said)

    assert failed.what == "migration 1.sql is not applied: PostgreSQL ended the connection"
    assert failed.todo.startswith("run it again; ")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-program", "could not run: [Errno 2] No such file or directory: 'no-such-program'"),
        ("sleep 60", "did not end within 0.1 s"),
        ("echo 'x", "could not run: No closing quotation"),
    ],
)
def test_a_migrate_command_that_cannot_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    """Missing, endless or misquoted."""
    monkeypatch.setattr(migrate, "_TIMEOUT_S", 0.1)

    with pytest.raises(MigrationError) as failed:
        migrate.run_command(command, tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert failed.value.what == f"migrate = {command!r} {why}"


def test_an_environment_that_is_passed_over_is_named(tmp_path: Path) -> None:
    """It lacks pytest alone, so what the command misses may well be there."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()

    with pytest.raises(MigrationError) as failed:
        migrate.run_command("no-such-program", tmp_path, {"PATH": "/first:/bin"}, tmp_path / "log", lambda _: None)

    assert failed.value.why == (
        f"its PATH begins with /first; {tmp_path}/.venv is passed over, for it has no pytest: install it there"
    )
    assert failed.value.todo == "install the program there, or fix the manifest's `migrate`"


def test_a_file_that_comes_with_an_old_time_is_a_change(tmp_path: Path) -> None:
    """As rsync and tar bring it."""
    began = time.time() - 60
    (tmp_path / "0002.py").touch()
    os.utime(tmp_path / "0002.py", (1, 1))

    assert migrate.newest_change(tmp_path) > began

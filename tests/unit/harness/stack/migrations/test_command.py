import os
import shlex
import time
from pathlib import Path

import pytest

from testbay.errors import EngineUnavailableError, MigrationError
from testbay.harness.stack.migrations import command

ENVIRON = {"PATH": os.defpath}


def test_a_migrate_command_runs_in_the_services_folder(tmp_path: Path) -> None:
    """With the stack's environment, and its quotes as a shell reads them."""
    handed: list[int] = []
    environ = {**ENVIRON, "URL": "postgresql://x"}
    line = "sh -c 'pwd > where; echo $URL > url'"
    command.run(line, tmp_path, environ, tmp_path / "log", handed.append)

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
    line = f"printf {shlex.quote(printed)} >&2; true"

    assert command.run(line, tmp_path, ENVIRON, tmp_path / "log", lambda _: None) == told


def test_a_daemon_of_a_migrate_command_ends_with_it(tmp_path: Path) -> None:
    """Also one that left the command's session, as a build tool's does."""
    line = "setsid sh -c 'echo $$ > pid; sleep 60' & until test -s pid; do :; done"
    command.run(line, tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert not Path("/proc", (tmp_path / "pid").read_text(encoding="utf-8").strip()).exists()


def test_a_failed_migrate_command_shows_its_last_words(tmp_path: Path) -> None:
    """And the command that runs it by hand."""
    line = "sh -c 'echo out; echo err >&2; exit 3'"

    with pytest.raises(MigrationError) as failed:
        command.run(line, tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert str(failed.value).splitlines() == [
        f"migrate = {line!r} failed with exit code 3",
        "  why:      its last lines say",
        f"  do:       run it yourself: testbay exec --no-migrate -- {line}",
        "  evidence: out",
        "            err",
    ]


def test_migrate_command_of_a_shell_is_run_by_hand_in_one(tmp_path: Path) -> None:
    """What is proposed does the same as what failed."""
    with pytest.raises(MigrationError) as failed:
        command.run("false && true", tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert failed.value.todo == "run it yourself: testbay exec --no-migrate -- sh -c 'false && true'"


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
        command.run(f"echo {shlex.quote(said)}; false", tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert failed.value.what == "this PostgreSQL server has no extension 'postgis', which `migrate` asks for"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no-such-program", "could not run: [Errno 2] No such file or directory: 'no-such-program'"),
        ("sleep 60", "did not end within 0.1 s"),
        ("echo 'x", "could not run: No closing quotation"),
    ],
)
def test_a_migrate_command_that_cannot_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, why: str
) -> None:
    """Missing, endless or misquoted."""
    monkeypatch.setattr(command, "_TIMEOUT_S", 0.1)

    with pytest.raises(MigrationError) as failed:
        command.run(line, tmp_path, ENVIRON, tmp_path / "log", lambda _: None)

    assert failed.value.what == f"migrate = {line!r} {why}"


def test_an_environment_that_is_passed_over_is_named(tmp_path: Path) -> None:
    """It lacks pytest alone, so what the command misses may well be there."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()

    with pytest.raises(MigrationError) as failed:
        command.run("no-such-program", tmp_path, {"PATH": "/first:/bin"}, tmp_path / "log", lambda _: None)

    assert failed.value.why == (
        f"its PATH begins with /first; {tmp_path}/.venv is ignored, as it has no pytest: install it there"
    )
    assert failed.value.todo == "install the program there, or fix the manifest's `migrate`"


def test_a_file_that_comes_with_an_old_time_is_a_change(tmp_path: Path) -> None:
    """As rsync and tar bring it."""
    began = time.time() - 60
    (tmp_path / "0002.py").touch()
    os.utime(tmp_path / "0002.py", (1, 1))

    assert command.newest_change(tmp_path) > began

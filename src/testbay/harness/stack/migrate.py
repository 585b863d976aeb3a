"""Migrations: a folder of ordered SQL through psql, or the service's own command."""

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from testbay import process
from testbay.errors import BayError, EngineUnavailableError, MigrationError
from testbay.harness import commandline
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.stack import dialects
from testbay.logs import tail
from testbay.manifest.environments import environment, without_pytest

_TIMEOUT_S = 600.0
WENT_ON = "psql went on after ERROR: "
READING = 3  # raised when files are read differently: a template made by the old reading is not used


def missing_numbers(files: list[Path]) -> list[int]:
    """Numbers left out of a plain 1, 2, 3 … sequence; time stamps are no such sequence."""
    numbers = sorted({dialects.number(file) for file in files})
    if len(numbers) < 2 or numbers[-1] > 9999 or numbers[-1] - numbers[0] > 2 * len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1])) - set(numbers))


def digest(file: Path) -> str:
    """Digest a migration, to tell a changed one from the one that was applied."""
    with file.open("rb") as content:  # beside the scripts of an image there may be a dump of gigabytes
        return hashlib.file_digest(content, "sha256").hexdigest()


def pending(files: list[Path], applied: Sequence[Sequence[str]]) -> list[Path]:
    """The files a database does not have yet.

    Args:
        files: Every migration, in order.
        applied: Name and digest of those it has.

    Raises:
        MigrationError: One of those has changed since.
    """
    known = {entry[0]: entry[1] for entry in applied}
    for file in files:
        if file.name in known and known[file.name] != digest(file):
            raise MigrationError(
                f"migration {file.name} changed after it was applied",
                why="a database cannot be taken back to before it",
                todo="testbay down, then up again: a fresh stack takes the new text",
            )
    return [file for file in files if file.name not in known]


def apply_sql(file: Path, endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """Apply the upward part of a migration through psql; return a remark for the user, or an empty string.

    Raises:
        MigrationError: With file, line, statement and the server's message.
    """
    part = dialects.upward(file)
    with ExitStack() as scratch:
        target = file.name
        if part.cut_at:  # the same lines, the way down left blank: psql names the line that the reader sees
            folder = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="testbay-")))
            target = str(folder / file.name)
            Path(target).write_text(part.text, encoding="utf-8", errors="surrogateescape")
        end = ["-1"] if part.one_transaction else ["-c", _AT_END.format(db=endpoint.db.replace("'", "''"))]
        arguments = ["-b", "-v", "ON_ERROR_STOP=1", "-f", target, *end]
        try:
            done = postgres.psql(endpoint, arguments, timeout_s=_TIMEOUT_S, environ=environ, cwd=file.parent)
        except OSError as error:
            raise MigrationError(
                f"migration {file.name} did not end: {error}", todo="look for a lock it waits on"
            ) from None
    if how := _ENDED.search(done.err):
        raise _ended_badly(file.name, endpoint.db, how)
    if done.code != 0:
        raise _failed(file, done.err.replace(target, file.name))
    return f"the way up alone; its way down begins at line {part.cut_at}" if part.cut_at else ""


# Outside a transaction block both times are this statement's own.
_AT_END = """DO $$ BEGIN
IF now() <> statement_timestamp() THEN RAISE 'testbay: open'; END IF;
IF current_database() <> '{db}' THEN RAISE 'testbay: elsewhere: %', current_database(); END IF;
END $$"""
_ENDED = re.compile(r"^(?:psql:[^\n]*?)?ERROR:\s+testbay: (?P<how>open|elsewhere: (?P<db>.*))$", re.MULTILINE)


def _ended_badly(name: str, db: str, how: re.Match[str]) -> MigrationError:
    if how["db"] is None:
        return MigrationError(
            f"migration {name} leaves a transaction open: PostgreSQL takes back what it did",
            why="a BEGIN in it has no COMMIT",
            todo="end it with COMMIT; or leave BEGIN out",
        )
    return MigrationError(
        f"migration {name} ends in another database: {how['db']}",
        why=f"tests and leases have {db}, where nothing is of what follows its \\connect",
        todo=f"leave \\connect out, or return: \\connect {db}",
    )


_COMPLAINT = re.compile(r"^psql:(.+?):(\d+): (?:ERROR|FATAL|error):\s+(.*)$", re.MULTILINE)


# Its two spaces tell it from what other programs log; a psql that reads its standard input names no file.
_COMPLAINT_OF_PSQL = re.compile(r"^(?:psql:.+?:\d+: )?ERROR:  (\S.*)$", re.MULTILINE)
_LOST = re.compile(r"connection to server (?:at .* failed: server closed the connection|was lost)")


def _failed(file: Path, said: str) -> BayError:
    """The error for psql's words `psql:FILE:LINE: ERROR:  …`; FILE may be one that the migration includes."""
    place = _COMPLAINT.search(said)
    if _LOST.search(said):
        return MigrationError(
            f"migration {file.name} is not applied: PostgreSQL ended the connection",
            why="the server ended, or another program ended it; the migration itself may be right",
            todo="run it again; if that happens each time, look for what ends it: memory, a full disk, another program",
            evidence=said.strip()[:4000],
        )
    if place is None:
        where, message = "", said.strip().partition("\n")[0]
    else:
        where = f" at line {place[2]}" + ("" if place[1] == file.name else f" of {place[1]}")
        message = place[3]
    if lacking := _MISSING_EXTENSION.search(message):
        return _without_extension(file.name, lacking["name"] or lacking["file"], said)
    return MigrationError(
        f"migration {file.name} failed{where}: {message}",
        why="the database refused the statement below" if place else "psql could not run it",
        todo=f"fix {file}",
        evidence=said.strip()[:4000],
    )


_MISSING_EXTENSION = re.compile(
    r"extension \"(?P<name>[^\"]+)\" is not available"
    r"|could not open extension control file .*/(?P<file>[\w-]+)\.control"
)


def lacking_extension(what: str, said: str) -> BayError | None:
    """The error of a server without an extension that `what` asks for; None when something else was wrong."""
    lacking = _MISSING_EXTENSION.search(said)
    return _without_extension(what, lacking["name"] or lacking["file"], said) if lacking else None


def _without_extension(migration: str, name: str, said: str) -> BayError:
    return EngineUnavailableError(
        f"this PostgreSQL server has no extension {name!r}, which {migration} asks for",
        why="the migration is right: the server that runs here came without it",
        todo="--engine compose with an image that has it, `testbay servers add postgres:17` (its server has uuid-ossp, "
        "pgcrypto and their like), or install it for a PostgreSQL of this system (`testbay explain troubleshooting`)",
        evidence=said.strip()[:4000],
    )


_MADE_BY_TOOLS = ("__pycache__", "node_modules")


def newest_change(root: Path) -> float:
    """Date the last change in the service's folder (seconds since 1970), without the files that tools make there.

    A file that rsync, tar or `cp -p` brings has its old time of change; when it came is told by the other one.
    """
    newest = 0.0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in _MADE_BY_TOOLS]
        for name in (*names, *files):
            with suppress(OSError):  # it went while we looked
                facts = (Path(folder) / name).lstat()
                newest = max(newest, facts.st_mtime, facts.st_ctime)
    return newest


def run_command(
    command: str,
    root: Path,
    environ: Mapping[str, str],
    log: Path,
    own: Callable[[int], None],
    *,
    values: Mapping[str, str] | None = None,
) -> str:
    """Run the manifest's `migrate` command in the service's folder, in a session that `own` is told of.

    `values` are what its placeholders stand for. Returns the error after which a psql among it went on, if one did:
    its exit code does not tell.

    Raises:
        MigrationError: It could not be started, did not end, or failed; its last words are the evidence.
        EngineUnavailableError: It failed as the server lacks an extension.
    """
    what = f"migrate = {command!r}"
    try:
        argv = commandline.argv(command, values or {}, environ.get("PATH", os.defpath))
        with log.open("wb") as output:
            child = process.spawn(argv, env=environ, cwd=root, output=output, new_session=True)
    except (OSError, ValueError) as error:
        todo = (
            "install the program there, or fix the manifest's `migrate`" if error.__class__ is FileNotFoundError else ""
        )
        raise MigrationError(
            f"{what} could not run: {error}",
            why=f"its PATH begins with {environ.get('PATH', '').partition(os.pathsep)[0]}{_passed(root, environ)}",
            todo=todo or "fix the manifest's `migrate`",
        ) from None
    code = await_end(child, own, what, _TIMEOUT_S)
    if code != 0:
        raise _command_failed(what, command, code, tail(log, 20), _passed(root, environ))
    complaint = _COMPLAINT_OF_PSQL.search(tail(log, 1000))
    return f"{WENT_ON}{complaint[1]}" if complaint else ""


def _passed(root: Path, environ: Mapping[str, str]) -> str:
    """A remark on the project's own environment if testbay ignores it: it often has the missing program."""
    folder = None if environment(root, environ) else without_pytest(root)
    return f"; {folder} is passed over, for it has no pytest: install it there" if folder else ""


def _command_failed(what: str, command: str, code: int, said: str, passed: str) -> BayError:
    if lacking := lacking_extension("`migrate`", said):
        return lacking
    by_hand = f"sh -c {shlex.quote(command)}" if commandline.needs_shell(command) else command
    return MigrationError(
        f"{what} failed with exit code {code}",
        why=f"its last lines say{passed}",
        todo=f"run it yourself: testbay exec SERVICE --no-migrate -- {by_hand}",
        evidence=said,
    )


def await_end(child: process.Child, own: Callable[[int], None], what: str, timeout_s: float) -> int:
    """Hand a command's session to the guard, wait for its end, end the rest of the session; return the exit code.

    Raises:
        MigrationError: It did not end in time.
    """
    own(child.pid)
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise MigrationError(f"{what} did not end within {timeout_s:g} s", todo="look for a lock it waits on") from None
    finally:
        process.end(process.in_session(child.pid))
        child.wait()


def first_error(said: str) -> str:
    """The first error in psql's output, else its first line."""
    place = _COMPLAINT.search(said)
    return place[3] if place else said.strip().partition("\n")[0]

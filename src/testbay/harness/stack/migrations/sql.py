"""A folder of SQL migrations: finding the pending ones, and applying each through psql."""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from testbay import process
from testbay.errors import BayError, MigrationError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.stack.migrations import complaints, dialects
from testbay.harness.stack.migrations.migrated import AppliedFile

_TIMEOUT_S = 600.0
READING = 5  # raised when files are read differently: a template made by the old reading is not used


def missing_numbers(files: list[Path]) -> list[int]:
    """The gaps in a plain sequence 1, 2, 3 …; timestamps are no such sequence."""
    numbers = sorted({dialects.numbers(file)[0] for file in files})
    if len(numbers) < 2 or numbers[-1] > 9999 or numbers[-1] - numbers[0] > 2 * len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1])) - set(numbers))


def digest(file: Path) -> str:
    """Digest a migration, to detect a change after it was applied."""
    with file.open("rb") as content:  # beside the scripts of an image there may be a dump of gigabytes
        return hashlib.file_digest(content, "sha256").hexdigest()


def pending(files: list[Path], applied: Sequence[AppliedFile]) -> list[Path]:
    """The files, of all in order, that a database still lacks; `applied` are those it has.

    Raises:
        MigrationError: One of those has changed since.
    """
    known = {entry.name: entry.digest for entry in applied}
    for file in files:
        if file.name in known and known[file.name] != digest(file):
            raise MigrationError(
                f"migration {file.name} changed after it was applied",
                why="a database cannot be taken back to before it",
                todo="testbay down, then up again: a fresh stack takes the new text",
            )
    return [file for file in files if file.name not in known]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """Remarks on a migration that psql applied; `lacks` says why not all of it is in the database."""

    remark: str = ""
    lacks: str = ""


def apply(file: Path, endpoint: Endpoint, environ: Mapping[str, str]) -> Applied:
    """Apply the upward part of a migration through psql.

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
        arguments = ["-b", "-v", "QUIET=off", "-v", "ON_ERROR_STOP=1", "-f", target, *end]
        try:
            done = postgres.psql(endpoint, arguments, timeout_s=_TIMEOUT_S, environ=environ, cwd=file.parent)
        except OSError as error:
            raise MigrationError(
                f"migration {file.name} did not end: {error}", todo="look for a lock it waits on"
            ) from None
    if how := _ENDED.search(done.err):
        raise _ended_badly(file.name, endpoint.db, how)
    went_on = complaints.first(done.err)  # the file itself may switch ON_ERROR_STOP off
    if done.code != 0 or (went_on and part.one_transaction):
        raise _failed(file, done.err.replace(target, file.name))
    return Applied(
        remark=f"the way up alone; its way down begins at line {part.cut_at}" if part.cut_at else "",
        lacks=f"psql went on after ERROR: {went_on['message']}" if went_on else _left_out(part, file.parent, done),
    )


_TAKES_BACK = re.compile(r"\s*(?:ROLLBACK|ABORT)(?:\s+(?:WORK|TRANSACTION))?\s*;", re.IGNORECASE)


_INCLUDES_BESIDE = ("\\ir", "\\include_relative")  # the file is looked for beside the one that includes it
_INCLUDES = ("\\i", "\\include", *_INCLUDES_BESIDE)


def _left_out(part: dialects.Upward, folder: Path, done: process.Completed) -> str:
    """Say what a file that ended well left out of the database: behind its `quit`, before its ROLLBACK."""
    taken_back = len(re.findall(r"^ROLLBACK$", done.out, re.MULTILINE))
    if not part.one_transaction:  # there the COMMIT of our own says the same
        taken_back -= done.err.count("there is no transaction in progress")
    return _stopped(part.text, (folder, folder), "", taken_back=taken_back > 0)


def _stopped(text: str, folders: tuple[Path, Path], of: str, *, taken_back: bool) -> str:
    """Find the line of a file, or of one that it includes, which stopped psql or took back what stands before it.

    `folders` are psql's own and that of the file, `of` names the file if it is an included one.
    """
    depth, lines = 0, text.splitlines()
    for place, line in enumerate(lines, 1):
        words = line.split()
        depth += (words[:1] == ["\\if"]) - (words[:1] == ["\\endif"])
        if words in (["\\q"], ["\\quit"]) and depth == 0 and any(map(_is_statement, lines[place:])):
            return f"psql left out what follows line {place}{of}, {words[0]}"
        if taken_back and _TAKES_BACK.match(line):
            return f"line {place}{of}, ROLLBACK, took back what stands before it"
        if len(words) == 2 and words[0] in _INCLUDES and depth == 0:  # a file that includes itself has an \if
            file = folders[words[0] in _INCLUDES_BESIDE] / words[1].strip("'\"")
            inner = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
            if found := _stopped(inner, (folders[0], file.parent), f" of {file.name}", taken_back=taken_back):
                return found
    return ""


def _is_statement(line: str) -> bool:
    return not re.fullmatch(r"\s*(?:--.*)?", line)


def is_empty(file: Path) -> bool:
    """Return whether the upward part of a migration holds nothing but comments."""
    return not any(map(_is_statement, re.sub(r"(?s)/\*.*?\*/", "", dialects.upward(file).text).splitlines()))


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


_NOT_THERE = re.compile(r"(.+): No such file or directory")
_LOST = re.compile(r"connection to server (?:at .* failed: server closed the connection|was lost)")


def _failed(file: Path, output: str) -> BayError:
    """Make the error from psql's `psql:FILE:LINE: ERROR: …`; FILE may be one that the migration includes."""
    place = complaints.first(output)
    if _LOST.search(output):
        return MigrationError(
            f"migration {file.name} is not applied: PostgreSQL ended the connection",
            why="the server ended, or another program ended it; the migration itself may be right",
            todo="run it again; if that happens each time, look for what ends it: memory, a full disk, another program",
            evidence=output.strip()[:4000],
        )
    if place is None:
        where, message = "", output.strip().partition("\n")[0]
    else:
        where = f" at line {place['line']}" + ("" if place["file"] == file.name else f" of {place['file']}")
        message = place["message"]
    if lacking := complaints.lacking(file.name, output):
        return lacking
    by_server = place is not None and ": error:" not in place[0]
    why, todo = "the database refused the statement below" if by_server else "psql could not run it", f"fix {file}"
    if not by_server and (lost := _NOT_THERE.fullmatch(message)):
        why = f"psql runs in {file.parent}: the path of an \\i or a \\copy counts from there"
        todo = f'let psql run where {lost[1]} is found: migrate = "psql -v ON_ERROR_STOP=1 -f …" instead of migrations'
    return MigrationError(
        f"migration {file.name} failed{where}: {message}", why=why, todo=todo, evidence=output.strip()[:4000]
    )

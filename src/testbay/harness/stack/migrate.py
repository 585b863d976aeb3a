"""Migrations: a folder of ordered SQL through psql, or the service's own command."""

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from testbay import process
from testbay.errors import MigrationError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import server as postgres
from testbay.logs import tail

_TIMEOUT_S = 600.0


def ordered(folder: Path) -> list[Path]:
    """The migrations of a folder in the order they apply: by leading number, then by name; `*.down.sql` never.

    Raises:
        MigrationError: There is none.
    """
    files = [file for file in folder.glob("*.sql") if file.is_file() and not file.name.endswith(".down.sql")]
    if not files:
        raise MigrationError(
            f"{folder} holds no migration",
            why="migrations are files named *.sql or *.up.sql directly in that folder",
            todo="add one (0001_first.sql), or take `migrations` out of the manifest",
        )
    return sorted(files, key=lambda file: (_number(file), file.name))


def _number(file: Path) -> int:
    match = re.match(r"[vV]?(\d+)", file.name)
    return int(match[1]) if match else 0


def missing_numbers(files: list[Path]) -> list[int]:
    """Numbers left out of a plain 1, 2, 3 … sequence; time stamps are no such sequence."""
    numbers = sorted({_number(file) for file in files})
    if len(numbers) < 2 or numbers[-1] > 9999 or numbers[-1] - numbers[0] > 2 * len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1])) - set(numbers))


def digest(file: Path) -> str:
    """What tells a changed migration from the one that was applied."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


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


def apply_sql(file: Path, endpoint: Endpoint, environ: Mapping[str, str]) -> None:
    """Apply one file through psql.

    Raises:
        MigrationError: With file, line, statement and the server's message.
    """
    arguments = ["-b", "-v", "ON_ERROR_STOP=1", "-f", file.name]
    try:
        done = postgres.psql(endpoint, arguments, timeout_s=_TIMEOUT_S, environ=environ, cwd=file.parent)
    except OSError as error:
        raise MigrationError(
            f"migration {file.name} did not end: {error}", todo="look for a lock it waits on"
        ) from None
    if done.code != 0:
        raise _failed(file, done.err)


def _failed(file: Path, said: str) -> MigrationError:
    """`psql:FILE:LINE: ERROR:  …`, or `error:` for what psql itself refuses; FILE may be one that it includes."""
    place = re.search(r"^psql:(.+?):(\d+): (?:ERROR|FATAL|error):\s+(.*)$", said, re.MULTILINE)
    if place is None:
        where, message = "", said.strip().partition("\n")[0]
    else:
        where = f" at line {place[2]}" + ("" if place[1] == file.name else f" of {place[1]}")
        message = place[3]
    return MigrationError(
        f"migration {file.name} failed{where}: {message}",
        why="the database refused the statement below" if place else "psql could not run it",
        todo=f"mend {file}",
        evidence=said.strip()[:4000],
    )


_MADE_BY_TOOLS = ("__pycache__", "node_modules")


def newest_change(root: Path) -> float:
    """When a file or folder of the service was last changed (seconds since 1970), leaving out what tools make there."""
    newest = 0.0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in _MADE_BY_TOOLS]
        for name in (*names, *files):
            with suppress(OSError):  # it went while we looked
                newest = max(newest, (Path(folder) / name).lstat().st_mtime)
    return newest


def run_command(command: str, root: Path, environ: Mapping[str, str], log: Path, own: Callable[[int], None]) -> None:
    """Run the manifest's `migrate` command in the service's folder, in a session that `own` is told of.

    Raises:
        MigrationError: It could not be started, did not end, or failed; its last words are the evidence.
    """
    what = f"migrate = {command!r}"
    try:
        with log.open("wb") as output:
            child = process.spawn(shlex.split(command), env=environ, cwd=root, output=output, new_session=True)
    except (OSError, ValueError) as error:
        raise MigrationError(f"{what} could not run: {error}", todo="mend the manifest's `migrate`") from None
    own(child.pid)
    try:
        code = child.wait(_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MigrationError(
            f"{what} did not end within {_TIMEOUT_S:g} s", todo="look for a lock it waits on"
        ) from None
    finally:
        process.end(process.in_session(child.pid))
        child.wait()
    if code != 0:
        raise MigrationError(
            f"{what} failed with exit code {code}",
            why="its last lines say",
            todo=f"run it yourself: testbay exec SERVICE --no-migrate -- {command}",
            evidence=tail(log, 20),
        )

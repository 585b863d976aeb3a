"""Running the manifest's migrate command, in a session that the guard owns."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from testbay import process
from testbay.errors import BayError, MigrationError
from testbay.harness import commandline
from testbay.harness.stack.migrations import complaints
from testbay.logs import tail
from testbay.manifest.environments import environment, without_pytest

_TIMEOUT_S = 600.0
# Its two spaces tell it from what other programs log; a psql that reads its standard input names no file.
_COMPLAINT_OF_PSQL = re.compile(r"^(?:psql:.+?:\d+: )?ERROR:  (\S.*)$", re.MULTILINE)
_MADE_BY_TOOLS = ("__pycache__", "node_modules")


def newest_change(root: Path) -> float:
    """The time of the newest change in the service's folder (seconds since 1970), ignoring files that tools write.

    rsync, tar and `cp -p` preserve a file's modification time, so its change time counts as well.
    """
    newest = 0.0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in _MADE_BY_TOOLS]
        for name in (*names, *files):
            with suppress(OSError):  # it went while we looked
                facts = (Path(folder) / name).lstat()
                newest = max(newest, facts.st_mtime, facts.st_ctime)
    return newest


def run(
    command: str,
    root: Path,
    environ: Mapping[str, str],
    log: Path,
    own: Callable[[int], None],
    *,
    values: Mapping[str, str] | None = None,
) -> str:
    """Run the manifest's `migrate` command in the service's folder; `own` is told its session. Its daemons end with it.

    `values` are those of its placeholders. Returns the error after which a psql in it continued, if one did: the exit
    code does not show that.

    Raises:
        MigrationError: It could not be started, did not end, or failed; its last words are the evidence.
        EngineUnavailableError: It failed as the server lacks an extension.
    """
    what = f"migrate = {command!r}"
    try:
        argv = commandline.argv(command, values or {}, environ.get("PATH", os.defpath))
        with log.open("wb") as output:
            child = process.spawn(argv, env=environ, cwd=root, output=output, new_session=True, reaped=True)
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
    return f"psql went on after ERROR: {complaint[1]}" if complaint else ""


def _passed(root: Path, environ: Mapping[str, str]) -> str:
    """A note that testbay ignores the project's own environment, if it does: the missing program is often there."""
    folder = None if environment(root, environ) else without_pytest(root)
    return f"; {folder} is ignored, as it has no pytest: install it there" if folder else ""


def _command_failed(what: str, command: str, code: int, output: str, passed: str) -> BayError:
    if lacking := complaints.lacking("`migrate`", output):
        return lacking
    by_hand = f"sh -c {shlex.quote(command)}" if commandline.needs_shell(command) else command
    return MigrationError(
        f"{what} failed with exit code {code}",
        why=f"{'its last lines say' if output.strip() else 'it printed nothing'}{passed}",
        todo=f"run it yourself: testbay exec --no-migrate -- {by_hand}",
        evidence=output,
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

"""Running the scripts of /docker-entrypoint-initdb.d without Docker, as a PostgreSQL image does once."""

import gzip
import lzma
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from testbay import process
from testbay.errors import BayError, MigrationError
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import image, mounts, programs
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.engines import sandbox
from testbay.harness.stack import serverconf
from testbay.harness.stack.migrations import complaints
from testbay.harness.stack.migrations.command import await_end
from testbay.harness.stack.stack import Stack
from testbay.output import Voice

_TIMEOUT_S = 600.0
_LIMIT_BYTES = 1 << 31  # of one script, unpacked
_CHUNK = 1 << 20
# As the image's entrypoint does: what can be executed is, anything else is read into its own shell, which has its
# function and array for SQL, and keeps what a script exports for the next one ($2 is the file with that).
_EXECUTED = '[ ! -e "$2" ] || . "$2"; exec "$1"'
_RELATIVE = re.compile(r"(?m)^\\(?:ir|include_relative)[ \t]+(?=[\w.])")
_READ = """set -Eeo pipefail
docker_process_sql() { psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -w -X -d "$POSTGRES_DB" "$@"; }
psql=(docker_process_sql)
[ ! -e "$2" ] || . "$2"
. "$1"
export -p >"$2.now"
"""
_SOCKETS = ("/var/run/postgresql", "/run/postgresql")


def set_up(stack: Stack, voice: Voice) -> None:
    """Run the scripts on a new embedded server; a container runs them itself, and a template has their effect.

    Raises:
        MigrationError: One failed, as the image's start would have.
        EngineUnavailableError: The server lacks an extension that one asks for.
    """
    service = stack.request.services.get("postgres")
    if service is None or stack.request.engine != "embedded" or stack.warm or stack.joined:
        return
    folder = stack.home / "set-up"
    scripts = image.config_of(service).scripts
    named = mounts.named(service, scripts)
    named = replace(named, places=named.places | {mounts.SCRATCH: folder})
    for script in scripts:
        voice.detail(f"{image.INIT_FOLDER}/{script.name}")
        folder.mkdir(mode=0o700, exist_ok=True)
        # The image's server listens on a socket there too; ours listens on loopback alone.
        sockets = dict.fromkeys(_SOCKETS, Path(stack.endpoints["postgres"].host)) if script.name.endswith(".sh") else {}
        try:
            file = _plain(script, folder, replace(named, places=sockets | named.places))
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise _failed(script, f"it cannot be read: {error}", "") from None
        with serverconf.lent(stack, folder, voice) if script.name.endswith(".sh") else nullcontext():
            _run(stack, script, file, service.environment, named)
    shutil.rmtree(folder, ignore_errors=True)


def _plain(script: image.Script, folder: Path, named: mounts.Named) -> Path:
    """The script as a file for psql or a shell: unpacked, or with the places of this machine's files."""
    said = mounts.text_of(script)
    here = named.here(said, is_sql=not script.name.endswith(".sh"))
    if isinstance(script.source, str) or here != said:
        file = folder / script.name
        file.write_text(_beside(script, here), encoding="utf-8", errors="surrogateescape")
        if isinstance(script.source, Path):
            shutil.copymode(script.source, file)
        return file
    if script.source.suffix not in (".gz", ".xz", ".zst"):
        return script.source
    unpacked = folder / script.source.stem
    with _opened(script.source) as packed, unpacked.open("wb") as plain:
        while chunk := packed.read(_CHUNK):
            plain.write(chunk)
            if plain.tell() > _LIMIT_BYTES:
                raise OSError(f"it unpacks to more than {_LIMIT_BYTES} bytes")
    return unpacked


def _beside(script: image.Script, text: str) -> str:
    """The text of a copy, whose relative includes still start from the folder of the script itself."""
    folder = script.source.parent if isinstance(script.source, Path) else Path(image.INIT_FOLDER)
    return _RELATIVE.sub(lambda _: f"\\i {folder}/", text)


def _opened(file: Path) -> gzip.GzipFile | lzma.LZMAFile:
    if file.suffix == ".zst":
        raise OSError("testbay does not unpack .zst; pack it as .gz")
    return gzip.open(file) if file.suffix == ".gz" else lzma.open(file)


def _run(stack: Stack, script: image.Script, file: Path, given: Mapping[str, str], named: mounts.Named) -> None:
    """Run a script as the image does, with the container's variables; `psql` finds the server by those of libpq."""
    scratch, log, is_shell = stack.home / "set-up", stack.home / "set-up.log", script.name.endswith(".sh")
    with log.open("wb") as output, _cage(stack, script, scratch, file, named) as confine:
        child = process.spawn(
            _command(script, file, scratch),
            env=_environment(stack, given),
            cwd=scratch if is_shell else file.parent,
            output=output,
            new_session=True,
            confine=confine,
        )
    code = await_end(child, stack.own, f"{image.INIT_FOLDER}/{script.name}", _TIMEOUT_S)
    if code != 0:
        said = log.read_text(encoding="utf-8", errors="replace")
        last = said.strip().rpartition("\n")[2]
        by_shell = f"exit code {code}" + (f", {last[:200]}" if last else "")
        raise _failed(script, by_shell if is_shell else complaints.first_message(said), said)
    if is_shell and not os.access(file, os.X_OK):
        try:
            (scratch / ".exported.now").replace(scratch / ".exported")
        except FileNotFoundError:
            raise _ended_its_shell(script) from None


def _ended_its_shell(script: image.Script) -> MigrationError:
    return MigrationError(
        f"{image.INIT_FOLDER}/{script.name} failed: it ends its shell with exit code 0",
        why="it is not executable, so the image reads it into the entrypoint's own shell, and `exit` ends the"
        " container: no later script runs, and no server starts",
        todo=f"write `return` for `exit` in {_source(script)}; or make it executable, so it has a shell of its own",
    )


def _command(script: image.Script, file: Path, scratch: Path) -> list[str]:
    if not script.name.endswith(".sh"):
        return [programs.psql(), "-X", "-q", "-b", "-v", "ON_ERROR_STOP=1", "-f", file.name]
    shell = shutil.which("bash")
    if shell is None:
        raise _failed(script, "no bash on this machine", "")
    how = _EXECUTED if os.access(file, os.X_OK) else _READ
    return [shell, "-c", how, "bash", str(file), str(scratch / ".exported")]


@contextmanager
def _cage(
    stack: Stack, script: image.Script, scratch: Path, file: Path, named: mounts.Named
) -> Iterator[Callable[[], None] | None]:
    """Confine a script written for a container, whose port 5432 is another server's on this machine.

    It may run this machine's programs, write only to `scratch`, and connect only to its own server.
    """
    own, psql = stack.request.servers["postgres"], Server(program=Path(programs.psql()), version="", source="")
    runs = ["/usr", "/bin", "/sbin", "/lib", "/lib64", str(own.bin_dir), str(psql.bin_dir), str(file)]
    beside = {file.parent} | ({script.source.parent} if isinstance(script.source, Path) else set())
    reads = [*own.reads, *psql.reads, *map(str, beside), *map(str, named.paths)]
    ruleset = sandbox.cage(runs, reads, [str(scratch)], stack.endpoints["postgres"].port)
    try:
        yield partial(sandbox.enter, ruleset) if ruleset is not None else None
    finally:
        if ruleset is not None:
            os.close(ruleset)


def _environment(stack: Stack, given: Mapping[str, str]) -> dict[str, str]:
    """The container's variables; a scratch folder is the home of the database and of the user."""
    endpoint, scratch = stack.endpoints["postgres"], str(stack.home / "set-up")
    # pg_dump and the like are the server's own, as in the image: others would speak to it as to a newer one.
    folders = [stack.request.servers["postgres"].bin_dir, Path(programs.psql()).parent, os.defpath]
    return {
        "POSTGRES_INITDB_ARGS": "",  # the entrypoint exports it also where nothing sets it
        **given,
        **postgres.client_environment(endpoint),
        "PGCLIENTENCODING": "UTF8",
        "POSTGRES_USER": endpoint.user,
        "POSTGRES_PASSWORD": endpoint.password,
        "POSTGRES_DB": endpoint.db,
        "PGDATA": scratch,
        "HOME": scratch,
        "TMPDIR": scratch,
        "PATH": os.pathsep.join(map(str, folders)),
    }


def _failed(script: image.Script, message: str, output: str) -> BayError:
    if lacking := complaints.lacking(f"{image.INIT_FOLDER}/{script.name}", output):
        return lacking
    may = "; it can write in $TMPDIR alone" if sandbox.abi() else ""
    may += "; it can reach no server but its own, whose port is $PGPORT" if sandbox.knows_ports() else ""
    return MigrationError(
        f"{image.INIT_FOLDER}/{script.name} failed: {message}",
        why="the image, too, runs it once and ends when it fails; here it has nothing of what only the image holds"
        + may,
        todo=f"correct {_source(script)}; or run it in its container, with --engine compose",
        evidence=output.strip()[-4000:],
    )


def _source(script: image.Script) -> Path | str:
    return script.source if isinstance(script.source, Path) else "the compose file"

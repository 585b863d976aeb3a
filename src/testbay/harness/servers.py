"""`testbay servers`: this machine's server programs, and further versions of PostgreSQL on request."""

import re
from collections.abc import Iterator

from testbay.errors import BayError, ManifestError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import builds, programs
from testbay.harness.stack import cachefolder
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.needs import BUILT_IN
from testbay.output import Voice
from testbay.settings import Settings

_CONTRIB = "pgcrypto"  # a build without it lacks its like, too


def listed(chosen: Settings, voice: Voice) -> None:
    """Print a line for each server program, and the versions that can be added."""
    for line in _lines(chosen):
        voice.say(line)
    whole = {
        programs.major(one) for one in programs.everything(chosen.environ) if programs.has_extension(one, _CONTRIB)
    }
    offered = [major for major in builds.offered(builds.this_system()) if int(major) not in whole]
    if offered:
        names = ", ".join(f"postgres:{major}" for major in offered)
        voice.say(f"available with all contrib extensions, by `testbay servers add IMAGE`: {names}")


def _lines(chosen: Settings) -> Iterator[str]:
    for server in programs.everything(chosen.environ):
        yield _line("PostgreSQL", server, f"postgres:{programs.major(server)}") + _features(server)
    for name in (room for room in BUILT_IN if room != "postgres"):
        room = ROOMS[name]
        try:
            server = room.find(ComposeService(key=name, image=room.IMAGES[0]), chosen.environ)
        except BayError as error:
            yield f"{room.TITLE}: {error.what}; {error.todo}"
        else:
            yield _line(room.TITLE, server, room.IMAGES[0])


def _line(title: str, server: Server, image: str) -> str:
    note = f", {server.note}" if server.note else ""
    return f"{title} {server.version} for {image} ({server.source}{note}): {server.bin_dir}"


def _features(server: Server) -> str:
    names = [name for name in ("uuid-ossp", "pgcrypto", "vector", "postgis") if programs.has_extension(server, name)]
    return f" with {', '.join([*names, *(['ICU'] if programs.has_icu(server) else [])]) or 'no extension of note'}"


def add(image: str, chosen: Settings, voice: Voice) -> None:
    """Fetch the PostgreSQL of an image's major version, and keep it in the cache folder.

    Raises:
        ManifestError: testbay offers no such server.
        EngineUnavailableError: It could not be fetched, or is not the file that was pinned.
    """
    system = builds.this_system()
    offered = builds.offered(system)
    match = re.fullmatch(r"(?:.*/)?(?:postgres|postgis|pgvector)(?:ql)?:(?:pg)?(\d+).*", image)
    if match is None or match[1] not in offered:
        names = ", ".join(f"postgres:{major}" for major in offered) or "none"
        raise ManifestError(
            f"testbay has no server for {image} to add",
            why=f"for {system} it offers: {names}",
            todo="name one of them, or use --engine compose",
        )
    build = offered[match[1]]
    place = builds.home(chosen.cache_dir) / build.name
    if not place.exists():
        voice.progress(f"fetching {build.package}")
    cachefolder.make(chosen.cache_dir)
    bin_dir = builds.add(build, chosen.cache_dir, chosen.environ)
    server = next((one for one in programs.everything(chosen.environ) if one.bin_dir == bin_dir), None)
    voice.say(_line("PostgreSQL", server, f"postgres:{build.major}") + _features(server) if server else str(bin_dir))

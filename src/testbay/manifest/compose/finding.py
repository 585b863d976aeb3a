"""Finding compose files as Compose does, and reading files with limits."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from testbay.errors import ManifestError

TEST_FILE = "docker-compose.test.yml"
TEST_NAMES = (TEST_FILE, "docker-compose.test.yaml", "compose.test.yaml", "compose.test.yml")
COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_LIMIT_BYTES = 1_000_000
_MOST_READS = 2_000


class UnboundedError(ManifestError):
    """The files are too large, or expand too far; Compose itself might never finish with them."""


class Files:
    """Reads each file once, and keeps the contents for a digest of everything that was read."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytes | None] = {}
        self._reads = 0
        self.has_devices = False

    def read(self, path: Path) -> bytes | None:
        """The content of a file; None if it does not exist.

        Raises:
            ManifestError: It is a folder, too large, or not ours to read.
        """
        self._reads += 1
        if self._reads > _MOST_READS:
            raise UnboundedError(f"{path}: more than {_MOST_READS} files are read", todo="include each file once")
        if path not in self._contents:
            self.has_devices |= path.exists() and not (path.is_file() or path.is_dir())
            self._contents[path] = read_file(path)
        return self._contents[path]

    def digest(self, folder: Path) -> str:
        """Digest every file that was requested, by its place as seen from a folder, and that folder's name."""
        made = hashlib.sha256(folder.name.encode(errors="surrogateescape"))  # a path need not be UTF-8
        for path, content in sorted(self._contents.items()):
            held = "" if content is None else hashlib.sha256(content).hexdigest()
            made.update(f"{os.path.relpath(path, folder)}\0{held}\0".encode(errors="surrogateescape"))
        return made.hexdigest()


def read_file(path: Path) -> bytes | None:
    """The content of a file of limited size; None if it does not exist.

    Raises:
        ManifestError: It is a folder, too large, or not ours to read.
    """
    try:
        if not path.is_file():
            if path.exists():
                raise ManifestError(f"{path}: not a file", todo="name a file")
            return None
        with path.open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read", why=str(error), todo="fix its permissions") from None
    if len(content) > _LIMIT_BYTES:
        raise ManifestError(f"{path}: larger than {_LIMIT_BYTES} bytes", todo="a compose file is a page of text")
    return content


def files_in(folder: Path, named: str, separator: str) -> list[Path]:
    """The files that Compose takes in a folder: those of COMPOSE_FILE, else the usual name and its override.

    testbay looks for `docker-compose.test.yml` before all of them, and for the other spellings of that name.
    """
    if for_tests := next((folder / name for name in TEST_NAMES if (folder / name).is_file()), None):
        return [for_tests]
    if named:
        return [folder / name for name in named.split(separator or ":") if name]
    first = next((folder / name for name in COMPOSE_NAMES if (folder / name).is_file()), None)
    if first is None:
        return []
    return [first, *(folder / name for name in _OVERRIDES if (folder / name).is_file())][:2]


def template_of(path: Path) -> Path | None:
    """The committed file from which people copy an env file that is not committed, if it exists."""
    words = ("example", "sample", "template", "dist")
    names = [f"{path.name}{joint}{word}" for joint in (".", "-", "_") for word in words]
    names += [f"{begin}{word}{path.name}" for begin in ("", ".") for word in words]
    names += [f"{path.name.lstrip('.')}{joint}{word}" for joint in (".", "-", "_") for word in words]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def env_files(folder: Path, environ: Mapping[str, str]) -> list[Path] | None:
    """The files that COMPOSE_ENV_FILES names instead of `.env`; None if it names none."""
    named = [name for name in environ.get("COMPOSE_ENV_FILES", "").split(",") if name]
    return [folder / name for name in named] or None

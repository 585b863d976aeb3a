"""Reading compose files, with Docker Compose if it is installed, else with testbay's own reader."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose import docker
from testbay.manifest.compose.finding import Files, UnboundedError, files_in
from testbay.manifest.compose.loading import RemoteFileError
from testbay.manifest.compose.own import OwnReading, variables_of
from testbay.manifest.compose.reading import ComposeFile
from testbay.text import one_line

_NOT_COMPARED = ("origins", "definition", "problem")


def find(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """The compose files of a folder, as Compose finds them; empty if there are none."""
    variables = variables_of(folder, environ, Files())
    named, separator = variables.get("COMPOSE_FILE"), variables.get("COMPOSE_PATH_SEPARATOR")
    return files_in(folder, named or "", separator or "")


def read(files: Sequence[Path], environ: Mapping[str, str], cache_dir: Path | None = None) -> ComposeFile:
    """Read compose files, later ones over earlier ones; relative paths start from the folder of the first.

    Docker Compose's reading takes precedence if it is installed. That both readings agree is noted in `cache_dir`, by a
    hash of the input, so that an unchanged project is not read twice.

    Raises:
        ManifestError: A file is missing, or Compose refuses it.
    """
    named = [Path(file).absolute() for file in files]
    environ = _called_from(named[0].parent, _with_variables_of_the_caller(named, environ))
    compose = docker.program(environ)
    own = OwnReading(named, environ)
    if compose is None or own.source.has_devices or isinstance(own.refusal, (RemoteFileError, UnboundedError)):
        return own.reading()
    return _Judge(compose, own, cache_dir).reading()


def _called_from(folder: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with `PWD` set to the folder where Compose would be called: the project's, or one above.

    There COMPOSE_ENV_FILES begins, too, although the `.env` files are looked for beside the compose file.
    """
    here = environ.get("PWD", "")
    called = here if here and folder.is_relative_to(here) else str(folder)
    named = [Path(called, name) for name in environ.get("COMPOSE_ENV_FILES", "").split(",") if name]
    found = all(file.is_file() for file in named)
    return {**environ, "PWD": called} | ({"COMPOSE_ENV_FILES": ",".join(map(str, named))} if named and found else {})


def _with_variables_of_the_caller(files: Sequence[Path], environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with the `.env` of the folder above whose COMPOSE_FILE leads to these files.

    Compose reads that one first, then the `.env` beside the files.
    """
    for folder in files[0].parent.parents:
        if (folder / ".env").is_file():
            with contextlib.suppress(ManifestError):  # not this project's, or reported when its files are read
                if find(folder, environ) == list(files):
                    found = variables_of(folder, environ, Files()).files
                    return {name: value for name, (value, _) in found.items()} | dict(environ)
            return environ
        if (folder / ".git").exists():
            return environ
    return environ


def own_reading(files: Sequence[Path], environ: Mapping[str, str]) -> ComposeFile:
    """Read compose files without Docker Compose.

    Raises:
        ManifestError: A file is missing, or Compose would refuse it.
    """
    named = [Path(file).absolute() for file in files]
    return OwnReading(named, _with_variables_of_the_caller(named, environ)).reading()


def _remedy(refusal: str) -> str:
    """Name the thing to correct: a project's name, unlike all else that Compose refuses, is seldom the file's."""
    named = "invalid project name" in refusal
    return "correct COMPOSE_PROJECT_NAME in the shell or .env, or the file's `name`" if named else "fix the file"


class _Judge:
    """Compares testbay's own reading with that of Docker Compose, which takes precedence."""

    def __init__(self, compose: Path, own: OwnReading, cache_dir: Path | None) -> None:
        self._compose, self._own = compose, own
        about = compose.stat()
        parts = f"{own.digest()}{compose}{about.st_size}{about.st_mtime_ns}{metadata.version('testbay')}"
        name = hashlib.sha256(parts.encode()).hexdigest()
        self._seal = cache_dir / "compose" / name if cache_dir and own.made else None

    def reading(self) -> ComposeFile:
        """Compose's reading.

        Raises:
            ManifestError: Compose refuses the files, in its own words.
        """
        if self._own.made and (reader := self._sealed()):
            return replace(self._own.made, reader=reader)
        version = docker.version(self._compose, self._own.environ)
        if not version or not docker.is_new_enough(version):
            old = f" {version} is older than {'.'.join(map(str, docker.NEEDED))}" if version else " does not answer"
            return replace(self._own.reading(), reader=f"testbay: Docker Compose{old}")
        answer = docker.config(self._compose, self._own.files, self._own.environ)
        return self._judged(answer, f"Docker Compose {version}")

    def _judged(self, answer: docker.ComposeAnswer, name: str) -> ComposeFile:
        own = self._own.made
        if answer.refusal and own and not any(service.problem for service in own.services):
            raise ManifestError(
                f"{self._own.files[0]}: {name} refuses it",
                why=one_line(answer.refusal),
                todo=f"{_remedy(answer.refusal)}: `docker compose config` says the same",
            )
        if answer.model is None or answer.refusal:
            return self._own.reading()  # what stops Compose may be in a service that is not needed
        theirs = self._own.record(answer.model, {}, name)
        if own is None or _comparable(own) != _comparable(theirs):
            return theirs
        self._note(name)
        return replace(own, reader=name)

    def _sealed(self) -> str:
        with contextlib.suppress(OSError, AttributeError, UnicodeDecodeError):
            return self._seal.read_text(encoding="utf-8") if self._seal else ""
        return ""

    def _note(self, name: str) -> None:
        """Note in the cache that both readings are the same; the note holds no values."""
        if self._seal is not None:
            with contextlib.suppress(OSError):
                for made in (self._seal.parents[1], self._seal.parent):  # `mkdir` opens a missing parent to all
                    made.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._seal.write_text(name, encoding="utf-8")


def _comparable(reading: ComposeFile) -> dict[str, Any]:
    made = {}
    for service in reading.services:
        named = {"depends_on": frozenset(service.depends_on), "networks": frozenset(service.networks)}
        said = {f.name: getattr(service, f.name) for f in fields(service) if f.name not in _NOT_COMPARED}
        made[service.key] = said | named
    return made

"""testbay's own reading of compose files, for machines without Docker Compose, and for comparison with it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose.consistency import IncompleteError
from testbay.manifest.compose.document import parse
from testbay.manifest.compose.filling import fill
from testbay.manifest.compose.finding import COMPOSE_NAMES, Files, env_files
from testbay.manifest.compose.finishing import Finisher, Origins
from testbay.manifest.compose.loading import load
from testbay.manifest.compose.reading import ComposeFile
from testbay.manifest.compose.records import RecordMaker
from testbay.manifest.compose.variables import PROJECT_NAME, Variables, project_name


class OwnReading:
    """testbay's own reading of some files, or why it failed, with a digest of its input."""

    def __init__(self, files: list[Path], environ: Mapping[str, str]) -> None:
        self.files, self.environ = files, environ
        self.source = Files()
        self.origins: Origins = {}
        self.made: ComposeFile | None = None
        self.refusal: ManifestError | None = None
        self.variables = Variables(shell=environ, folder=files[0].parent)
        try:
            self.made = self._read()
        except IncompleteError as error:
            self.refusal = _of_a_layer(error, files)
        except ManifestError as error:
            self.refusal = error
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            # A shape that no rule foresees: Compose has a schema for each key, ours knows those that count.
            self.refusal = ManifestError(
                f"{files[0]}: not shaped as Compose's files are", why=repr(error), todo="see `docker compose config`"
            )

    def reading(self) -> ComposeFile:
        """The reading.

        Raises:
            ManifestError: Not found.
        """
        if self.made is None:
            raise self.refusal or ManifestError(f"{self.files[0]}: not read")
        return self.made

    def digest(self) -> str:
        """Digest every file and variable that went into the reading: equal in all checkouts of one name."""
        used = {name: self.environ.get(name) for name in sorted(self.variables.asked)}
        return hashlib.sha256(f"{self.source.digest(self.files[0].parent)}{json.dumps(used)}".encode()).hexdigest()

    def _read(self) -> ComposeFile:
        folder = self.files[0].parent
        self.variables = variables = _named(variables_of(folder, self.environ, self.source), self.files, self.source)
        tree = load(self.files, variables, self.source.read)
        if not tree.get("services"):
            raise ManifestError(f"{self.files[0]}: no services", todo="a compose file has a top-level key 'services:'")
        finisher = Finisher(variables, self.source.read, variables.get(PROJECT_NAME) or "")
        model = finisher.model(tree)
        self.origins = finisher.origins
        return self.record(model, finisher.problems, "testbay")

    def record(self, model: dict[str, Any], problems: dict[str, ManifestError], reader: str) -> ComposeFile:
        """Make a reading from a model of these files."""
        return ComposeFile(
            path=self.files[0],
            services=RecordMaker(model, self.variables.get, self.origins, problems).services(),
            variables=frozenset(self.variables.asked),
            files=tuple(self.files),
            reader=reader,
            definition={key: value for key, value in model.items() if key != "services"},
            active_profiles=frozenset(  # without any, Compose takes the empty name for one
                name.strip() for name in (self.variables.get("COMPOSE_PROFILES") or "").split(",")
            ),
        )


def _of_a_layer(error: ManifestError, files: list[Path]) -> ManifestError:
    """Explain the error of a single file that seems to be a layer over the usual file beside it."""
    beside = [name for name in COMPOSE_NAMES if (files[0].parent / name).is_file()]
    if len(files) > 1 or not beside or files[0].name in beside:
        return error
    return ManifestError(
        f"{files[0]}: {error.what}",
        why=f"testbay read {files[0].name} alone; it looks like a layer over {beside[0]}",
        todo=f'name both in the manifest: compose = ["{beside[0]}", "{files[0].name}"]',
    )


def variables_of(folder: Path, environ: Mapping[str, str], source: Files) -> Variables:
    bare = Variables(shell=environ, folder=folder)
    return bare.below(folder, env_files(folder, environ), source.read)


def _named(variables: Variables, files: Sequence[Path], source: Files) -> Variables:
    """Add the project's own name to the variables: from the shell, its files or its folder."""
    named = variables.get(PROJECT_NAME) or _name_in(files, variables, source) or variables.folder.name
    known = {**variables.files, PROJECT_NAME: (project_name(named, variables.folder), "the project's name")}
    return replace(variables, files=known)


def _name_in(files: Sequence[Path], variables: Variables, source: Files) -> str:
    found = ""
    for file in files:
        content = source.read(file) or b""
        if b"name" in content:
            for document in parse(file, content):
                name = fill(document.get("name"), variables, ("name",))
                found = name if isinstance(name, str) and name else found
    return found

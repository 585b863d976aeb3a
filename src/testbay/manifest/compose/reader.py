"""Compose files to a reading, by Docker Compose where it is installed and by testbay's own reader where it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from testbay.errors import ManifestError
from testbay.manifest.compose.document import parse
from testbay.manifest.compose.filling import fill
from testbay.manifest.compose.finding import Files, compose_files, env_files
from testbay.manifest.compose.finishing import Finisher
from testbay.manifest.compose.loading import load
from testbay.manifest.compose.reading import ComposeFile
from testbay.manifest.compose.records import RecordMaker
from testbay.manifest.compose.variables import PROJECT_NAME, Variables, project_name


def find(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """The compose files of a folder, as Compose finds them; empty when there are none."""
    variables = _variables(folder, environ, Files())
    named, separator = variables.get("COMPOSE_FILE"), variables.get("COMPOSE_PATH_SEPARATOR")
    return compose_files(folder, named or "", separator or "")


def read(files: Sequence[Path], environ: Mapping[str, str]) -> ComposeFile:
    """Read compose files, the later over the earlier ones; relative paths start from the folder of the first.

    Raises:
        ManifestError: A file is missing, or Compose would refuse it.
    """
    return own_reading([Path(file).absolute() for file in files], environ)


def own_reading(files: Sequence[Path], environ: Mapping[str, str]) -> ComposeFile:
    """Read compose files without Docker Compose."""
    source = Files()
    folder = files[0].parent
    variables = _named(_variables(folder, environ, source), files, source)
    tree = load(list(files), variables, source.read)
    if not tree.get("services"):
        raise ManifestError(f"{files[0]}: no services", todo="a compose file has a top-level key 'services:'")
    finisher = Finisher(variables, source.read, variables.get(PROJECT_NAME) or "")
    model = finisher.model(tree)
    recorder = RecordMaker(model, variables.get, finisher.origins, finisher.problems)
    return ComposeFile(
        path=files[0],
        services=recorder.services(),
        variables=frozenset(variables.asked),
        files=tuple(files),
        directory=folder,
        definition={key: value for key, value in model.items() if key != "services"},
        active_profiles=_profiles(variables),
    )


def _variables(folder: Path, environ: Mapping[str, str], source: Files) -> Variables:
    bare = Variables(shell=environ, folder=folder)
    return bare.below(folder, env_files(folder, environ), source.read)


def _named(variables: Variables, files: Sequence[Path], source: Files) -> Variables:
    """Add the project's own name to the variables: the shell's, its files' or its folder's."""
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


def _profiles(variables: Variables) -> frozenset[str]:
    return frozenset(name.strip() for name in (variables.get("COMPOSE_PROFILES") or "").split(",") if name.strip())

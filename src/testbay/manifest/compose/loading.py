"""Loading compose files: merging them, and resolving `include` and `extends`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose import paths
from testbay.manifest.compose.canonical import MisshapenError, canonical
from testbay.manifest.compose.document import Replaced, Reset, parse
from testbay.manifest.compose.filling import Unset, blanks_in, fill, unset_in
from testbay.manifest.compose.merging import UnmergeableError, listed, merge
from testbay.manifest.compose.variables import Reader, Variables
from testbay.text import nearest

PROBLEM = "x-testbay-problem"  # the error for runs that need the service
_SECTIONS = ("services", "volumes", "networks", "secrets", "configs", "include", "models", "name", "version")
_NAMESPACES = ("services", "volumes", "networks", "secrets", "configs")


def load(files: list[Path], variables: Variables, read: Reader) -> dict[str, Any]:
    """Read a project: each file merged over the earlier ones, in long spelling, with absolute paths.

    Raises:
        ManifestError: A file is missing, misshapen, in conflict with another, or includes or extends itself.
    """
    return _project(files, variables, read, ())


def _project(files: list[Path], variables: Variables, read: Reader, chain: tuple[Path, ...]) -> dict[str, Any]:
    model: dict[str, Any] = {}
    for file in files:
        for document in _documents(file, variables, read):
            document["services"] = _extended(document["services"], file, variables, read)
            _include(document, file, variables, read, (*chain, file))
            model = _merged(model, document, file)
    return paths.in_model(model, variables.folder)


def _documents(file: Path, variables: Variables, read: Reader) -> Iterator[dict[str, Any]]:
    """The documents of one file, filled in; each with a mapping of services."""
    content = read(file)
    if content is None:
        raise ManifestError(
            f"{file} does not exist",
            why="it is the list of dependencies, for both engines",
            todo='add it, or in the manifest name yours (compose = "docker-compose.yml") or no server (needs = [])',
        )
    for document in parse(file, content):
        _check_sections(document, file)
        filled = fill(document, variables)
        services = filled.get("services")
        if services is None:
            filled["services"] = services = {}
        if not isinstance(services, (dict, Replaced)):
            raise ManifestError(f"{file}: services is not a mapping", todo="write each service's name, then its keys")
        if isinstance(services, Replaced):
            filled["services"] = services = services.value
        for name, service in services.items():
            if not isinstance(service, (dict, Reset, Replaced)):
                raise ManifestError(f"{file}: services.{name} has no keys", todo="give it an image, indented below it")
        yield filled


def _check_sections(document: dict[str, Any], file: Path) -> None:
    for key, value in document.items():
        if key not in _SECTIONS and not key.startswith("x-"):
            if "services" not in document and isinstance(value, dict) and {"image", "build"} & value.keys():
                raise ManifestError(
                    f"{file}: {key} stands at the top of the file",
                    why="it is written for the first version of Compose, which knew no other sections",
                    todo="write `services:` above the services, and indent them",
                )
            raise ManifestError(f"{file}: unknown key {key!r}{nearest(key, _SECTIONS)}", todo="fix the key")
        if key in _NAMESPACES and value is None and key != "services":
            raise ManifestError(
                f"{file}: {key} is empty", why="Compose refuses that", todo=f"take {key} out, or fill it"
            )


def _merged(model: dict[str, Any], document: dict[str, Any], file: Path) -> dict[str, Any]:
    try:
        made = merge(model, document)
    except UnmergeableError as error:
        raise ManifestError(
            f"{file}: {error} cannot be merged with what an earlier file says",
            why="one of them is a list or a mapping and the other is not",
            todo="write both in one spelling, or mark this one !override",
        ) from None
    made["services"] = {name: _long(service, f"{file}: services.{name}") for name, service in made["services"].items()}
    return dict(made)


def _long(service: dict[str, Any], where: str) -> dict[str, Any]:
    """Expand a service to the long spelling. An error caused by an unset variable is kept for runs that need it."""
    try:
        return canonical(service)
    except MisshapenError as error:
        misshapen = str(error).partition(":")[0]
        gaps = ", ".join(dict.fromkeys(blanks_in(service.get(misshapen))))
        todo = "set the variable in the shell or in .env" if gaps else "fix the value"
        mark = ": " if str(error).startswith("unknown key") else "."
        refusal = ManifestError(f"{where}{mark}{error}", why=gaps, todo=todo)
    problem = next(unset_in(service), None)
    if problem is None and not gaps:
        raise refusal
    kept = {key: value for key, value in service.items() if next(unset_in(value), None) is None}
    if gaps:
        kept.pop(misshapen, None)
    return _long(kept, where) | {PROBLEM: problem or refusal}


def _extended(services: dict[str, Any], file: Path, variables: Variables, read: Reader) -> dict[str, Any]:
    extending = _Extending(variables, read)
    return {name: extending.service(name, services, file, variables.folder, ()) for name in services}


class _Extending:
    """Resolves `extends` in one project, and reads each file once."""

    def __init__(self, variables: Variables, read: Reader) -> None:
        self._variables = variables
        self._read = read
        self._files: dict[Path, dict[str, Any]] = {}

    def service(
        self, name: str, services: dict[str, Any], file: Path, folder: Path, chain: tuple[tuple[Path, str], ...]
    ) -> Any:
        """Merge a service over the one it extends; relative file names start from `folder`."""
        own = services[name]
        if not isinstance(own, dict) or own.get("extends") is None:
            return own
        where = f"{file}: services.{name}.extends"
        if (file, name) in chain:
            way = " → ".join(step for _, step in (*chain, (file, name)))
            raise ManifestError(f"{where}: a cycle: {way}", todo="let one of them stand alone")
        base_name, base_file = _base(own["extends"], where)
        rest = {key: value for key, value in own.items() if key != "extends"}
        chain = (*chain, (file, name))
        if not base_file:
            self._check(base_name, services, file, where)
            base = self.service(base_name, services, file, folder, chain)
        else:
            other = Path(paths.absolute(base_file, folder))
            theirs = self._services(other, where)
            self._check(base_name, theirs, other, where)
            found = self.service(base_name, theirs, other, other.parent, chain)
            base = paths.in_service(_long(found, f"{other}: services.{base_name}"), other.parent)
        try:
            return merge(base, rest, ("services", name))
        except UnmergeableError as error:
            raise ManifestError(f"{where}: {error} cannot be merged", todo="write both in one spelling") from None

    @staticmethod
    def _check(name: str, services: dict[str, Any], file: Path, where: str) -> None:
        if name not in services:
            raise ManifestError(
                f"{where}: {file} has no service {name!r}",
                why=f"its services: {', '.join(services) or '(none)'}",
                todo="fix the name",
            )

    def _services(self, file: Path, where: str) -> dict[str, Any]:
        if file not in self._files:
            if self._read(file) is None:
                raise ManifestError(f"{where}: {file} does not exist", todo="fix the path: it starts from this file")
            model: dict[str, Any] = {}
            for document in _documents(file, self._variables, self._read):
                model = merge(model, document)
            self._files[file] = model.get("services") or {}
        return self._files[file]


def _base(given: Any, where: str) -> tuple[str, str]:
    """Parse `extends`: the base service, and its file, empty for the same one."""
    made = {"service": given} if isinstance(given, str) else given
    if not isinstance(made, dict) or not isinstance(made.get("service"), str):
        raise ManifestError(f"{where} names no service", todo="write extends: {file: base.yml, service: db}")
    file = made.get("file") or ""
    if isinstance(file, Unset):
        raise file.problem
    if not isinstance(file, str) or paths.is_remote(file):
        raise _remote(where, str(file))
    return made["service"], file


class RemoteFileError(ManifestError):
    """A compose file names a file on another machine, which testbay does not fetch."""


def _remote(where: str, name: str) -> RemoteFileError:
    return RemoteFileError(
        f"{where}: {name[:200]} is not a file of this machine",
        why="testbay reads compose files without the network",
        todo="copy the file beside yours and name that one",
    )


def _include(document: dict[str, Any], file: Path, variables: Variables, read: Reader, chain: tuple[Path, ...]) -> None:
    """Resolve a document's `include` and add the result to it."""
    for entry in listed(document.pop("include", None)):
        made = {"path": entry} if isinstance(entry, str) else entry
        where = f"{file}: include"
        if not isinstance(made, dict) or not (named := listed(made.get("path"))):
            raise ManifestError(f"{where}: an entry names no path", todo="write - path: other.yml")
        if problem := next(unset_in(made), None):
            raise problem
        for name in named:
            if not isinstance(name, str) or paths.is_remote(name):
                raise _remote(where, str(name))
        files = [Path(paths.absolute(name, variables.folder)) for name in named]
        if files[0] in chain:
            way = " → ".join(step.name for step in (*chain, files[0]))
            raise ManifestError(f"{where}: a cycle: {way}", todo="let one of them stand alone")
        directory = made.get("project_directory")
        folder = Path(paths.absolute(directory, variables.folder)) if directory else files[0].parent
        env_files = [Path(paths.absolute(name, variables.folder)) for name in listed(made.get("env_file"))]
        below = variables.below(folder, env_files or None, read)
        _import(document, _project(files, below, read, chain), files[0], file)


def _import(document: dict[str, Any], imported: dict[str, Any], source: Path, file: Path) -> None:
    for kind in _NAMESPACES:
        for name, value in (imported.get(kind) or {}).items():
            table = document.setdefault(kind, {}) if document.get(kind) is not None else {}
            document[kind] = table
            if name in table and table[name] != value:
                raise ManifestError(
                    f"{file}: {kind}.{name} conflicts with {source}, which it includes",
                    why="Compose allows an included name to be said once",
                    todo="take one of them out, or name a file that changes it: include: [{path: [a.yml, mine.yml]}]",
                )
            table[name] = value

"""The services of a project: where the project begins, which folders are services, and which one is meant."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from testbay.errors import ManifestError
from testbay.manifest.compose.finding import COMPOSE_NAMES, TEST_FILE, TEST_NAMES
from testbay.manifest.files import manifest_file, read_table
from testbay.text import nearest

if TYPE_CHECKING:
    from testbay.manifest.service import Manifest

_NOT_SERVICES = ("node_modules", "site-packages", "tests", "test", "venv", "build", "dist")


def find_project(start: Path) -> Path:
    """The project's folder: the nearest one upwards with a compose file or services/, else a git root.

    Raises:
        ManifestError: None was found up to the root of the file system.
    """
    folders = (start, *start.parents)
    for folder in folders:
        if any((folder / name).is_file() for name in TEST_NAMES) or _has_services(folder / "services"):
            return folder
    root = next((folder for folder in folders if (folder / ".git").exists()), None)
    inside = folders[: folders.index(root) + 1] if root else ()
    for folder in inside:
        if any((folder / name).is_file() for name in COMPOSE_NAMES):
            return folder
    for folder in folders:
        if folder == root or manifest_file(folder):
            return folder
    raise ManifestError(
        f"{start} is in no project",
        why="no docker-compose.test.yml, services/ or manifest here or above",
        todo="go to your project's folder, or `testbay init` here (`testbay explain getting-started`)",
    )


def _has_services(folder: Path) -> bool:
    """Return whether a folder `services` can hold services: many Python packages have modules of that name."""
    return folder.is_dir() and not (folder / "__init__.py").is_file()


def repository(project: Path) -> Path:
    """The root of the git repository around a project; without one, the project's own folder."""
    real = project.resolve()
    return next((folder for folder in (real, *real.parents) if (folder / ".git").exists()), real)


def service_folders(project: Path) -> dict[str, Path]:
    """A project's services by name: each folder with a manifest, two levels deep at most.

    The project itself and services/ come first; a manifest elsewhere, as in backend/ or packages/, under a name that is
    not taken.
    """
    services: dict[str, Path] = {}
    for folder in filter(manifest_file, _usual(project)):
        name = _name_of(folder)
        if name in services:
            raise ManifestError(
                f"two services are called {name}", why=f"{services[name]} and {folder}", todo="rename one of them"
            )
        services[name] = folder
    for folder in filter(manifest_file, _elsewhere(project)):
        services.setdefault(_name_of(folder), folder)
    return services


def is_place_for_a_manifest(folder: Path, project: Path) -> bool:
    """Return whether a manifest in this folder would be found."""
    return folder in (*_usual(project), *_elsewhere(project))


def _usual(project: Path) -> list[Path]:
    return [project, *sorted((project / "services").glob("*/"))]


def _elsewhere(project: Path) -> Iterator[Path]:
    """The project's folders and theirs, except those of tools and tests."""
    for pattern in ("*/", "*/*/"):
        for folder in sorted(project.glob(pattern)):
            if not any(part.startswith(".") or part in _NOT_SERVICES for part in folder.relative_to(project).parts):
                yield folder


def _name_of(folder: Path) -> str:
    file = manifest_file(folder)
    table = read_table(file) if file else {}
    return str(table.get("service", folder.name))


def compose_files(manifest: "Manifest", project: Path, environ: Mapping[str, str]) -> list[Path]:
    """The compose files: the service's own choice, else those that Compose finds nearest above the manifest.

    Where the project has none for its tests, those beside the manifest come first: of a repository of several
    programs, each with its servers.
    """
    if manifest.compose:
        named = [manifest.compose] if isinstance(manifest.compose, str) else manifest.compose
        return [manifest.root / name for name in named]
    from testbay.manifest.compose import reader

    nearest = find_project(manifest.root)
    folder = nearest if nearest.is_relative_to(project) else project
    found = reader.find(folder, environ)
    if "COMPOSE_FILE" not in environ and not any(file.name in TEST_NAMES for file in found):
        found = reader.find(manifest.root, environ) or found
    return found or [project / TEST_FILE]


def find_service(
    name: str | None, project: Path, here: Path | None = None, *, todo: str = "name one of them"
) -> "Manifest":
    """The manifest of a service by name; without a name, of the service around `here`, else of the only one.

    `name` may be its folder as seen from `here`; `todo` is the remedy for an unknown name.

    Raises:
        ManifestError: Unknown, or several and none named.
    """
    from testbay.manifest.load import load_manifest  # pydantic: a session of plain pytest asks only where manifests are

    if name is None and here is not None:
        inside = (folder for folder in (here, *here.parents) if project in folder.parents)
        if found := next(filter(manifest_file, inside), None):
            return load_manifest(found)
    folders = service_folders(project)
    if found := _meant(name, folders, here):
        return load_manifest(found)
    if not folders:
        raise ManifestError(
            f"{project} has no manifest",
            why="neither a testbay.toml nor [tool.testbay] in a pyproject.toml is in it or in its folders",
            todo="`testbay init`, in the folder of the program, writes one from the program's own files",
        )
    known = ", ".join(folders)
    what = "which service?" if name is None else f"unknown service {name!r}{nearest(name, folders)}"
    raise ManifestError(what, why=f"services of {project}: {known}", todo=todo)


def _meant(name: str | None, folders: Mapping[str, Path], here: Path | None) -> Path | None:
    """Choose the service by its name, or by its folder as seen from `here`; without a name the only one there is."""
    if name is None:
        return next(iter(folders.values())) if len(folders) == 1 else None
    if name in folders:
        return folders[name]
    return next(
        (folder for folder in folders.values() if here and name and (here / name).resolve() == folder.resolve()), None
    )

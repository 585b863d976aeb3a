"""The folder from which the tests import the program, where nothing puts it on Python's path."""

from collections.abc import Iterator
from pathlib import Path

from testbay.init import imports, installing
from testbay.init.project import Finding, Project


def python_path(project: Project, tests: str) -> Finding | None:
    """Make the variable PYTHONPATH; `tests` is the folder of the tests."""
    found = [] if imports.sets_path(project) else sorted(set(_folders(project, tests)))
    folders = ":".join(dict.fromkeys(folder for folder, _ in found))
    return Finding(key="PYTHONPATH", value=f'"{folders}"', source=found[0][1]) if found else None


def _folders(project: Project, tests: str) -> Iterator[tuple[str, str]]:
    """List folders, each with its reason. What is installed, and what lies in the root, is found anyway."""
    if project.manage:  # pytest-django looks for it only from the tests upwards
        program = Path(project.manage).parent
        yield from [] if Path(tests).is_relative_to(program) else [(str(program), project.manage)]
    elif not installing.is_built(project):
        wanted = {name: str(one.path) for one in project.tests for name in one.imports}
        brought = [*project.packages, *imports.by_extras(project)]
        for name, where in wanted.items():
            folders = {folder for one in project.code for folder in _above(one.path, name)}
            if len(folders) == 1 and not imports.is_brought(name, brought):
                yield from ((str(one), f"{where} imports {name}") for one in folders if _is_bare(project, one))


def _above(path: Path, name: str) -> list[Path]:
    """Return the folder in which a module or package of this name lies on the way to a file."""
    parts = path.with_suffix("").parts
    return [Path(*parts[: parts.index(name)])] if name in parts else []


def _is_bare(project: Project, folder: Path) -> bool:
    """Return whether a folder below the root is not another project's, and not imported as a package itself."""
    imported = {name for source in project.sources for name in source.imports}
    is_package = bool(imported & set(folder.parts)) or (project.root / folder / "__init__.py").is_file()
    is_inside = bool(folder.parts) and folder.parts[0] != ".."
    return is_inside and not is_package and not f"{folder}/".startswith(tuple(project.inner))

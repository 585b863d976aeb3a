"""The commands and arguments by which pip and uv install a project's packages, as its files name them."""

import re
import shlex
from typing import Any

from testbay.init import imports, itself, packages, tables
from testbay.init.project import Project
from testbay.manifest.project import repository

_LOCKED = '"$RUNNER_TEMP/locked.txt"'
_LOCKS = {  # what writes the versions of a lock down as constraints, in an environment of its own
    "uv.lock": f"uv export --quiet --frozen --no-emit-workspace --no-hashes -o {_LOCKED}",
    "poetry.lock": "uvx --from poetry --with poetry-plugin-export poetry export --quiet --format constraints.txt "
    f"--without-hashes --all-groups --all-extras -o {_LOCKED}",
    "pdm.lock": f"uvx pdm export --quiet --no-hashes -o {_LOCKED}",
    "Pipfile.lock": f"uvx pipenv requirements --dev > {_LOCKED}",
}
_FOR_TESTS = ("test", "tests", "testing", "ci", "dev", "development", "local", "all", "base")
_NO_PACKAGE = (("uv", "package"), ("pdm", "distribution"), ("poetry", "package-mode"))  # each false: a program alone
# Folders in which setuptools looks for no package of a project without a build system.
_NO_PACKAGES = {
    *("ci", "bin", "doc", "docs", "documentation", "manpages", "news", "changelog", "test", "tests", "unit_test"),
    *("unit_tests", "example", "examples", "scripts", "tools", "util", "utils", "python", "build", "benchmark"),
    *("benchmarks", "exercise", "exercises", "htmlcov", "venv", "env", "node_modules", "dist"),
}


def lists(project: Project) -> list[str]:
    """List the files that name the project's packages; of a folder `requirements/` only the one for tests."""
    files = sorted(file.name for file in project.root.glob("requirements*.txt"))
    inside = [
        f"requirements/{name}.txt" for name in _FOR_TESTS if (project.root / f"requirements/{name}.txt").is_file()
    ]
    return (files or inside[:1]) + (["pyproject.toml"] if project.pyproject.get("project") else [])


def command(project: Project) -> str:
    """Compose the command that installs the project and testbay, in the versions of a lock if there is one.

    uv installs groups, and dependencies of a project that is not a package, which an old pip does not; of
    `tool.uv.sources` pip knows nothing, and would look for a package of the workspace on an index. Where one
    requirement has hashes, pip wants them of all, testbay's too.
    """
    groups = [f"--group {name}" for name in _groups(project)]
    extras = _extras(project)
    chosen = [f"--extra {name}" for name in extras]
    words = _requirements(project)
    is_program = bool(project.pyproject.get("project")) and not _is_package(project)
    if is_program:
        words += ["-r pyproject.toml", *chosen]
    elif is_built(project):
        words += [_editable(extras)]
    has_hashes = any("--hash=" in project.text(name) for name in lists(project))
    tool = "python -m pip install"
    if export := _export(project):
        locked = " ".join([export, *(chosen + groups if export.startswith("uv ") else [])])
        tool = f"{tool} uv && {locked} && uv pip install --system -c {_LOCKED}"
    elif is_program or groups or project.table("tool", "uv", "sources") or has_hashes:
        tool = f"{tool} uv && uv pip install --system"
    # Two places of one package cannot be installed: what the project says of testbay is the one.
    ours = [] if names_testbay(project) else [itself.requirement() or itself.TO_BE_FILLED_IN]
    return " ".join([tool, *words, *groups, *ours])


def _export(project: Project) -> str:
    """Return what writes the project's lock down as constraints; empty without one. uv's may be that of a workspace."""
    root = repository(project.root)
    folders = (folder for folder in (project.root, *project.root.parents) if folder.is_relative_to(root))
    is_uvs = bool(project.pyproject.get("project")) and any((folder / "uv.lock").is_file() for folder in folders)
    found = (file for file in _LOCKS if (is_uvs if file == "uv.lock" else (project.root / file).is_file()))
    return next((_LOCKS[file] for file in found), "")


def arguments(project: Project) -> str:
    """Compose the arguments by which any version of pip installs the project's packages, quoted for a shell."""
    words = _requirements(project)
    if is_built(project):
        words += [_editable(_extras(project))]
    else:
        words += map(shlex.quote, _of_project(project))
    words += map(shlex.quote, _of_groups(project))
    return " ".join(dict.fromkeys(words))  # groups that include each other name a package twice


def names_testbay(project: Project) -> bool:
    """Return whether testbay is among the packages that are installed for the project."""
    lines = [line for name in lists(project) if name.endswith(".txt") for line in project.text(name).splitlines()]
    named = [*lines, *tables.requirements(project, built=False), *_of_project(project), *_of_groups(project)]
    return any(re.match(r"testbay(?![\w.-])", text.strip()) for text in named)


def _of_project(project: Project) -> list[str]:
    extras = project.table("project", "optional-dependencies")
    lists = [
        project.table("project").get("dependencies"),
        *map(extras.get, _extras(project)),
    ]
    return [text for one in lists for text in _texts(one)]


def _of_groups(project: Project) -> list[str]:
    groups = project.table("dependency-groups")
    return [text for name in _groups(project) for text in _members(groups, name)]


def _requirements(project: Project) -> list[str]:
    files = [f"-r {shlex.quote(name)}" for name in lists(project) if name.endswith(".txt")]
    return files + [shlex.quote(text) for text in tables.requirements(project, built=is_built(project))]


def _extras(project: Project) -> list[str]:
    """List the extras for tests, and those that alone name a package which the project imports."""
    chosen = [name for name in tables.GROUPS if name in packages.extra_names(project)]
    optional = project.table("project", "optional-dependencies")
    others = {name: packages.names(_texts(texts)) for name, texts in optional.items() if name not in chosen}
    known = {*packages.named(project, left_out=others), *imports.by_extras(project)} if others else set()
    for module in imports.imported(project) if others else ():
        bringing = [name for name in others if imports.is_brought(module, others[name])]
        if bringing and not imports.is_brought(module, known):
            chosen.append(min(bringing, key=lambda name: len(others[name])))
    return list(dict.fromkeys(chosen))


def _groups(project: Project) -> list[str]:
    return [name for name in tables.GROUPS if name in project.table("dependency-groups")]


def _editable(extras: list[str]) -> str:
    return f"-e '.[{','.join(extras)}]'" if extras else "-e ."


def _texts(found: Any) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _members(groups: dict[str, Any], name: str, seen: frozenset[str] = frozenset()) -> list[str]:
    """List the packages of a dependency group and of the groups that it includes."""
    listed = groups.get(name, []) if name not in seen else []
    inner = [one["include-group"] for one in listed if isinstance(one, dict) and "include-group" in one]
    return _texts(listed) + [text for other in inner for text in _members(groups, other, seen | {name})]


def is_built(project: Project) -> bool:
    """Return whether `pip install -e .` installs the project: by pyproject.toml, Poetry's tables, setup.py or .cfg."""
    if project.pyproject.get("project"):
        return _is_package(project)
    poetry = project.table("tool", "poetry")
    built = bool(poetry and project.table("build-system")) and poetry.get("package-mode") is not False
    by_cfg = project.ini("setup.cfg").has_section("options") and bool(project.table("build-system"))
    return built or by_cfg or (project.root / "setup.py").is_file()


def _is_package(project: Project) -> bool:
    """Return whether `pip install .` works: with a build system, or if setuptools finds exactly one package."""
    if any(project.table("tool", tool).get(key) is False for tool, key in _NO_PACKAGE):
        return False
    if project.table("build-system") or (project.root / "setup.py").is_file() or (project.root / "src").is_dir():
        return True
    inside = [path for path in project.root.iterdir() if path.name.isidentifier() and not path.name.startswith("_")]
    return len([path for path in inside if path.is_dir() and path.name not in _NO_PACKAGES]) == 1

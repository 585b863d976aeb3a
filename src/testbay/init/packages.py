"""The packages that a project depends on, from all kinds of files that list them."""

import ast
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from testbay.init import syntax
from testbay.init.files import ProjectFiles

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRAS = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*\[([^\]]*)\]")
_INCLUDED = re.compile(r"\s*(?:-r|--requirement)[\s=]*(\S+)")
_BESIDE = re.compile(r"\s*(?:\s#|--|\\\s*$).*")  # what a line of pip's may hold behind the requirement
_OF_PAGES = re.compile(r"(^|[-_.])docs?$")  # requirements/docs.txt: the documentation's, which imports all there is
_KEYWORDS = ("install_requires", "extras_require", "tests_require", "setup_requires")


def named(project: ProjectFiles, left_out: Collection[str] = ()) -> dict[str, str]:
    """Map every package to the file that names it; if several do, to the most usual one.

    `left_out` are extras in pyproject.toml that do not count.
    """
    found: dict[str, str] = {}
    for file, texts in _lists(project, left_out):
        found |= dict.fromkeys(names(texts), file)
    return found


def requirements(project: ProjectFiles) -> Iterator[tuple[str, str]]:
    """Yield each requirement as it is written, with its file first; those of Poetry and Pipenv have no versions."""
    for file, texts in _lists(project):
        yield from ((file, _BESIDE.sub("", text)) for text in texts if _package(text))


def names(texts: Iterable[str]) -> list[str]:
    """Return the normalised names in requirements."""
    return [name for name in map(_package, texts) if name]


def extras(project: ProjectFiles) -> dict[str, str]:
    """Map every extra to the requirement that asks for it, with its file: drivers are often installed so."""
    found: dict[str, str] = {}
    for file, texts in _lists(project):
        for text in texts:
            if match := _EXTRAS.match(text):
                found |= dict.fromkeys(re.split(r"[\s,]+", match[1].lower().strip()), f"{file}: {match[0].strip()}")
    return found


def extra_names(project: ProjectFiles) -> set[str]:
    """Return the names of the extras that pip installs on request, as in `pip install -e '.[dev]'`."""
    parser, section = project.ini("setup.cfg"), "options.extras_require"
    tables = [value for value in _arguments(project.text("setup.py"), "extras_require") if isinstance(value, ast.Dict)]
    keys = [key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)]
    own = parser.options(section) if parser.has_section(section) else []
    return {*project.table("project", "optional-dependencies"), *own, *map(str, keys)}


def requirement_files(root: Path, ending: str = "txt") -> list[str]:
    """List the files of requirements at the root and in `requirements/`: for pip, or with `in` for pip-compile.

    Those of the documentation are not among them.
    """
    files = [*root.glob(f"requirements*.{ending}"), *root.glob(f"requirements/*.{ending}")]
    return sorted(str(file.relative_to(root)) for file in files if not _OF_PAGES.search(file.stem))


def _lists(project: ProjectFiles, left_out: Collection[str] = ()) -> Iterator[tuple[str, list[str]]]:
    yield "tox.ini", _lines(project, "tox.ini", "testenv", "deps")
    yield "Pipfile", _pipfile(project)
    yield "setup.cfg", _lines(project, "setup.cfg", "options", "install_requires")
    yield "setup.cfg", _lines(project, "setup.cfg", "options.extras_require", "")
    yield "setup.py", [text for text in _setup(project.text("setup.py")) if not text.endswith((".txt", ".in"))]
    known: set[str] = set()
    for file in [*requirement_files(project.root, "in"), *requirement_files(project.root)]:
        yield from _with_included(project, file, known)
    yield "pyproject.toml", _pyproject(project, left_out)


def _with_included(project: ProjectFiles, file: str, known: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Read a file of requirements, and before it those of the project that it includes by `-r`."""
    found: list[tuple[str, list[str]]] = []
    names = [file]
    for name in names:
        if name in known or name.startswith(("/", "..")):
            continue
        known.add(name)
        lines = project.text(name).splitlines()
        found.append((name, lines))
        included = filter(None, map(_INCLUDED.match, lines))
        names += (os.path.normpath(Path(name).parent / match[1]) for match in included)
    yield from reversed(found)


def _pyproject(project: ProjectFiles, left_out: Collection[str]) -> list[str]:
    hatch = project.table("tool", "hatch", "envs").values()
    poetry = [project.table("tool", "poetry"), *project.table("tool", "poetry", "group").values()]
    lists = [
        project.table("project").get("dependencies"),
        *(texts for extra, texts in project.table("project", "optional-dependencies").items() if extra not in left_out),
        *project.table("dependency-groups").values(),
        *project.table("tool", "pdm", "dev-dependencies").values(),
        project.table("tool", "uv").get("dev-dependencies"),
        *(env.get(key) for env in hatch if isinstance(env, dict) for key in ("dependencies", "extra-dependencies")),
        *(_poetry(_table(group, key)) for group in poetry for key in ("dependencies", "dev-dependencies")),
    ]
    return [text for texts in lists if isinstance(texts, list) for text in texts if isinstance(text, str)]


def _poetry(table: dict[str, Any]) -> list[str]:
    """Convert a table of Poetry to requirements with their extras, without versions."""
    said = {name: value.get("extras") if isinstance(value, dict) else None for name, value in table.items()}
    return [
        f"{name}[{','.join(map(str, extras))}]" if isinstance(extras, list) else name for name, extras in said.items()
    ]


def _table(group: Any, key: str) -> dict[str, Any]:
    found = group.get(key) if isinstance(group, dict) else None
    return found if isinstance(found, dict) else {}


def _pipfile(project: ProjectFiles) -> list[str]:
    said = project.toml("Pipfile")
    return [name for key in ("packages", "dev-packages") for name in _table(said, key)]


def _lines(project: ProjectFiles, file: str, section: str, option: str) -> list[str]:
    """Return the lines of an option of an INI file, or of all options of the section if `option` is empty."""
    parser = project.ini(file)
    if not parser.has_section(section):
        return []
    options = [option] if option else parser.options(section)
    return [
        line for name in options if parser.has_option(section, name) for line in parser.get(section, name).split("\n")
    ]


def _setup(text: str) -> list[str]:
    """Collect the requirements in the arguments of setup()."""
    parts = [part for value in _arguments(text, *_KEYWORDS) for part in ast.walk(value)]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _arguments(text: str, *keywords: str) -> list[ast.expr]:
    """Find arguments of setup(), and what the names in them hold, without executing it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = list(ast.walk(tree))
    assigned = {target.id: value for target, value in syntax.assignments(nodes) if isinstance(target, ast.Name)}
    options = (option for call in syntax.calls(nodes) for option in syntax.keywords(call).items())
    values = [value for name, value in options if name in keywords]
    names = [node.id for value in values for node in ast.walk(value) if isinstance(node, ast.Name)]
    return [*values, *(assigned[name] for name in names if name in assigned)]


def _package(requirement: str) -> str:
    """Return the normalised name in a requirement; empty for an option or a comment."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""

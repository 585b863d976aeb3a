"""The files of a project that hold its tests: those that pytest collects, and those that a runner of its own loads."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

from testbay.init.project import ASIDE, Finding, Project, Source
from testbay.init.syntax import FUNCTIONS
from testbay.manifest.testpaths import names_of_files

SHOWN = {"examples", "example", "docs"}  # a library's own tests come before those of what it shows
_RUNNERS = ("behave", "radish", "lettuce", "ward")  # of tests that are no functions called test_*
_DEPTHS = ("", "[!.]*/", "[!.]*/[!.]*/")
_FILES = ("test_*.py", "*_test.py")  # pytest's own
_DJANGO_FILES = ("tests.py", "test_*.py", "*_test.py", "*_tests.py")


def collected(project: Project) -> list[Path]:
    """List the files that pytest collects: by its settings, else by its own rule or, with `option`, by Django's."""
    patterns = names_of_files(project.root) or (_DJANGO_FILES if project.manage else _FILES)
    return [source.path for source in project.sources if _matches(source.path, patterns)]


def _matches(path: Path, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatch(path.name, name) or ("/" in name and fnmatch(f"/{path}", f"*/{name}")) for name in patterns)


def named_otherwise(project: Project) -> list[Path]:
    """List the files with tests where pytest collects none of the whole project."""
    if collected(project):
        return []
    files = [source for source in project.sources if not SHOWN & set(source.path.parts)]
    return [source.path for source in files if (source.is_test or "unittest" in source.imports) and has_tests(source)]


def of_other_runners(project: Project) -> list[str]:
    """Describe the tests that pytest does not run, with the command that runs them on the same servers."""
    found: dict[str, str] = {}
    for source in project.sources:
        for runner in (name for name in _RUNNERS if name in source.imports):
            found.setdefault(runner, str(source.path))
    suites = [path for depth in _DEPTHS for path in sorted(project.root.glob(f"{depth}*.robot"))]
    if suites and project.has("robotframework"):
        found["robot"] = str(suites[0].relative_to(project.root))
    return [
        f"tests for pytest, which is what `testbay run` runs, in {path}: they are for {runner}: "
        f"`testbay exec -- {runner}{f' {path}' if runner == 'robot' else ''}` runs them on the same servers"
        for runner, path in found.items()
    ]


def outside(project: Project, folder: str) -> list[Path]:
    """List the files with tests that pytest collects outside a folder, by hand and without an argument.

    They lie in other folders of tests, or are doctests; a test_*.py elsewhere may be a program. Examples and scripts
    have a purpose of their own, a folder with packages of its own is another project, and who calls `pytest tests`
    means that folder.
    """
    if _is_called_with(project, folder):
        return []
    paths = {path for path in collected(project) if {"tests", "test"} & set(path.parts) or path.name == "tests.py"}
    if "--doctest-modules" in settings_of_tools(project):
        paths |= {source.path for source in project.code if ">>> " in source.text}
    found = [source for source in project.sources if source.path in paths and not source.path.is_relative_to(folder)]
    apart = {*SHOWN, *ASIDE, "benchmarks", "e2e"}
    found = [source for source in found if not apart & set(source.path.parts)]
    found = [source for source in found if not str(source.path).startswith(tuple(project.inner))]
    return [one.path for one in found if ">>> " in one.text or has_tests(one)]


def _is_called_with(project: Project, folder: str) -> bool:
    """Return whether a Makefile, tox or a workflow gives pytest this folder."""
    files = ["Makefile", "tox.ini", "noxfile.py", *project.workflows]
    call = re.compile(rf"\bpytest\b[^\n]*[\s\"'](\./)?{re.escape(folder)}(?![\w.-])")
    return any(call.search(project.text(name)) for name in files)


def has_tests(source: Source) -> bool:
    """Return whether a file defines tests, as functions or in classes."""
    body = source.tree.body if source.tree else []
    nodes = [*body, *(inner for node in body if isinstance(node, ast.ClassDef) for inner in node.body)]
    functions = (node for node in nodes if isinstance(node, FUNCTIONS))
    return any(node.name.startswith("test_") for node in functions)


def option(project: Project) -> Finding | None:
    """Make the option of pytest that collects Django's tests.py, as its own runner does, or tests of other names."""
    of_django = [source.path for source in project.sources if source.path.name == "tests.py" and project.manage]
    paths = [path for path in of_django if not SHOWN & set(path.parts)]
    names = " ".join(_DJANGO_FILES if paths else ())
    paths = paths or named_otherwise(project)
    names = names or " ".join(sorted({path.name for path in paths}))
    if not paths or "python_files" in settings_of_tools(project):
        return None
    source = f"{paths[0]} is not called test_*.py"
    return Finding(key="PYTEST_ADDOPTS", value=f"\"-o 'python_files={names}'\"", source=source)


def settings_of_tools(project: Project) -> str:
    """Return what the files of settings say that pytest may read: in the root, and beside manage.py."""
    folders = dict.fromkeys((Path(), Path(project.manage).parent))
    tables = [project.toml(str(folder / "pyproject.toml")).get("tool", "") for folder in folders]
    files = [str(folder / name) for folder in folders for name in ("pytest.ini", "setup.cfg", "tox.ini")]
    return "".join([*map(str, tables), *map(project.text, files)])

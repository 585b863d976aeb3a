"""What may not be in any file, and how large a file and a function may be."""

import ast
import re
from pathlib import Path

import pytest
from tests.repo.conftest import functions, parsed

pytestmark = pytest.mark.xdist_group("laws")  # one worker parses every file, once

# Written in pieces, so that this file does not match itself.
HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "yarnpkg" + ".com", "deb.debian" + ".org"]
HOSTS += ["crates" + ".io", "rubygems" + ".org", "proxy.golang" + ".org", "archive.ubuntu" + ".com"]
INDEX = re.compile("|".join([*map(re.escape, HOSTS), r"https?://\S+/" + "simple"]))
HOME = re.compile("|".join("/" + place + "/" for place in (r"home/\w+", r"Users/\w+", "root", "work")))

FILE_WALL, FUNCTION_WALL = 400, 60


def matches(root: Path, tracked: list[Path], pattern: re.Pattern[str]) -> str:
    """Each line of a tracked text file that matches, a line each."""
    found = []
    for file in tracked:
        try:
            lines = (root / file).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{file}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return "\n".join(found)


def test_no_file_names_a_package_index(root: Path, tracked: list[Path]) -> None:
    """Where packages come from is the machine's business: a mirror works without a change here."""
    assert matches(root, tracked, INDEX) == ""


def test_no_file_names_somebodys_folder(root: Path, tracked: list[Path]) -> None:
    """A path that exists on one machine only has no place in a file."""
    assert matches(root, tracked, HOME) == ""


def code(tracked: list[Path]) -> list[Path]:
    folders = {"src", "tests", "services", "scripts"}
    return [file for file in tracked if file.suffix == ".py" and file.parts[0] in folders]


def test_files_stay_below_the_wall(root: Path, tracked: list[Path]) -> None:
    """A file of more than 400 lines holds two things."""
    sizes = {file: (root / file).read_text(encoding="utf-8").count("\n") for file in code(tracked)}

    assert {str(file): size for file, size in sizes.items() if size > FILE_WALL} == {}


def test_functions_stay_below_the_wall(root: Path, tracked: list[Path]) -> None:
    """A function of more than 60 lines does two things."""
    sizes = {
        f"{file}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in code(tracked)
        for node in functions(root / file)
    }

    assert {name: size for name, size in sizes.items() if size > FUNCTION_WALL} == {}


def test_every_test_states_its_promise(root: Path, tracked: list[Path]) -> None:
    """Each test has a docstring, the promise it keeps; tests/system/project only plays a service."""
    mute = [
        f"{file}:{node.lineno} {node.name}"
        for file in code(tracked)
        if "tests" in file.parts and "project" not in file.parts
        for node in functions(root / file)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert not mute, "\n".join(mute)


# A clause that begins like this has no subject of its own; what a test promises may.
CLAUSE = re.compile(r"(What|Which|How|Why|Who|Where|As|Those|Its?|That|And|Also|Such|Of|Without|With|The same)\b")


def test_docstrings_have_a_subject(root: Path, tracked: list[Path]) -> None:
    """Each docstring of the product stands alone: a noun phrase, or a sentence with a verb."""
    headless = [
        f"{file}:{node.body[0].lineno} {text.splitlines()[0]}"
        for file in code(tracked)
        if "tests" not in file.parts and "src" in file.parts
        for node in ast.walk(parsed(root / file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        if CLAUSE.match(text := ast.get_docstring(node) or "")
    ]

    assert not headless, "\n".join(headless)

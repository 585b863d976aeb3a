"""The house in numbers: names at the top, crossings between the wings, names twice, private access, sizes."""

import ast
import re
from collections import Counter
from collections.abc import Callable

import pytest
from tests.repo.conftest import functions
from tests.repo.test_hygiene import FILE_WALL, FUNCTION_WALL
from tests.repo.test_imports import LEVELS, SOURCE, imported, modules, room

pytestmark = pytest.mark.xdist_group("laws")  # one worker parses every file, once

MOST_NAMES = 20
WINGS = {"harness", "production"}


def classes() -> list[str]:
    """The public names of all classes, as often as they are defined."""
    return [
        node.name
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def crossings() -> list[str]:
    """Where one wing imports the other."""
    trees = modules()
    return [
        f"{name}:{line} imports {target}"
        for name, tree in trees.items()
        for line, target in imported(tree, set(trees))
        if {room(name), room(target)} == WINGS
    ]


def own_secrets() -> list[str]:
    """Where a private name of a class of ours is used from outside, which ruff was told to overlook."""
    sources = {file: file.read_text(encoding="utf-8") for file in sorted(SOURCE.rglob("*.py"))}
    ours = set(re.findall(r"(?:def |self\.)(_\w+)", "\n".join(sources.values())))
    return [
        f"{file.relative_to(SOURCE)}: {line.strip()}"
        for file, text in sources.items()
        for line in text.splitlines()
        if "SLF001" in line and ours & set(re.findall(r"\.(_\w+)", line))
    ]


def sizes() -> tuple[int, int]:
    """The lines of the longest file and of the longest function."""
    files, lengths = [0], [0]
    for file in SOURCE.rglob("*.py"):
        files.append(file.read_text(encoding="utf-8").count("\n"))
        lengths += [(node.end_lineno or 0) - node.lineno + 1 for node in functions(file)]
    return max(files), max(lengths)


def test_the_house_is_printed(record_property: Callable[[str, object], None]) -> None:
    """Its numbers stand below the tests, and none is beyond what the house allows."""
    twice = [name for name, times in Counter(classes()).items() if times > 1]
    longest_file, longest_function = sizes()
    record_property(
        "said",
        f"the house: {len(LEVELS)} names at the top (at most {MOST_NAMES}), {max(LEVELS.values()) + 1} import levels, "
        f"{len(crossings())} crossings between the wings, {len(twice)} public class names twice, "
        f"{len(own_secrets())} private accesses; longest function {longest_function} lines (at most {FUNCTION_WALL}), "
        f"longest file {longest_file} (at most {FILE_WALL})",
    )
    assert (len(LEVELS) <= MOST_NAMES, crossings(), twice, own_secrets()) == (True, [], [], [])

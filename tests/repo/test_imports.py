"""Imports point one way: a module of src/testbay imports only modules of lower levels."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.repo.conftest import parsed

pytestmark = pytest.mark.xdist_group("laws")  # one worker parses every file, once

SOURCE = Path(__file__).parents[2] / "src/testbay"

# From the ways to fail, at the bottom, to the ways to call, at the top.
LEVELS = {
    "errors": 0,
    "files": 0,
    "logs": 1,
    "markdown": 1,
    "masking": 1,
    "output": 1,
    "pages": 1,
    "ports": 1,
    "process": 1,
    "settings": 1,
    "text": 0,
    "manifest": 2,
    "secrets": 3,
    "init": 3,
    "harness": 4,
    "production": 4,
    "premerge": 5,
    "fixtures": 5,
    "pytest_plugin": 5,
    "cli": 6,
}
# The contents page and the way in: they may import anything.
EXEMPT = {"testbay", "testbay.__main__"}


def modules() -> dict[str, ast.Module]:
    """Every module under its dotted name."""
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = parsed(file)
    return found


def imported(tree: ast.Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each module of ours that is imported, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.partition(".")[0] == "testbay")


def room(module: str) -> str:
    """`testbay.harness.engines.compose` is in the room `engines`."""
    return module.partition(".")[2].partition(".")[0]


def offence(module: str, target: str) -> str:
    """Why `module` may not import `target`, or nothing."""
    mine, theirs = room(module), room(target)
    if theirs == "":
        return "import the module you mean, not the package"
    if mine not in LEVELS or theirs not in LEVELS:
        return f"{mine if mine not in LEVELS else theirs} has no level: place it in LEVELS in this file"
    if mine == theirs or LEVELS[mine] > LEVELS[theirs]:
        return ""
    return f"level {LEVELS[mine]} may not import level {LEVELS[theirs]}: move what is shared further down"


def test_modules_import_only_lower_levels() -> None:
    """Who reads a module has to know only what lies below it."""
    trees = modules()
    offences = [
        f"{name}:{line} imports {target}: {why}"
        for name, tree in trees.items()
        if name not in EXEMPT
        for line, target in imported(tree, set(trees))
        if (why := offence(name, target))
    ]

    assert not offences, "\n".join(offences)


def test_every_module_has_a_level() -> None:
    """A new module is placed in LEVELS before anything imports it, and a removed one leaves it."""
    rooms = {room(name) for name in modules() if name not in EXEMPT}

    assert rooms == set(LEVELS), "place new modules in LEVELS, at the lowest level that holds what they import"


def test_guard_starts_without_the_slow_modules() -> None:
    """A user waits for the guard's imports at every start; `dataclasses` (by `inspect`) took a sixth of its time."""
    guard = "import sys, testbay.harness.stack.guard, testbay.harness.engines.embedded"
    ask = f"{guard}; print(*{{'dataclasses', 'inspect'}} & sys.modules.keys())"
    argv = [sys.executable, "-S", "-c", ask]
    loaded = subprocess.run(argv, env={"PYTHONPATH": str(SOURCE.parent)}, check=True, stdout=subprocess.PIPE).stdout

    assert loaded == b"\n"


def test_there_is_no_import_cycle() -> None:
    """Imports inside functions count as well: they only hide a loop."""
    trees = modules()
    graph = {
        name: {target for _, target in imported(tree, set(trees)) if target in trees and target != name}
        for name, tree in trees.items()
        if name not in EXEMPT
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("module", "target", "why"),
    [
        pytest.param("testbay.harness.run.command", "testbay.errors", "", id="down"),
        pytest.param("testbay.harness.engines.embedded", "testbay.harness.engines", "", id="within-a-room"),
        pytest.param(
            "testbay.process",
            "testbay.harness.run.command",
            "level 1 may not import level 4: move what is shared further down",
            id="up",
        ),
        pytest.param("testbay.new", "testbay.errors", "new has no level: place it in LEVELS in this file", id="new"),
    ],
)
def test_the_law_itself_judges_rightly(module: str, target: str, why: str) -> None:
    """A law that never says no is none."""
    assert offence(module, target) == why

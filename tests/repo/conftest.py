"""What every law of the house looks at: the files git knows, or would know after `git add`."""

import ast
import functools
import gc
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@functools.cache
def parsed(file: Path) -> ast.Module:
    """A file of ours, which many laws look at."""
    gc.disable()  # nothing of a tree is garbage
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    finally:
        gc.enable()


@functools.cache
def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function in it, at any depth."""
    return [node for node in ast.walk(parsed(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Forget all trees after the last law: each later search for garbage would go through 200 MB of them."""
    if nextitem is None or nextitem.path.parent != Path(__file__).parent:
        parsed.cache_clear()
        functions.cache_clear()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every tracked or not ignored file, as a path from the root; deleted ones and links are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    names = sorted(set(filter(None, listed.stdout.split("\0"))))
    return [Path(name) for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


@pytest.fixture(scope="session")
def shell_scripts(tracked: list[Path]) -> list[Path]:
    """Those of them that a shell runs, by extension or by their first line."""
    return [file for file in tracked if file.suffix == ".sh" or _is_shell(ROOT / file)]


def _is_shell(file: Path) -> bool:
    with file.open("rb") as stream:
        words = stream.readline(200).split()
    return bool(words) and words[0].startswith(b"#!") and words[-1].rpartition(b"/")[2] in {b"sh", b"bash", b"dash"}

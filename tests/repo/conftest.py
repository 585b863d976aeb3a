"""What every law of the house looks at: the files git knows, or would know after `git add`."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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

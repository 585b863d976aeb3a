"""The options of the pytest process that `testbay run` starts. Imports no pytest, which would slow down each run."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The options of a run's pytest, handed over in a file.

    `collect` is the argument with the tests' location; empty if the suite's `testpaths` give it. The suite's own
    time-out beats `timeout_s`, unless `timeout_asked` is true. With more than one of `workers`, pytest-xdist runs the
    tests.
    """

    collect: str
    coverage: str
    source: str
    timeout_s: int
    timeout_asked: bool
    run_dir: str
    workers: int = 1

    def write(self, file: Path) -> Path:
        """Write the options to a file for the next pytest process."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return file

    @classmethod
    def read(cls, file: Path) -> "Suite":
        return cls(**json.loads(file.read_text(encoding="utf-8")))


def as_seen_from(root: Path, words: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Complete pytest's files and ids that are relative to one of the folders, since pytest runs in `root`."""
    return [_seen_from(root, word, folders) for word in words]


def _seen_from(root: Path, word: str, folders: Sequence[Path]) -> str:
    file, _, test = word.partition("::")
    names_file = test or "/" in file or file.endswith(".py")
    if not file or file.startswith("-") or not names_file or _is_there(root / file):
        return word
    found = next((folder / file for folder in folders if _is_there(folder / file)), None)
    return word if found is None else f"{found}{word[len(file) :]}"


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - what is longer than any name, as an expression for -k, is absent

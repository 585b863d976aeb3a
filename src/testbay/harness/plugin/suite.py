"""The options of the pytest that `testbay run` starts. It imports no pytest, which would cost each run time."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The options of a run's pytest, handed over in a file.

    `collect` is the argument that says where the tests are; empty where the suite's `testpaths` do. The suite's own
    setting beats `timeout_s`, unless it was `timeout_asked` for. With more than one of `workers` pytest-xdist runs the
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
        """Write the options to a file for the pytest that is started next."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return file

    @classmethod
    def read(cls, file: Path) -> "Suite":
        """Read the options that `write` wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))


def as_seen_from(root: Path, words: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Complete files and ids among pytest's arguments that are relative to one of the folders, as it runs in `root`."""
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

"""A program that parses for coverage.py the code that will be reported, while the tests run on other processors.

Run as a file by `readahead`, in the project's own Python, which may have no testbay. Its arguments are the file with
the settings of coverage.py, and the file for what it has read: pickled pairs of a path and a parser's state.
"""

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from coverage import Coverage
from coverage.files import canonical_filename, find_python_files
from coverage.parser import PythonParser


def main() -> None:
    """Parse one file after the other."""
    rules, target = sys.argv[1:]
    _yield_to_others()
    measured = Coverage(data_file=None, config_file=rules)
    with Path(target).open("wb", buffering=0) as out:
        for file in _files(measured):
            with suppress(Exception):  # it cannot be parsed: the reports say so
                out.write(pickle.dumps((file, _state(measured, file))))


def _yield_to_others() -> None:
    """Run only where a processor would be idle."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)


def _files(measured: Any) -> Iterator[str]:
    """Yield the files below the measured folders, in the order of the reports."""
    for folder in measured.config.source or ():
        if Path(folder).is_dir():  # not a package by its name
            yield from sorted(map(canonical_filename, find_python_files(folder, include_namespace_packages=False)))


def _state(measured: Any, file: str) -> dict[str, Any]:
    parser = PythonParser(filename=file, exclude=measured._exclude_regex("exclude"))  # noqa: SLF001 - as the reports ask
    parser.parse_source()
    if measured.config.branch:
        parser.arcs()
    return {name: value for name, value in vars(parser).items() if name != "_ast_root"}


if __name__ == "__main__":
    main()

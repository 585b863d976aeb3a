"""Programs installed on the system, not those from packages in Python environments."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_MARKS = ("pyvenv.cfg", "conda-meta")  # beside the `bin` of a virtual environment, of a conda environment


def on_system(name: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield every program of that name on the PATH, in order.

    An active environment puts the programs of its wheels first on the PATH; wheels are looked for separately.
    """
    seen = set()
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        program = Path(folder or ".", name)
        # In this order: a folder that cannot be searched, as root's after `sudo -u`, is an error to `is_file`.
        if os.access(program, os.X_OK) and program.is_file() and not _of_a_package(program):
            real = program.resolve()
            if real not in seen:  # /bin is /usr/bin
                seen.add(real)
                yield program


def _of_a_package(program: Path) -> bool:
    """Return whether a Python package installed the program: it lies in an environment, or is a Python script."""
    environments = (program.parent.parent, program.resolve().parent.parent)  # `uv tool` links into ~/.local/bin
    if any((environment / mark).exists() for environment in environments for mark in _MARKS):
        return True
    try:
        with program.open("rb") as file:
            first = file.readline(256)
    except OSError:  # it may be run, and not read
        return False
    return first.startswith(b"#!") and b"python" in first

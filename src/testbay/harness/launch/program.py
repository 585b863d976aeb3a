"""Parsing a command line that runs a Python program of this environment."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SHELLS = ("bash", "sh")  # what commandline.argv has run what only a shell reads
_FLAGS = re.compile(r"-[bBdEIOPqsSu]+")
_WITH_VALUE = re.compile(r"-[WX]")
# The first lines of a console script: `#!/env/bin/python`, or where that is too long for a kernel
# `#!/bin/sh` and `'''exec' "/env/bin/python" "$0" "$@"`.
_SHEBANG = re.compile(
    rb"#!/bin/sh\n'''exec' \"?([^\"\n]+?)\"? \"\$0\" \"\$@\"\n"  # the long way
    rb"|#! ?(\S+)(?: (\S+))?\n"
)


@dataclass(frozen=True, kw_only=True)
class PythonProgram:
    """A Python command: a module or a file to run. `options` are the interpreter's own."""

    options: tuple[str, ...] = ()
    module: str = ""
    file: str = ""
    arguments: tuple[str, ...] = ()


def taken_apart(argv: Sequence[str], path: str) -> PythonProgram | str:
    """The Python program in a command line, or why this interpreter cannot become it."""
    if _is_this_python(argv[0], path):
        return _of_python(argv[1:])
    if Path(argv[0]).name in _SHELLS:
        return "its command needs a shell"
    found = argv[0] if os.sep in argv[0] else shutil.which(argv[0], path=path)
    return f"{argv[0]} is not there" if found is None else _of_script(found, argv, path)


def _of_script(file: str, argv: Sequence[str], path: str) -> PythonProgram | str:
    words = _shebang(Path(file))
    if not words:
        return f"{argv[0]} is not a Python program"
    if not _is_this_python(words[0], path):
        return f"{argv[0]} runs in another Python than the tests"
    options = tuple(words[1:])
    if not all(map(_FLAGS.fullmatch, options)):
        return f"{argv[0]} is run with {' '.join(options)}"
    return PythonProgram(options=options, file=file, arguments=tuple(argv[1:]))


def _of_python(words: Sequence[str]) -> PythonProgram | str:
    options: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "-m" and rest:
            return PythonProgram(options=tuple(options), module=rest[0], arguments=tuple(rest[1:]))
        options.append(word)
        if _WITH_VALUE.fullmatch(word) and rest:
            options.append(rest.pop(0))
        elif not _FLAGS.fullmatch(word) and not _WITH_VALUE.match(word):
            return f"python is run with {word}"
    if not rest:
        return "python is run without a program"
    if Path(rest[0]).is_dir():
        return f"{rest[0]} is a folder"
    return PythonProgram(options=tuple(options), file=rest[0], arguments=tuple(rest[1:]))


def _shebang(file: Path) -> list[str]:
    """The words of a script's first line; none for machine code."""
    try:
        with file.open("rb") as script:
            found = _SHEBANG.match(script.read(1024))
    except OSError:
        return []
    if found is None:
        return []
    return [os.fsdecode(word) for word in found.groups() if word]


def _is_this_python(word: str, path: str) -> bool:
    """Return whether a program is the running interpreter, by any of its names, in the same environment."""
    named = word if os.sep in word else shutil.which(word, path=path)
    if named is None or os.path.realpath(named) != os.path.realpath(sys.executable):
        return False
    return os.path.realpath(Path(named).parent) == os.path.realpath(Path(sys.executable).parent)

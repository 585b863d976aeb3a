"""Commands that a warm interpreter can become, and why others cannot."""

import sys
from pathlib import Path

import pytest

from testbay.harness.launch.program import PythonProgram, taken_apart

BIN = str(Path(sys.executable).parent)
PATH = f"{BIN}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("python -m app --port 1", PythonProgram(module="app", arguments=("--port", "1"))),
        (f"{sys.executable} manage.py runserver", PythonProgram(file="manage.py", arguments=("runserver",))),
        ("python -u -W error -X dev a.py", PythonProgram(options=("-u", "-W", "error", "-X", "dev"), file="a.py")),
        ("pytest --port 1", PythonProgram(file=f"{BIN}/pytest", arguments=("--port", "1"))),
    ],
)
def test_python_programs_are_taken_apart(words: str, expected: PythonProgram) -> None:
    """A module, a file, a console script; options before them are the interpreter's."""
    assert taken_apart(words.split(), PATH) == expected


def test_console_script_in_a_long_folder_is_a_python_program(tmp_path: Path) -> None:
    """A kernel reads no more than the beginning of a first line: pip then writes a shell's line."""
    script = tmp_path / "serve"
    script.write_text(f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nprint(1)\n", encoding="utf-8")

    assert taken_apart([str(script), "x"], PATH) == PythonProgram(file=str(script), arguments=("x",))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("bash -e -o pipefail -c x", "its command needs a shell"),
        ("sleep 1", "sleep is not a Python program"),
        ("/no/such/program", "/no/such/program is not a Python program"),
        ("no-such-program", "no-such-program is not there"),
        ("python -c x", "python is run with -c"),
        ("python -i a.py", "python is run with -i"),
        ("python", "python is run without a program"),
        ("python /tmp", "/tmp is a folder"),
    ],
)
def test_others_are_started_cold(words: str, why: str) -> None:
    """The reason is said once in a run."""
    assert taken_apart(words.split(), PATH) == why


@pytest.mark.parametrize(
    ("first", "why"),
    [("#!/other/bin/python3", "runs in another Python than the tests"), ("#!{python} -i", "is run with -i")],
)
def test_scripts_of_another_python_are_started_cold(tmp_path: Path, first: str, why: str) -> None:
    """Its libraries are others."""
    script = tmp_path / "serve"
    script.write_text(first.format(python=sys.executable) + "\n", encoding="utf-8")

    assert taken_apart([str(script)], PATH) == f"{script} {why}"

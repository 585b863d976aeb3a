"""The check of variables: of a file or of the environment."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.samples.reports import only

from testbay.production.checks.report import Report

Ask = Callable[..., Report]

ENV = """
[[check]]
id = "env"
kind = "env"
source = ".env"
required = ["A", "B", "C"]
forbid = ["changeme"]
"""


def test_variables_that_are_absent_empty_or_placeholders_fail(ask: Ask, tmp_path: Path) -> None:
    """All of them at once, by name; no value is shown."""
    (tmp_path / ".env").write_text('export A="  "\nB = s3cret # why\nD=please-CHANGEME-now\n', encoding="utf-8")
    found = only(ask(ENV, phase="pre-deploy"))

    assert (found.verdict, found.said) == ("fail", "C is not in .env (and 2 more)")
    assert found.evidence == ("A is empty in .env", "D holds 'changeme', which is forbidden")


def test_variables_that_are_there_pass(ask: Ask, tmp_path: Path) -> None:
    """From a file, or from the environment of the call; the rest of that is nobody's business."""
    (tmp_path / ".env").write_text("A=1\nB='two words'\nC=\"x\\ny\"\n", encoding="utf-8")
    environ = {"A": "1", "B": "2", "C": "3", "OTHER": "changeme"}

    assert only(ask(ENV)).said == "3 variables in .env"
    assert only(ask(ENV.replace('source = ".env"', ""), environ=environ)).said == "3 variables in the environment"


def test_a_pipe_is_read_and_one_that_stays_empty_is_left(ask: Ask, tmp_path: Path) -> None:
    """Managers of secrets offer them; a watcher that waited for one would ask nothing else any more, and not end."""
    os.mkfifo(tmp_path / ".env")
    lines = ENV.replace('"A", "B", "C"', '"A"') + "attempts = 1\ntimeout = "
    silent = only(ask(lines + '"300ms"'))
    writer = threading.Thread(target=lambda: (tmp_path / ".env").write_text("A=1\n", encoding="utf-8"))
    writer.start()
    heard = only(ask(lines + '"20s"'))
    writer.join()

    assert (silent.verdict, silent.said) == (
        "error",
        ".env: is a pipe, and what writes into it did not do so in time",
    )
    assert (heard.verdict, heard.said) == ("pass", "1 variable in .env")


@pytest.mark.parametrize("value", ["", "''", '""', "' '", "\"''\"", "'\"\"'"])
def test_quotes_and_white_space_are_nothing(ask: Ask, tmp_path: Path, value: str) -> None:
    """Of a variable that is required, and of one that only has a shape."""
    (tmp_path / ".env").write_text(f"A={value}\nB={value}\n", encoding="utf-8")
    lines = ENV.replace('"A", "B", "C"', '"A"') + 'shape = { B = "int" }'
    found = only(ask(lines))

    assert (found.verdict, found.said, *found.evidence) == (
        "fail",
        "A is empty in .env (and 1 more)",
        "B is empty in .env",
    )


def test_a_value_of_another_shape_is_named_and_not_shown(ask: Ask, tmp_path: Path) -> None:
    """Nor is any part of it; what is not there is of no shape, and told."""
    (tmp_path / ".env").write_text("URL=mysql://u:hunter2@db\nKEY=hunter2\nDEBUG=on\n", encoding="utf-8")
    shape = 'shape = { URL = "postgres-url", KEY = "secret>=32", DEBUG = "bool", PORT = "int" }'
    lines = '[[check]]\nid = "env"\nkind = "env"\nsource = ".env"\n'
    wrong, right = ask(lines + shape), ask(lines + 'shape = { DEBUG = "bool", PORT = "int" }')

    said = "URL is not a valid postgres-url: it does not begin with postgresql:// or postgres:// (and 1 more)"
    assert (only(wrong).said, *only(wrong).evidence) == (said, "KEY is not a valid secret>=32: it has 7 characters")
    assert "hunter2" not in wrong.as_json()
    assert (only(right).verdict, only(right).said) == ("pass", "1 variable in .env; missing, so not compared: PORT")


def test_two_files_have_the_same_keys(ask: Ask, tmp_path: Path) -> None:
    """What one of them lacks is named, on both sides; what is required is named once."""
    (tmp_path / ".env.example").write_text("A=\nB=\nC=\nD=\n", encoding="utf-8")
    lines = ENV.replace('"A", "B", "C"', '"A", "D"') + 'same_keys_as = ".env.example"'
    (tmp_path / ".env").write_text("A=1\nB=2\nX=3\n", encoding="utf-8")
    wrong = only(ask(lines))
    (tmp_path / ".env").write_text('A=1\nB=2\nC=3\nD="4"\n', encoding="utf-8")
    right = only(ask(lines))

    assert (wrong.verdict, wrong.said) == ("fail", "D is not in .env (and 2 more)")
    assert wrong.evidence == ("C is in .env.example and not in .env", "X is in .env and not in .env.example")
    assert (right.verdict, right.said) == ("pass", "2 variables in .env; same keys as .env.example")


def test_an_example_that_is_not_there_is_not_green(ask: Ask, tmp_path: Path) -> None:
    """Whether the keys are the same could not be checked."""
    (tmp_path / ".env").write_text("A=1\nB=2\nC=3\n", encoding="utf-8")
    found = only(ask(ENV + 'same_keys_as = "example"'))

    assert (found.verdict, found.said) == ("error", "example: cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, ("error", ".env: cannot be read: No such file or directory")),
        (b"\xff", ("fail", ".env: is not UTF-8")),
        (b"A=1\nB='never closed\nC=3\n", ("fail", ".env: line 2 is not a variable")),
        (b"A=" + b"x" * (1 << 20), ("fail", ".env: is larger than 1 MiB")),
    ],
)
def test_a_file_that_cannot_be_looked_at_is_not_green(
    ask: Ask, tmp_path: Path, content: bytes | None, found: tuple[str, str]
) -> None:
    """And shows nothing of what is in it."""
    if content is not None:
        (tmp_path / ".env").write_bytes(content)
    result = only(ask(ENV))

    assert (result.verdict, result.said) == found

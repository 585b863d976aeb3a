"""`testbay --help` lists every command once, in a group, with a whole sentence."""

import re
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from testbay.cli import overview
from testbay.cli.app import app

COMMANDS: Any = typer.main.get_command(app)
SENTENCES = {name: overview.sentence(command.help) for name, command in COMMANDS.commands.items()}


def test_every_command_has_a_group() -> None:
    """A new one is placed in `overview.GROUPS`."""
    grouped = [name for names in overview.GROUPS.values() for name in names]

    assert sorted(grouped) == sorted(SENTENCES)


def test_every_command_is_told_in_a_whole_sentence() -> None:
    """Nothing is cut off, and no example stands there."""
    said = " ".join(CliRunner().invoke(app, ["--help"], prog_name="testbay").output.split())

    assert [name for name, sentence in SENTENCES.items() if not sentence.endswith(".") or sentence not in said] == []


@pytest.mark.parametrize(
    ("terminal", "environ", "expected"),
    [
        pytest.param(True, {"TERM": "xterm"}, True, id="a-terminal"),
        pytest.param(True, {"TERM": "xterm", "NO_COLOR": "1"}, False, id="no-color"),
        pytest.param(True, {"TERM": "dumb"}, False, id="a-dumb-one"),
        pytest.param(False, {"TERM": "xterm"}, False, id="a-pipe"),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,  # noqa: FBT001
    environ: dict[str, str],
    expected: bool,  # noqa: FBT001
) -> None:
    """NO_COLOR is honoured, as no-color.org asks."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert bool(re.search("\x1b", overview.styled("Tests", bold=True))) is expected

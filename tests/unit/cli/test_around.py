"""Commands around another program: what is theirs, and what is that program's."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbay.cli import harness


@pytest.mark.parametrize("word", ["--engne", "--engine-=compose", "--no-cow", "--shards=1/2"])
def test_a_misspelt_option_is_refused_before_anything_starts(word: str) -> None:
    """The other program would refuse it only once the servers are there."""
    done = CliRunner().invoke(harness.app, ["run", word])

    assert done.exit_code == 2
    assert f"unknown option {word.partition('=')[0]}: did you mean --" in " ".join(done.output.split())


@pytest.mark.parametrize("words", [["--cov=shop"], ["--collect-only"], ["--", "--engne"]])
def test_options_of_the_other_program_pass(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the commands come as far as the folder, and find that it holds no project."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(harness.app, ["run", *words])

    assert (done.exit_code, "unknown option" in done.output) == (1, False)

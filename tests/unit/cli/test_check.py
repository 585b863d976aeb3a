"""The command `testbay check`: what it is told, and what it was meant to be told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbay.cli import app, production
from testbay.errors import ManifestError


def test_the_id_of_a_check_in_a_services_place_is_told_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`testbay check health` means a check, while no service has that name."""
    (tmp_path / "testbay.toml").write_text('service = "shop"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(production.app, ["check", "health", "--phase", "pre-deploy"])

    assert isinstance(done.exception, ManifestError)
    assert str(done.exception) == (
        f"unknown service 'health'\n  why:      services of {tmp_path}: shop\n"
        "  do:       name one of them; a single check is asked for with --id health"
    )


def test_where_no_service_is_named_the_option_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a word that stands for the id."""
    for name in ("shop", "mail"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "testbay.toml").write_text(f'service = "{name}"\n', encoding="utf-8")
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(production.app, ["check", "--phase", "pre-deploy"])

    assert "a single check is asked for with --id ID" in str(done.exception)


@pytest.mark.parametrize("argv", [["check", "--branch", ""], ["status-page", "--out="], ["watch", "--for", ""]])
def test_an_option_without_its_value_is_refused(argv: list[str]) -> None:
    """A variable that is not set would have been this folder, no comparison, or for ever."""
    done = CliRunner().invoke(app.app, argv)

    assert str(done.exception).startswith(f"{argv[1].strip('=')}: its value is empty\n  do: ")


def test_an_empty_word_behind_a_flag_is_not_its_value() -> None:
    """It is an argument, of pytest or of the command."""
    done = CliRunner().invoke(app.app, ["check", "--json", "", "--phase", "nope"])

    assert str(done.exception).startswith("unknown service ''")


@pytest.mark.parametrize(
    ("argv", "place"),
    [
        ("check --phase pre-deploy --json", "err"),
        ("check --phase pre-deploy", "out"),
        ("metrics none.json", "err"),
        ("metrics none.json --to x.prom", "out"),
        ("up --keep", "err"),
    ],
)
def test_an_error_is_not_printed_where_a_program_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: str, place: str
) -> None:
    """With `--json > report.json` it would be in the file, and in no log; `eval` would run its words."""
    (tmp_path / "testbay.toml").write_text('service = "Shop"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["testbay", *argv.split()])

    with pytest.raises(SystemExit):
        app.main()
    printed = capsys.readouterr()
    found = {"out": printed.out, "err": printed.err}

    assert [name for name, text in found.items() if "error: " in text] == [place]

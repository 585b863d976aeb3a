"""The command `testbay check`: what it is told, and what it was meant to be told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbay.cli import production
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

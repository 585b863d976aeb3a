"""The command line of error-monitor."""

import sys
from pathlib import Path

import pytest

from error_monitor import __version__, cli


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`error-monitor --version` prints name and version."""
    with pytest.raises(SystemExit):
        cli.main(["--version"])

    assert capsys.readouterr().out == f"error-monitor {__version__}\n"


def test_output_on_a_full_disk_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not a traceback, also when the last bytes are written at the exit."""
    log = tmp_path / "app.log"
    log.write_text("2026-11-28 10:00:00,000 ERROR shop: boom\n")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = cli.main(["group", "--jsonl", str(log)])

    said = "error-monitor: standard output: No space left on device\n"
    assert (code, capsys.readouterr().err) == (1, said)

"""The command line of error-monitor."""

import pytest

from error_monitor import __version__, cli


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`error-monitor --version` prints name and version."""
    with pytest.raises(SystemExit):
        cli.main(["--version"])

    assert capsys.readouterr().out == f"error-monitor {__version__}\n"

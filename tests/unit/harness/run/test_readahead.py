"""What testbay parses for the reports of coverage.py while the tests run."""

import os
import sys
from pathlib import Path

from testbay.fixtures import eventually
from testbay.harness.plugin.suite import READINGS
from testbay.harness.run.readahead import ReadAhead


def test_it_begins_once_the_run_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    """It reads what the settings name, beside the tests, and what it has written goes with it."""
    code = tmp_path / "code"
    code.mkdir()
    code.joinpath("shop.py").write_text("def pay(n):\n    return n\n")
    readings = tmp_path / READINGS
    ahead = ReadAhead(tmp_path, Path(sys.executable), os.environ, tmp_path, worth_s=0)
    ahead.begin_when_due()
    tmp_path.joinpath("coveragerc-service").write_text("[run]\nsource = code\n")

    ahead.begin_when_due()
    eventually(lambda: readings.exists() and b"shop.py" in readings.read_bytes(), "the file to be read")
    ahead.end()

    assert not readings.exists()


def test_a_run_goes_on_without_it(tmp_path: Path) -> None:
    """A machine that starts no further process fails no run: the reports parse by themselves."""
    tmp_path.joinpath("coveragerc-service").write_text("[run]\nsource = .\n")
    ahead = ReadAhead(tmp_path, tmp_path / "absent", os.environ, tmp_path, worth_s=0)

    ahead.begin_when_due()
    ahead.end()

    assert not (tmp_path / READINGS).exists()

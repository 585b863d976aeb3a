"""The reports of a run read each file once, and are those that coverage.py writes by itself."""

import gc
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from coverage import Coverage
from coverage.parser import PythonParser

from testbay.harness.plugin.coverageparsing import OneParse


@pytest.fixture
def reports(tmp_path: Path) -> Callable[[], dict[str, object]]:
    """Run a module, and write the reports of a run; also of a file that is no Python."""
    (tmp_path / "shop.py").write_text("def pay(n):\n    if n:\n        return 1\n    return 2\n\n\npay(1)\n")
    (tmp_path / "page.py").write_text("{{ '·' }}\n")

    def write() -> dict[str, object]:
        measured = Coverage(data_file=None, source=[str(tmp_path)], branch=True, config_file=False)
        with measured.collect():
            exec(compile((tmp_path / "shop.py").read_text(), str(tmp_path / "shop.py"), "exec"), {})  # noqa: S102
        measured.report(ignore_errors=True, output_format="total", file=io.StringIO())
        measured.xml_report(ignore_errors=True, outfile=str(tmp_path / "coverage.xml"))
        measured.json_report(ignore_errors=True, outfile=str(tmp_path / "coverage.json"))
        found: dict[str, object] = json.loads((tmp_path / "coverage.json").read_text())["files"]
        return found

    return write


@pytest.mark.filterwarnings("ignore:Couldn't parse")
def test_each_file_is_read_once(reports: Callable[[], dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three reports, one reading, and no garbage collected; they are the same as without it.

    A file that cannot be read changes nothing.
    """
    read: list[str] = []
    collects: list[bool] = []
    parse = PythonParser.parse_source

    def noted(parser: PythonParser) -> None:
        read.append(parser.filename)
        collects.append(gc.isenabled())
        parse(parser)

    monkeypatch.setattr(PythonParser, "parse_source", noted)
    alone, times_alone = reports(), [Path(file).name for file in read].count("shop.py")
    read.clear()
    collects.clear()
    one = OneParse()
    one.begin()
    shared = reports()
    one.end()

    assert shared == alone
    assert ([Path(file).name for file in read].count("shop.py"), times_alone) == (1, 3)
    assert (True in collects, gc.isenabled()) == (False, True)

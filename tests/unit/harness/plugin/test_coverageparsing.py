"""The reports of a run read each file once, and are those that coverage.py writes by itself."""

import gc
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from coverage import Coverage
from coverage.parser import PythonParser

from testbay.harness.plugin.coverageparsing import OneParse
from testbay.harness.run import parseahead


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


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The name of each file as it is read, and whether Python collects garbage meanwhile."""
    found: list[tuple[str, bool]] = []
    parse = PythonParser.parse_source

    def noted(parser: PythonParser) -> None:
        found.append((Path(parser.filename).name, gc.isenabled()))
        parse(parser)

    monkeypatch.setattr(PythonParser, "parse_source", noted)
    return found


@pytest.mark.filterwarnings("ignore:Couldn't parse")
def test_each_file_is_read_once(reports: Callable[[], dict[str, object]], read: list[tuple[str, bool]]) -> None:
    """Three reports, one reading, and no garbage collected; they are the same as without it.

    A file that cannot be read changes nothing.
    """
    alone, times_alone = reports(), read.count(("shop.py", True))
    read.clear()
    one = OneParse(Path("absent"))
    one.begin()
    shared = reports()
    one.end()

    assert shared == alone
    assert (read.count(("shop.py", False)), times_alone, gc.isenabled()) == (1, 3, True)
    assert not any(collects for _, collects in read)


@pytest.mark.filterwarnings("ignore:Couldn't parse")
def test_what_was_read_while_the_tests_ran_is_not_read_again(
    reports: Callable[[], dict[str, object]], read: list[tuple[str, bool]], tmp_path: Path
) -> None:
    """The reports are the same; a file that has changed since, as one that tests generate, is read anew."""
    (tmp_path / "made.py").write_text("def old():\n    return 1\n")
    (tmp_path / "rules").write_text(f"[run]\nbranch = true\nsource = {tmp_path}\n")
    program: list[str | Path] = [sys.executable, str(parseahead.__file__), tmp_path / "rules", tmp_path / "readings"]
    subprocess.run(program, check=True)
    with (tmp_path / "readings").open("ab") as cut_off:
        cut_off.write(b"\x80\x04")
    (tmp_path / "made.py").write_text("if True:\n    x = 1\n\ny = 2\n")
    alone = reports()
    read.clear()
    one = OneParse(tmp_path / "readings")
    one.begin()
    shared = reports()
    one.end()

    assert shared == alone
    assert [name for name, _ in read if name != "page.py"] == ["made.py"]

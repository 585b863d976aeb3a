"""The paths in coverage.xml are those that a repository's services look for."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from testbay.harness.run import coveragexml

REPORT = """<?xml version="1.0" ?>
<coverage version="7.6"><sources>{sources}</sources><packages><package name="."><classes>
<class name="app.py" filename="{name}"><lines><line number="1" hits="1"/></lines></class>
</classes></package></packages></coverage>"""


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service in a repository of several."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "services/shop"
    (folder / "src/shop").mkdir(parents=True)
    (folder / "src/shop/app.py").touch()
    return folder


def paths(service: Path, name: str, *sources: str) -> tuple[list[str | None], list[str | None]]:
    """The sources and the files of a report after the work."""
    file = service / "coverage.xml"
    listed = "".join(f"<source>{source}</source>" for source in sources)
    file.write_text(REPORT.format(sources=listed, name=name), encoding="utf-8")
    coveragexml.relocate(file, service, service)
    root = ET.parse(file).getroot()
    return [node.text for node in root.iter("source")], [node.get("filename") for node in root.iter("class")]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("shop/app.py", "HERE/src", id="an-absolute-source"),
        pytest.param("shop/app.py", "src", id="a-relative-source"),
        pytest.param("src/shop/app.py", "", id="relative-files"),
        pytest.param("HERE/src/shop/app.py", "", id="an-absolute-file"),
    ],
)
def test_files_are_named_from_the_repository_root(service: Path, name: str, source: str) -> None:
    """However coverage.py was set, a scanner that stands in the root finds the file."""
    found = paths(service, name.replace("HERE", str(service)), source.replace("HERE", str(service)))

    assert found == (["."], ["services/shop/src/shop/app.py"])


def test_a_file_that_is_not_here_keeps_its_name(service: Path) -> None:
    """Nothing is guessed about a file of another machine."""
    assert paths(service, "gone.py", "/elsewhere") == (["."], ["gone.py"])


def test_without_a_repository_the_project_is_the_root(tmp_path: Path) -> None:
    """A folder that git does not keep."""
    (tmp_path / "app.py").touch()

    assert paths(tmp_path, "app.py", str(tmp_path)) == (["."], ["app.py"])


def test_a_damaged_report_is_left_alone(service: Path) -> None:
    """A run never fails for it."""
    (service / "coverage.xml").write_text("<coverage", encoding="utf-8")

    coveragexml.relocate(service / "coverage.xml", service, service)

    assert (service / "coverage.xml").read_text(encoding="utf-8") == "<coverage"

"""A green run of an installed copy says nothing of the files that were just edited."""

import json
from pathlib import Path
from typing import Any

import pytest

from testbay.harness.run.installed import copies_met


@pytest.mark.parametrize(
    ("origin", "lines", "told"),
    [
        ({"dir_info": {}}, 0, ["shop"]),
        ({"dir_info": {}}, 3, []),  # the tests' path has this folder first
        ({"dir_info": {"editable": True}}, 0, []),
        ({"dir_info": {}, "url": "file:///elsewhere"}, 0, []),
        ({"vcs_info": {}}, 0, []),
    ],
)
def test_a_copy_that_ran_in_place_of_the_project_is_found(
    tmp_path: Path, origin: dict[str, Any], lines: int, told: list[str]
) -> None:
    """Only one that was installed from this very folder, and only if no line of the folder's own ran."""
    root, packages = tmp_path / "a project", tmp_path / "env/lib/python3.11/site-packages"
    info = packages / "shop-1.0.dist-info"
    (root / "src/shop").mkdir(parents=True)
    (root / "src/shop/__init__.py").touch()
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text(json.dumps({"url": root.as_uri()} | origin), encoding="utf-8")
    (info / "RECORD").write_text("shop/__init__.py,sha256=x,1\nshop-1.0.dist-info/RECORD,,\n", encoding="utf-8")
    report = tmp_path / "coverage.json"
    summary = {"summary": {"covered_lines": lines}}
    report.write_text(json.dumps({"files": {"src/shop/__init__.py": summary}}), encoding="utf-8")

    assert [copy.name for copy in copies_met(report, root, tmp_path / "env/bin/python")] == told


def test_without_coverage_nothing_is_said(tmp_path: Path) -> None:
    """It is not known then which files ran."""
    assert copies_met(tmp_path / "coverage.json", tmp_path, tmp_path / "env/bin/python") == []

"""Where pytest's own settings say that the tests are."""

from pathlib import Path

import pytest

from testbay.manifest.testpaths import folders_of_tests


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, ("", [])),
        ({"pytest.ini": "[pytest]\ntestpaths = a b/c"}, ("pytest.ini", ["a", "b/c"])),
        ({"pytest.ini": "[pytest]", "setup.cfg": "[tool:pytest]\ntestpaths = a"}, ("pytest.ini", [])),
        ({"pytest.ini": "no ini", "setup.cfg": "[tool:pytest]\ntestpaths = a"}, ("setup.cfg", ["a"])),
        ({"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = "a b"'}, ("pyproject.toml", ["a", "b"])),
        ({"pyproject.toml": '[tool.pytest]\ntestpaths = ["a"]'}, ("pyproject.toml", ["a"])),
        ({"pyproject.toml": "[tool.ruff]", "tox.ini": "[pytest]\ntestpaths = a"}, ("tox.ini", ["a"])),
        ({"pyproject.toml": "not TOML"}, ("", [])),
        ({"pytest.toml": '[pytest]\ntestpaths = ["a"]'}, ("pytest.toml", ["a"])),
    ],
)
def test_the_file_that_pytest_takes_decides(
    tmp_path: Path, files: dict[str, str], found: tuple[str, list[str]]
) -> None:
    """The first with pytest's settings, also if it has no `testpaths`: pytest reads no other."""
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert folders_of_tests(tmp_path) == found

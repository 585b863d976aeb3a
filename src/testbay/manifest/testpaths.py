"""The folders and files of tests that pytest's own settings name."""

import configparser
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

SECTIONS = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
# In the order in which pytest tries them; those of TOML of its own since pytest 9.
_ALL = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


def folders_of_tests(folder: Path) -> tuple[str, list[str]]:
    """Return `testpaths` of the file in a folder that pytest takes its settings from, with the file's name."""
    return _words(folder, "testpaths")


def names_of_files(folder: Path) -> list[str]:
    """Return `python_files` of pytest's settings in a folder; empty if they leave pytest's own, test_*.py."""
    return _words(folder, "python_files")[1]


def _words(folder: Path, option: str) -> tuple[str, list[str]]:
    for file in _ALL:
        text = ""
        with suppress(OSError, UnicodeError):
            text = (folder / file).read_text(encoding="utf-8")
        settings = _of_toml(text) if file.endswith(".toml") else _of_ini(text, SECTIONS[file])
        if settings is not None:
            named = settings.get(option)
            return file, [str(word) for word in named] if isinstance(named, list) else str(named or "").split()
    return "", []


def _of_toml(text: str) -> Mapping[str, Any] | None:
    found: Any = {}
    with suppress(ValueError, RecursionError):
        found = tomllib.loads(text)
    tool = found.get("tool")
    table = tool.get("pytest") if isinstance(tool, dict) else found.get("pytest")
    table = table.get("ini_options", table) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def _of_ini(text: str, section: str) -> Mapping[str, str] | None:
    parser = configparser.RawConfigParser(strict=False)
    with suppress(configparser.Error):
        parser.read_string(text)
        return dict(parser[section]) if parser.has_section(section) else None
    return None

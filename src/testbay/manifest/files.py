"""Finding manifest files, and their raw tables. Light on imports: each pytest session starts here."""

import tomllib
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError


def manifest_file(folder: Path) -> Path | None:
    """The file in `folder` that holds a manifest, testbay.toml first."""
    if (folder / "testbay.toml").is_file():
        return folder / "testbay.toml"
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file() and _speaks_of_testbay(pyproject):
        tools = _toml(pyproject).get("tool")
        return pyproject if isinstance(tools, dict) and "testbay" in tools else None
    return None


def read_table(file: Path) -> dict[str, Any]:
    """The table of a manifest, not yet validated.

    Raises:
        ManifestError: Not TOML, or not a table.
    """
    document = _toml(file)
    table = document if file.name == "testbay.toml" else document["tool"]["testbay"]
    for reserved in ("file", "root"):
        if not isinstance(table, dict) or reserved in table:
            raise ManifestError(
                f"{file}: [tool.testbay] is not a table of known keys", todo="`testbay explain reference/manifest`"
            )
    return table


def _speaks_of_testbay(file: Path) -> bool:
    """Return whether a pyproject.toml mentions testbay; others may be templates, and are not parsed."""
    try:
        return b"testbay" in file.read_bytes()
    except OSError:
        return True  # then reading it says why


def _toml(file: Path) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        why, todo = str(error), "fix the line it names"
        if isinstance(error, UnicodeDecodeError):
            line = error.object[: error.start].count(b"\n") + 1
            why, todo = f"line {line} has a letter that is not UTF-8", "save the file as UTF-8"
        elif text.startswith("\ufeff"):
            why, todo = "it begins with a byte order mark", "save the file as UTF-8 without one"
        raise ManifestError(f"{file}: not TOML", why=why, todo=todo) from None

"""The settings files of a project: read, never executed."""

import configparser
import tomllib
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

_LIMIT_BYTES = 500_000


@dataclass(frozen=True, kw_only=True)
class ProjectFiles:
    """The files below a folder; names are relative to it."""

    root: Path

    def text(self, name: str) -> str:
        """Read a file; empty if it is missing, too large or not UTF-8."""
        path = self.root / name
        try:
            with path.open("rb") if path.is_file() else BytesIO() as file:  # reading a pipe would block
                content = file.read(_LIMIT_BYTES + 1)
            return content.decode("utf-8-sig") if len(content) <= _LIMIT_BYTES else ""
        except (OSError, ValueError):
            return ""

    def toml(self, name: str) -> dict[str, Any]:
        """Parse a TOML file; empty if it is missing or invalid."""
        try:
            return tomllib.loads(self.text(name))
        except (ValueError, RecursionError):
            return {}

    def ini(self, name: str) -> configparser.RawConfigParser:
        """Parse an INI file; without a section if it is missing or invalid."""
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(self.text(name))
        except configparser.Error:
            return configparser.RawConfigParser()  # the other one may hold a part of the file
        return parser

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        return self.toml("pyproject.toml")

    def table(self, *keys: str) -> dict[str, Any]:
        """Return a table of pyproject.toml; empty if it is missing."""
        found: Any = self.pyproject
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

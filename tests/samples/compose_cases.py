"""Compose projects of our own making, each of some files in a text, and what the real Compose makes of them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUNDLES = Path(__file__).parent / "compose"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One project: its files, the variables of the shell, and whether Compose refuses it."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    environ: dict[str, str] = field(default_factory=dict)
    named: tuple[str, ...] = ("compose.yml",)
    refused: bool = False
    found: bool = False

    def write(self, folder: Path) -> Path:
        """Lay the project's files out in a folder of its name."""
        place = folder / "project"
        for name, content in self.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return place


def cases() -> Iterator[Case]:
    """Every project of every bundle.

    A bundle has `=== name` for each, then words about it (refused, found, files …), then `--- file` and its text.
    """
    for bundle in sorted(BUNDLES.glob("*.txt")):
        for text in re.split(r"(?m)^=== ", bundle.read_text(encoding="utf-8"))[1:]:
            yield _case(text)


def _case(text: str) -> Case:
    head, *parts = re.split(r"(?m)^--- ", text)
    name, *words = head.strip().splitlines()
    files = dict(_file(part) for part in parts)
    lines = files.pop("environment", b"").decode().splitlines()
    named = next((word.split()[1:] for word in words if word.startswith("files ")), ["compose.yml"])
    return Case(
        name=name,
        files=files,
        environ=dict(line.split("=", 1) for line in lines),
        named=tuple(named),
        refused="refused" in words,
        found="found" in words,
    )


def _file(part: str) -> tuple[str, bytes]:
    first, _, content = part.partition("\n")
    *marks, name = first.split()
    if "crlf" in marks:
        content = content.replace("\n", "\r\n")
    return name, ("\ufeff" if "bom" in marks else "").encode() + content.encode()


def real(folder: Path, environ: Mapping[str, str], *files: str) -> dict[str, Any] | str:
    """Ask `docker compose config`: what it prints, or the words it refuses with. Without names it finds the files."""
    named = [word for file in files for word in ("--file", file)]
    argv = ["docker", "compose", *named, "--profile", "*", "config", "--format", "json"]
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ}
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.stderr if done.returncode else dict(json.loads(done.stdout))

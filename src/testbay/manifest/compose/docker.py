"""Asking Docker Compose for its reading of compose files, which needs no Docker engine."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbay import process

NEEDED = (2, 24)  # the first that reads the services of every profile: --profile "*"
_LIMIT_S = 30.0
_PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


@dataclass(frozen=True, kw_only=True)
class ComposeAnswer:
    """Compose's answer: the model or its refusal; neither if it did not answer."""

    model: dict[str, Any] | None = None
    refusal: str = ""


def program(environ: Mapping[str, str]) -> Path | None:
    """The program of the plugin `docker compose`; None if it is not installed."""
    home = environ.get("HOME", "")
    own = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
    folders = [*([Path(own) / "cli-plugins", *_extra(Path(own))] if own else []), *map(Path, _PLUGIN_FOLDERS)]
    files = (folder / "docker-compose" for folder in folders)
    return next((file for file in files if os.access(file, os.X_OK)), None)  # False for a file of another user


def _extra(config: Path) -> list[Path]:
    """The plugin folders in Docker's configuration, which Docker Desktop adds."""
    try:
        folders = json.loads((config / "config.json").read_text(encoding="utf-8")).get("cliPluginsExtraDirs")
    except (OSError, ValueError, AttributeError):
        return []
    return [Path(folder) for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []


def version(compose: Path, environ: Mapping[str, str]) -> str:
    """The version of a plugin, such as `2.26.1`; empty when it does not answer."""
    done = _run(compose, ["version", "--short"], environ, Path.cwd())
    found = re.search(r"\d+\.\d+\.\d+", done.out) if done and done.code == 0 else None
    return found[0] if found else ""


def is_new_enough(text: str) -> bool:
    """Return whether a version can read the services of all profiles."""
    numbers = tuple(int(part) for part in text.split(".")[:2])
    return numbers >= NEEDED


def config(compose: Path, files: Sequence[Path], environ: Mapping[str, str]) -> ComposeAnswer:
    """Ask `docker compose config` for its reading, the services of every profile included."""
    named = [word for file in files for word in ("--file", str(file))]
    done = _run(compose, [*named, "--profile", "*", "config", "--format", "json"], environ, files[0].parent)
    if done is None:
        return ComposeAnswer()
    if done.code != 0:
        return ComposeAnswer(refusal=" ".join(done.err.split()))
    try:
        made = json.loads(done.out)
    except (ValueError, RecursionError):
        return ComposeAnswer()
    return ComposeAnswer(model=single_dollars(made) if isinstance(made, dict) else None)


def _run(compose: Path, words: list[str], environ: Mapping[str, str], folder: Path) -> process.Completed | None:
    try:
        return process.run([compose, *words], env=environ, cwd=folder, timeout_s=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None


def single_dollars(value: Any) -> Any:
    """Undo the doubling of dollars in Compose's output."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [single_dollars(item) for item in value]
    if isinstance(value, dict):
        return {key: single_dollars(item) for key, item in value.items()}
    return value

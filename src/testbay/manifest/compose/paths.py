"""Making a compose file's relative paths absolute; each starts from the folder of its project."""

import os
import re
from pathlib import Path
from typing import Any

from testbay.manifest.compose.document import like

_REMOTE = re.compile(r"[a-z+]+://|git@|github\.com/|oci:", re.ASCII)


def absolute(text: str, folder: Path) -> str:
    """A path from the project's folder; `~` is the user's own."""
    return os.path.normpath(folder / Path(text).expanduser())


def is_remote(text: str) -> bool:
    """Return whether a path names something on another machine."""
    return bool(_REMOTE.match(text))


def in_service(service: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A service in its long spelling, with every path absolute."""
    made = dict(service)
    if isinstance(files := made.get("env_file"), list):
        made["env_file"] = [entry | {"path": _moved(entry["path"], folder)} for entry in files]
    if isinstance(volumes := made.get("volumes"), list):
        made["volumes"] = [_volume(volume, folder) for volume in volumes]
    if isinstance(build := made.get("build"), dict) and isinstance(context := build.get("context", "."), str):
        made["build"] = build | {"context": _moved(context, folder)}
    return made


def in_model(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A whole file in its long spelling, with every path absolute."""
    made = dict(model)
    made["services"] = {name: in_service(service, folder) for name, service in (model.get("services") or {}).items()}
    for kind in ("configs", "secrets"):
        if isinstance(table := made.get(kind), dict):
            made[kind] = {name: _granted(entry, folder) for name, entry in table.items()}
    return made


def _moved(text: str, folder: Path) -> str:
    """Make a path absolute, and keep the text's type and attributes."""
    return text if not text or is_remote(text) else like(text, absolute(text, folder))


def _volume(volume: dict[str, Any], folder: Path) -> dict[str, Any]:
    if volume.get("type") == "bind" and isinstance(source := volume.get("source"), str):
        return volume | {"source": _moved(source, folder)}
    return volume


def _granted(entry: Any, folder: Path) -> Any:
    if isinstance(entry, dict) and isinstance(entry.get("file"), str):
        return entry | {"file": _moved(entry["file"], folder)}
    return entry

"""Keeping a failed test's lease in a folder: database, keys, streams and logs, which otherwise vanish.

`archive.json` is written last and lists size and checksum of every other file: a folder without it, or one that does
not match it, is incomplete or was tampered with, and is refused. This runs in the tests' process, in an environment
that may have nothing but pytest and the servers' clients.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from testbay.files import write_whole
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint

FORMAT = 1
INDEX = "archive.json"
FOLDER = "leases"

Mask = Callable[[str], str]  # takes secrets out of a text


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject of an archive: the test, its first error line, the service, its engine and server versions."""

    test: str
    error: str
    service: str
    engine: str
    dependencies: Mapping[str, str]


def claim(run: Path, test: str, limit: int) -> Path | None:
    """Reserve a folder for a failed test's archive; None if `limit` tests have one. Safe for concurrent workers."""
    leases = run / FOLDER
    leases.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", test.rpartition("::")[2])[:60].strip("-.")
    for number in range(1, limit + 1):
        with suppress(FileExistsError):
            (leases / f".{number}").touch(exist_ok=False)
            return leases / f"{number}-{name}"
    return None


def keep(folder: Path, about: Subject, parts_at: Mapping[str, Endpoint], logs: Mapping[str, str], mask: Mask) -> None:
    """Write an archive. If a dependency's state cannot be read, the archive says so, and keeps the others.

    Args:
        folder: The archive's folder, which is created.
        about: The subject of the archive.
        parts_at: The endpoints of the lease's slots, by dependency.
        logs: Logs to add, by name, such as `service`; about a megabyte at most.
        mask: Masks secrets in a text.

    Raises:
        OSError: The folder cannot be written, or there was nothing to write.
    """
    folder.mkdir()
    parts, missing = [], []
    for name, endpoint in parts_at.items():
        known = ROOMS[name].keeper() if name in ROOMS else None
        if known is None:
            missing.append(f"{name}: testbay cannot keep its state")
            continue
        try:
            taken = known.keep(endpoint)
        except OSError as error:
            missing.append(f"{name}: {' '.join(mask(str(error)).split())[:500]}")
        else:
            parts.append(_write(folder / known.FILE, mask(taken.text), taken.left_out))
    parts += [_write(folder / f"{name}.log", mask(text)) for name, text in logs.items()]
    if missing and not parts:
        raise OSError("; ".join(missing))
    made = {
        "format": FORMAT,
        "testbay": next((one.version for one in metadata.distributions(name="testbay")), "of an environment apart"),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "about": asdict(replace(about, error=mask(about.error))),
        "parts": parts,
        "missing": missing,
    }
    write_whole(folder / INDEX, json.dumps(made, indent=1, ensure_ascii=False))


def _write(file: Path, text: str, left_out: str = "") -> dict[str, Any]:
    file.write_text(text, encoding="utf-8", errors="replace")
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest(file), "left_out": left_out[:4096]}


def digest(file: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

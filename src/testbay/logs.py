"""Reading logs that others write: bounded, and whatever bytes are in them."""

import os
import shutil
from pathlib import Path

_TAIL_BYTES = 4096


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, undecodable bytes replaced; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def copy_from(log: Path, start: int, target: Path) -> None:
    """Copy what was written to a log since it was `start` bytes long."""
    with log.open("rb") as source, target.open("wb") as copy:
        source.seek(start)
        shutil.copyfileobj(source, copy)

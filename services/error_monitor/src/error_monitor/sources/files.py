"""Log files, by patterns of their names. A cursor follows what was written, not a name: rotation loses nothing."""

import asyncio
import glob
import os
import time
from collections.abc import Sequence
from pathlib import Path

from error_monitor.sources import rotation, services
from error_monitor.sources.records import Batch, Chunk, Position, SourceError, Stream
from error_monitor.sources.rotation import Known

CHUNK_BYTES = 1 << 20


class Files:
    """The files that patterns such as /var/log/app/*.log name."""

    name = "files"

    def __init__(self, patterns: Sequence[str], monitor: str, lookback_s: float) -> None:
        self._lookback_s = lookback_s
        self._patterns = patterns
        self._monitor = monitor
        self._seen: set[str] = set()  # a file that was renamed away and not made again yet is still read to its end

    async def streams(self) -> Sequence[Stream]:
        """One for each file that is written to now, not for those it left behind."""
        found = await asyncio.to_thread(self._find)
        return [File(Path(path), self._monitor, self._lookback_s) for path in found]

    async def close(self) -> None:
        """Do nothing: no file is kept open between two reads."""

    def _find(self) -> list[str]:
        named = (path for pattern in self._patterns for path in glob.iglob(pattern, recursive=True))  # noqa: PTH207 -- absolute patterns
        paths = {os.path.abspath(path) for path in named}  # noqa: PTH100 -- a link keeps its name: it may lead elsewhere tomorrow
        paths = {path for path in paths if Path(path).is_file() and not path.endswith(rotation.PACKED)}
        self._seen |= {path for path in paths if not any(rotation.is_left_by(path, other) for other in paths)}
        found = sorted(self._seen)
        # This read notes what is lost with a folder; the next one has nothing to look for in it.
        self._seen = {path for path in found if Path(path).parent.is_dir()}
        return found


class File:
    """One file with everything that was rotated away from it, as one stream of lines."""

    def __init__(self, path: Path, monitor: str, lookback_s: float) -> None:
        self._lookback_s = lookback_s
        self.key = f"files:{monitor}:{os.fsencode(path).decode(errors='backslashreplace')}"
        self._path = path

    async def read(self, position: Position | None) -> Chunk:
        """The next lines, the oldest first."""
        try:
            return await asyncio.to_thread(self._read, position)
        except OSError as exc:
            raise SourceError(f"{self._path}: {exc.strerror or exc}") from exc

    def _read(self, position: Position | None) -> Chunk:
        known = [Known.of(entry) for entry in (position or {}).get("files", ())]
        lines: list[bytes] = []
        has_more = False
        with rotation.family(self._path) as here:
            # What was rotated away before the first look counts as far back as every first look goes.
            since = time.time() - self._lookback_s if position is None else None
            files, gaps = rotation.matched(known, here, self._path, since)
            for file in files:
                if not has_more:
                    lines += file.read_on(CHUNK_BYTES)
                    has_more = file.has_more
        batch = Batch(origin="", service=services.of_file(self._path), lines=lines)
        return Chunk(
            position={"files": [file.known.as_json() for file in files]},
            batches=[batch] if lines else [],
            gaps=gaps,
            has_more=has_more,
        )

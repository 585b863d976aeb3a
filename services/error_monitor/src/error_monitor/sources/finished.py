"""Log files that nobody writes any more, for `error-monitor import`: by content, so that none is counted twice."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from error_monitor.sources import services
from error_monitor.sources.files import CHUNK_BYTES
from error_monitor.sources.records import Batch, Chunk, Position, SourceError, Stream
from error_monitor.sources.rotation import cut


class FinishedFiles:
    """A source of these files, each read once to its very end."""

    name = "import"

    def __init__(self, files: Sequence[Path], service: str) -> None:
        self._files = files
        self._service = service

    async def streams(self) -> Sequence[Stream]:
        """One for each content."""
        try:
            return [await asyncio.to_thread(FinishedFile, file, self._service) for file in self._files]
        except OSError as exc:
            raise SourceError(f"{exc.filename}: {exc.strerror or exc}") from exc

    async def close(self) -> None:
        """Do nothing: no file is kept open between two reads."""


class FinishedFile:
    """One file. Its name does not count: a copy of it is the same stream."""

    def __init__(self, path: Path, service: str) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.key = f"import:{digest[:32]}"
        self._path = path
        self._service = service or services.of_file(path)

    async def read(self, position: Position | None) -> Chunk:
        """The next lines."""
        try:
            return await asyncio.to_thread(self._read, position or {"offset": 0, "skips": False})
        except OSError as exc:
            raise SourceError(f"{self._path}: {exc.strerror or exc}") from exc

    def _read(self, position: Position) -> Chunk:
        with self._path.open("rb") as file:
            file.seek(position["offset"])
            block = file.read(CHUNK_BYTES)
            is_end = file.tell() == os.fstat(file.fileno()).st_size
        lines, taken, skips = cut(block, skips=position["skips"], is_end=is_end)
        return Chunk(
            position={"offset": position["offset"] + taken, "skips": skips},
            batches=[Batch(origin="", service=self._service, lines=lines)] if lines else [],
            has_more=taken > 0 and not is_end,
        )

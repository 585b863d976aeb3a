"""Watches what is used inside the jail as a whole; limits of the kernel count one process at a time."""

import asyncio
import os
from pathlib import Path

from error_monitor.fixes.options import Limits

EVERY_S = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """A process with all its descendants."""

    def __init__(self, root: int, limits: Limits) -> None:
        self._root = root
        self._limits = limits

    async def until_trouble(self) -> str:
        """Wait until they are too many or too large, and say which."""
        while True:
            await asyncio.sleep(EVERY_S)
            processes, memory = await asyncio.to_thread(self.used)
            if processes > self._limits.processes:
                return f"it ran more than {self._limits.processes} processes"
            if memory > self._limits.memory_bytes:
                return f"it used more than {self._limits.memory_bytes // (1024 * 1024)} MiB of memory"

    def used(self) -> tuple[int, int]:
        """The number of processes, and the memory that is their own."""
        children: dict[int, list[int]] = {}
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
                children.setdefault(parent, []).append(int(entry.name))
        waiting, found = [self._root], []
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return len(found), sum(_own_memory(pid) for pid in found)


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _own_memory(pid: int) -> int:
    """Resident memory that is not shared: PostgreSQL's processes all show one block."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return max(0, int(words[1]) - int(words[2])) * _PAGE

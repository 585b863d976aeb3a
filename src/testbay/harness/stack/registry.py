"""The records of this user's stacks: a folder each, with a lock that shows whether its guard lives, and a JSON file.

What a dead guard left is collected from its own record only. Nothing is ever swept by label or by name: other
checkouts, and other people, use the same host.
"""

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.plans import LEASES, name_of
from testbay.harness.stack import cachefolder

_LOCK_LIMIT_S = 600.0  # migrations may run meanwhile
_COLLECTED_WITHIN_S = 10.0
_RECORD = "stack.json"
_LOCK = "guard.lock"


def claim(home: Path) -> IO[bytes]:
    """Make a stack's folder and lock it for as long as the returned file is open (in a forked child, too).

    Raises:
        EngineUnavailableError: The folder cannot be made or written.
    """
    try:
        with _exclusive(home.parent):
            home.mkdir(mode=0o700)
            lock = (home / _LOCK).open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise EngineUnavailableError(
            f"{home.parent}: cannot keep a stack's files here",
            why=f"{error.strerror or error}",
            todo='make it writable, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"',
        ) from None
    return lock


@contextmanager
def _exclusive(stacks: Path) -> Iterator[None]:
    """Let one process at a time make or collect folders: a new folder that is not locked yet would look dead."""
    stacks.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exclusive(stacks / ".lock"):
        yield


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock that one process at a time can have; the kernel frees it when its holder ends.

    Raises:
        EngineUnavailableError: Its holder neither goes on nor ends.
    """
    with lock.open("ab") as gate:
        if not _taken(gate):
            _await(gate, lock)
        yield


def _await(gate: IO[bytes], lock: Path) -> None:
    from testbay.harness.world import patience  # guards start through here, and seldom wait

    for _ in patience(_LOCK_LIMIT_S):
        if _taken(gate):
            return
    raise EngineUnavailableError(
        f"another testbay has held {lock} for {_LOCK_LIMIT_S:g} s",
        why="it was stopped (SIGSTOP, Ctrl-Z), or it hangs",
        todo=f"`fuser {lock}` names its process: continue it, or end it",
    )


def _taken(gate: IO[bytes]) -> bool:
    try:
        fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write(home: Path, record: dict[str, Any]) -> None:
    """Replace a stack's record atomically; it holds credentials and a token, so only its owner may read it."""
    scratch = home / f".{_RECORD}"
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(record, file)
    scratch.replace(home / _RECORD)


def read(home: Path) -> dict[str, Any]:
    """Read a stack's record; empty if it is missing, damaged or another user's."""
    if not cachefolder.is_ours(home / _RECORD):
        return {}
    try:
        record = json.loads((home / _RECORD).read_text(encoding="utf-8"))
        return record if _is_sound(record) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _is_sound(record: Any) -> bool:
    """Return whether the fields that testbay acts on (processes to end, a folder to remove) have the right types."""
    if not isinstance(record, dict):
        return False
    sessions, pids = record.get("sessions", []), record.get("pids", {})
    lists = isinstance(sessions, list) and isinstance(record.get("marks", []), list) and isinstance(pids, dict)
    texts = ("id", "data_dir", "engine", "compose_project", "docker_host")
    if not lists or not all(isinstance(record.get(name, ""), str) for name in texts):
        return False
    halves = [record[half] for half in ("guard", "undertaker") if half in record]
    named = [*sessions, *pids.values(), *halves]
    return all(isinstance(one, list) and [*map(type, one)] == [int, str] for one in named)


def living(stacks: Path) -> list[dict[str, Any]]:
    """The records of every stack whose guard lives, oldest first.

    Raises:
        EngineUnavailableError: The cache folder is refused.
    """
    cachefolder.check(stacks.parent)
    records = [read(home) for home in _homes(stacks) if is_alive(home)]
    return sorted((r for r in records if r), key=lambda record: record.get("created", 0))


def collect_dead(stacks: Path) -> list[tuple[str, list[str]]]:
    """Collect every stack whose guard died without finishing; return the id of each, and what could not be removed.

    Raises:
        EngineUnavailableError: The cache folder is refused.
    """
    cachefolder.check(stacks.parent)
    if not stacks.is_dir():
        return []
    with _exclusive(stacks):
        return [(home.name, collect(home)) for home in _homes(stacks) if not is_alive(home)]


def collect(home: Path) -> list[str]:
    """End what a stack's record names, and remove its folder; return what is left.

    The record stays as long as anything is left.
    """
    record = read(home)
    left = end_sessions(record.get("sessions", []))
    left += end_marked(record.get("marks", []))
    left += _engine_collect(record)
    data = Path(record.get("data_dir") or home)
    ours = data.name == name_of(record.get("id", ""))  # a damaged record must not name another folder
    left += remove(data) if ours else []
    return left or remove(home)


def end_silent_guard(home: Path) -> list[str]:
    """Kill a guard that lives but does not answer, such as a stopped one, and collect its stack.

    Returns:
        The processes and the folder that are still there.
    """
    record = read(home)
    guard = [process.ProcessId(*record[half]) for half in ("guard", "undertaker") if half in record]
    left = process.end(guard, first=signal.SIGKILL)
    return [*(f"process {who.pid}" for who in left), *await_collected(home)]


def await_collected(home: Path) -> list[str]:
    """Wait until the stack of a killed guard is gone; collect it if both halves of the guard were killed.

    Return the stack's folder if it is still there after ten seconds.
    """
    from testbay.harness.world import patience  # no guard comes here

    for _ in patience(_COLLECTED_WITHIN_S, longest_pause_s=0.02):
        if not home.exists():
            break
        collect_dead(home.parent)
    return [str(home)] if home.exists() else []


def remove(*folders: Path) -> list[str]:
    """Remove folders; return those that are still there."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return [str(folder) for folder in folders if folder.exists()]


def end_sessions(sessions: Iterable[Sequence[Any]]) -> list[str]:
    """End the process sessions that a caller handed over (its pytest, a command), with everything in them."""
    left: list[process.ProcessId] = []
    for session in sessions:
        left += process.end(process.session_of(process.ProcessId(*session)))
    return [f"process {p.pid}" for p in left]


def end_marked(marks: Iterable[str]) -> list[str]:
    """End what a caller's tests and services started, also processes that left their sessions (Linux).

    A mark is random: a process with one in its environment was started by its owner, or by such a process.
    """
    wanted = {f"TESTBAY_MARK={mark}".encode() for mark in marks}
    if not wanted or not process.LINUX:
        return []
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [process.identify(pid) for pid in pids if pid != os.getpid() and wanted & _started_with(pid)]
    return [f"process {p.pid}" for p in process.end(found, first=signal.SIGKILL)]


def _started_with(pid: int) -> set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:  # gone, or another user's
        return set()


def _engine_collect(record: dict[str, Any]) -> list[str]:
    if record.get("engine") == "embedded":
        from testbay.harness.engines import embedded

        return embedded.collect(record)
    if record.get("engine") == "compose":
        from testbay.harness.engines import compose

        return compose.collect(record)
    return []


def hold_number(home: Path) -> tuple[int, IO[bytes]] | None:
    """Take a free lease number on a stack, held while the returned file is open; None if all are held.

    The kernel frees it however its holder ends, so that the number of a crashed process is free again.
    """
    for number in range(1, LEASES + 1):
        lock = (home / f"lease{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return number, lock
    return None


def has_been_leased(home: Path) -> bool:
    """Return whether a test process has held a lease on a stack."""
    return any(home.glob("lease*.lock"))


def _homes(stacks: Path) -> list[Path]:
    if not stacks.is_dir():
        return []
    return sorted(entry for entry in stacks.iterdir() if entry.is_dir() and cachefolder.is_ours(entry))


def is_alive(home: Path) -> bool:
    """Return whether a stack's guard has not ended: a guard holds its lock for life."""
    try:
        with (home / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False

"""Ports: the one asked for, or the next free one; held by a lock so that two stacks never meet on the same."""

import fcntl
import socket
from pathlib import Path
from typing import IO

from testbay.errors import EngineUnavailableError

_TRIES = 500


def hold(ports_dir: Path, preferred: int, *, fixed: bool, name: str) -> tuple[int, IO[bytes]]:
    """A free port from `preferred` on, and the open lock file that keeps other stacks of this user away from it.

    Raises:
        EngineUnavailableError: `fixed` and somebody has it (who, as far as can be seen), or none is free.
    """
    ports_dir.mkdir(parents=True, exist_ok=True)
    last = preferred if fixed else min(preferred + _TRIES, 65535)
    for port in range(preferred, last + 1):
        lock = (ports_dir / str(port)).open("ab")
        if _locked(lock) and is_free(port):
            return port, lock
        lock.close()
    if fixed:
        raise EngineUnavailableError(
            f"{name}: port {preferred}, which the manifest asks for, is taken",
            why=f"held by {holder(preferred)}",
            todo="end that program, or take `ports` out of the manifest: the next free port is then used",
        )
    raise EngineUnavailableError(f"{name}: no free port from {preferred} to {last}", todo="end what holds them")


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_free(port: int) -> bool:
    """Whether nothing listens there on any loopback address: `localhost` may mean ::1 first."""
    return all(_bindable(family, address, port) for family, address in _loopbacks())


def _loopbacks() -> list[tuple[socket.AddressFamily, str]]:
    return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


def _bindable(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError:
        # A machine without IPv6 has nobody listening there either.
        return family == socket.AF_INET6 and not _has_ipv6()
    return True


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may see."""
    import psutil  # only when a port is taken: it costs more than finding a free one

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return "another program (the system does not say which)"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return _describe(connection.pid)
    return "another program (the system does not say which)"


def _describe(pid: int | None) -> str:
    import psutil

    try:
        if pid is not None:
            process = psutil.Process(pid)
            return f"{process.name()} (pid {pid}, user {process.username()})"
    except psutil.Error:
        pass
    return "another user's program"

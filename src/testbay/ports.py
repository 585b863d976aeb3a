"""Ports: the preferred one or the next free one, held so that two stacks never take the same."""

import socket

from testbay.errors import EngineUnavailableError

_TRIES = 500


def hold(preferred: int, *, fixed: bool, name: str) -> tuple[int, socket.socket]:
    """Find a free port from `preferred` on; return it with an open lock that keeps other stacks away.

    The lock is the UDP port of the same number: taken in one step, visible to all users and checkouts, freed by the
    kernel however we end, and not needed by any server of ours.

    Raises:
        EngineUnavailableError: `fixed` and in use, or none is free.
    """
    last = preferred if fixed else min(preferred + _TRIES, 65535)
    for port in range(preferred, last + 1):
        lock = _lock(port)
        if lock is not None and is_free(port):
            return port, lock
        if lock is not None:
            lock.close()
    if fixed:
        raise taken(name, preferred, "another program or stack")
    raise EngineUnavailableError(f"{name}: no free port from {preferred} to {last}", todo="end what holds them")


def _lock(port: int) -> socket.socket | None:
    lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        lock.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return None
    return lock


def taken(name: str, port: int, who: str) -> EngineUnavailableError:
    """The error for a fixed port that is in use."""
    return EngineUnavailableError(
        f"{name}: port {port}, which the manifest asks for, is taken",
        why=f"held by {who}",
        todo="end that program; or let yours read its port from the environment, and take `ports` out of the manifest",
    )


def is_free(port: int) -> bool:
    """Return whether nothing listens on any loopback address of the port: `localhost` may mean ::1 first."""
    return _bindable(socket.AF_INET, "127.0.0.1", port) and (
        _bindable(socket.AF_INET6, "::1", port) or not _bindable(socket.AF_INET6, "::1", 0)
    )


def _bindable(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError:
        return False
    return True


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see."""
    import psutil  # only when a port is taken: it costs more than finding a free one

    unknown = "another program (the system does not say which)"
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return unknown
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return _describe(connection.pid)
    return unknown


def _describe(pid: int | None) -> str:
    import psutil

    try:
        process = psutil.Process(pid) if pid is not None else None
        return f"{process.name()} (pid {pid}, user {process.username()})" if process else "another user's program"
    except psutil.Error:
        return f"pid {pid}, which just ended"

"""The commands of the service, each as a process of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

Run = Callable[..., tuple[int, str]]


def counted(postgres: "psycopg.Connection[Any]") -> int:
    """How many events are counted in all."""
    row = postgres.execute("SELECT coalesce(sum(events), 0)::int FROM error_monitor.patterns").fetchone()
    assert row is not None
    return int(row[0])

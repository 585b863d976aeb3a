"""The floor: the same work in a bare loop, without pytest, by whoever knows exactly what the test will do.

Usage: python loop.py rows|clone TESTS TABLES
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from common import admin, one_row, own_database, worker

Isolation = Callable[[psycopg.Connection[Any], str], Any]


@contextmanager
def rows(kept: psycopg.Connection[Any], table: str) -> Iterator[psycopg.Connection[Any]]:
    """The database and its connection are kept; afterwards the one table that was written to is emptied."""
    yield kept
    statements = f"DELETE FROM {table}; SELECT setval('{table}_id_seq', 1, false)"  # noqa: S608 - the bench's own name
    kept.execute(statements.encode())  # in one round trip


@contextmanager
def clone(kept: psycopg.Connection[Any], _table: str) -> Iterator[psycopg.Connection[Any]]:
    """A copy of the template for each test."""
    name = f"clone_{worker()}"
    kept.execute(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    with psycopg.connect(os.environ["BENCH_DSN"], dbname=name, autocommit=True) as connection:
        yield connection
    # A session outlives its connection by a moment; DROP DATABASE that meets it sleeps for 100 ms.
    while kept.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone():
        time.sleep(0.0002)
    kept.execute(f"DROP DATABASE {name}")


def run(isolation: Isolation, kept: psycopg.Connection[Any], test: int, table: str) -> list[dict[str, Any]]:
    """One turn, written down as pytest's phases are."""
    times = [time.time()]
    with isolation(kept, table) as connection:
        times.append(time.time())
        one_row(connection, table)
        times.append(time.time())
    times.append(time.time())
    marks = zip(("setup", "call", "teardown"), times, times[1:], strict=False)
    name = f"{worker()}-{test}"
    return [
        {"test": name, "phase": phase, "passed": True, "start": start, "stop": stop, "seconds": stop - start}
        for phase, start, stop in marks
    ]


def main() -> None:
    """As many turns as were asked for."""
    how, tests, tables = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    isolation, connect = {"rows": (rows, lambda: own_database(worker())), "clone": (clone, admin)}[how]
    with connect() as kept:
        phases = [phase for test in range(tests) for phase in run(isolation, kept, test, f"t{test % tables:02}")]
    Path(os.environ["BENCH_RECORD"]).write_text(json.dumps(phases), encoding="utf-8")


if __name__ == "__main__":
    main()

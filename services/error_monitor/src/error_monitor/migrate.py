"""Makes the tables, for a database that testbay does not migrate: each file once, in order, under a lock."""

from pathlib import Path
from typing import Any

import psycopg

from error_monitor.settings import Settings

_LOCK = 7_310_203_551_998_001  # two that migrate at once take turns
_PACKAGED = Path(__file__).parent / "migrations"
_CHECKOUT = Path(__file__).parents[2] / "migrations"


def files() -> list[Path]:
    """The migrations, in order: from the installed package, or from the checkout that it runs from."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    return sorted(folder.glob("*.sql"))


async def migrate(settings: Settings) -> dict[str, Any]:
    """Apply what is missing; all of it or nothing."""
    connection = await psycopg.AsyncConnection.connect(
        settings.database_url, connect_timeout=max(2, round(settings.db_timeout_s)), prepare_threshold=None
    )
    async with connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("CREATE SCHEMA IF NOT EXISTS error_monitor")
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS error_monitor.migrations (
                   name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"""
        )
        done = {
            row[0] for row in await (await connection.execute("SELECT name FROM error_monitor.migrations")).fetchall()
        }
        done |= await _applied_by_others(connection)
        applied = []
        for file in files():
            if file.name not in done:
                # As bytes: psycopg takes any text that way, and this one is ours.
                await connection.execute(file.read_bytes())
                applied.append(file.name)
            await connection.execute(
                "INSERT INTO error_monitor.migrations (name) VALUES (%s) ON CONFLICT DO NOTHING", (file.name,)
            )
    return {"applied": applied}


async def _applied_by_others(connection: psycopg.AsyncConnection[Any]) -> set[str]:
    """The migrations that psql or a migration tool applied: known by the last table that each of them makes."""
    found = set()
    for name, table in (
        ("0001_patterns.sql", "occurrences"),
        ("0002_scans.sql", "sources"),
        ("0003_deploys.sql", "deploys"),
        ("0004_fixes.sql", "fix_calls"),
    ):
        row = await (await connection.execute("SELECT to_regclass(%s)", (f"error_monitor.{table}",))).fetchone()
        if row and row[0]:
            found.add(name)
    return found

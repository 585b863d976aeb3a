"""The jobs table seen, and prepared, from outside."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Database = psycopg.Connection[Row]


def job_row(database: Database, job_id: str) -> Row:
    """A job's row."""
    row = database.execute("SELECT * FROM jobs WHERE job_id = %s", (job_id,)).fetchone()
    assert row is not None, job_id
    return row


def insert_job(database: Database, data: Row, **expressions: str) -> None:
    """A job as some process may have left it; further columns are SQL expressions."""
    columns = sql.SQL(", ").join(map(sql.Identifier, expressions))
    values = sql.SQL(", ").join(sql.SQL(text) for text in expressions.values())
    statement = sql.SQL(
        "INSERT INTO jobs (job_id, trace_id, agent_definition, input_payload, {columns})"
        " VALUES (%s, %s, %s, %s, {values})"
    ).format(columns=columns, values=values)
    payloads = (Jsonb(data["agent_definition"]), Jsonb(data["input_payload"]))
    database.execute(statement, (data["job_id"], data["trace_id"], *payloads))

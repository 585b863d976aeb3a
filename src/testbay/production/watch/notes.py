"""A person's note in the time line of an incident, added beside a watcher that is at work."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from testbay.errors import HistoryError
from testbay.production.watch.lock import unusable
from testbay.production.watch.records import INCIDENT, Incident, decoded
from testbay.production.watch.store import FILE, connect

_MOST = (1 << 63) - 1  # the largest number that SQLite takes


def add_note(folder: Path, incident: int | None, text: str, author: str) -> Incident:
    """Add a person's note to the time line of an incident; of the newest one where none is named.

    Raises:
        HistoryError: The incident does not exist, or the history cannot be written.
    """
    file = folder / FILE
    if not file.is_file():
        raise HistoryError(
            f"history: {file} is not there",
            why="no testbay watch has kept a history in this folder",
            todo="call it where testbay watch runs, or name its folder with --history",
        )
    try:
        with closing(connect(file)) as db, db:
            query = "select record from incidents where id = coalesce(?, (select max(id) from incidents))"
            number = None if incident is None else min(incident, _MOST)
            found = [decoded(INCIDENT, record) for (record,) in db.execute(query, (number,))]
            for known in found:
                db.execute("insert into happenings values (?,?,?,?)", (known.id, time.time(), text, author))
    except sqlite3.Error as error:
        raise unusable(file, error) from None
    if not found:
        raise HistoryError(
            "the history has no incident yet" if incident is None else f"incident {incident} is not in the history",
            todo="look at the live page, or at /api/incidents, for its number",
        )
    return found[0]

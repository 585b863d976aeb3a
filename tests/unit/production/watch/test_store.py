"""The history of a watcher: what it holds after days, how large it is, and what is made of it."""

import errno
import fcntl
import os
import random
import resource
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import HistoryError
from testbay.production.history.slowness import Series
from testbay.production.watch import export, notes, store, view
from testbay.production.watch.facts import CheckState
from testbay.production.watch.lock import locked
from testbay.production.watch.packing import PackedRound
from testbay.production.watch.records import Changes, Incident, Standing
from testbay.production.watch.store import DAY_S, HOUR_S, WatchStore
from testbay.production.watch.tracker import OutageTracker

START = 1_700_000_000 // DAY_S * DAY_S
SUM_BYTES = 40  # of one hour or day of one check


def filled(folder: Path, checks: int, days: int, seed: int = 1) -> Path:
    """The history of a watcher that asked each minute, in fast motion: an hour at a time."""
    chance = random.Random(seed)
    made = WatchStore(folder)
    every = [Series("shop", "prod", f"check-{at}") for at in range(checks)]
    for hour in range(days * 24):
        begin = START + hour * HOUR_S
        rounds = [
            (
                series,
                "http",
                PackedRound((begin + at * 60) * 1000 + chance.randrange(50), 0, int(chance.lognormvariate(10, 0.3))),
            )
            for at in range(60)
            for series in every
        ]
        made.write(rounds, Changes())
        made.tidy(begin + HOUR_S + 1, 7 * DAY_S)
    made.close()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thirty_days_take_less_than_a_byte_for_each_check_and_minute(tmp_path: Path) -> None:
    """Above the sums, which take forty bytes for each hour and day of a check."""
    folder = filled(tmp_path, checks=10, days=30)
    size = (folder / store.FILE).stat().st_size - 10 * (30 * 24 + 30) * SUM_BYTES

    assert size / (10 * 30 * 1440) <= 1.0


def test_rounds_become_hours_and_sums(tmp_path: Path) -> None:
    """Every round of the last days is there, and the sums count them all."""
    folder = filled(tmp_path, checks=2, days=9)
    with closing(store.connect(folder / store.FILE, writes=False)) as db:
        counts = db.execute("select width_s, sum(passed) from sums group by 1 order by 1").fetchall()
        hours = db.execute("select count(*) from hours").fetchone()[0]

    assert (counts, hours) == ([(HOUR_S, 2 * 9 * 1440), (DAY_S, 2 * 9 * 1440)], 2 * 7 * 24)


def test_a_clock_that_jumps_ahead_takes_no_history_with_it(tmp_path: Path) -> None:
    """Two hours at most of those that it makes too old, and the rounds of the present hour are kept, too."""
    folder = filled(tmp_path, checks=1, days=3)
    made, now, series = WatchStore(folder), START + 3 * DAY_S, Series("shop", "prod", "check-0")
    made.write([(series, "http", PackedRound(now * 1000, 0, 1))], Changes())
    for later in (30, 3000):
        made.tidy(now + later * DAY_S, 7 * DAY_S)
    made.close()
    with closing(store.connect(folder / store.FILE, writes=False)) as db:
        hours = db.execute("select count(*), max(start_s) from hours").fetchone()
        sums = db.execute("select width_s, count(*) from sums group by 1").fetchall()

    assert (hours, sums) == ((3 * 24 + 1 - 2, now), [(HOUR_S, 3 * 24 + 1), (DAY_S, 4)])
    assert view.check(folder, CheckState(series, "http", 60, "pass", Standing()), now - 1).rounds[0].at_ms < now * 1000


def test_pages_and_lines_are_made_of_it(tmp_path: Path) -> None:
    """The lines as `testbay history` keeps them, and the page of ninety days."""
    now = START + 9 * DAY_S
    folder = filled(tmp_path, checks=2, days=9)
    known = export.history(folder, datetime.fromtimestamp(now, UTC))

    assert [one.check for one in known.entries[-1].outcomes] == ["check-0", "check-1"]
    assert known.entries[0].moment.timestamp() < START + DAY_S
    assert "check-1" in view.files(folder, now)["index.html"]


def test_a_check_that_never_passed_is_in_no_line_as_well(tmp_path: Path) -> None:
    """A failed round without an outage proves nothing; beside a good round the verdict stays as it was."""
    made = WatchStore(tmp_path)
    new, old = Series("shop", "prod", "new"), Series("shop", "prod", "old")
    rounds = [(new, 1), (old, 0), (old, 1)]
    made.write([(one, "http", PackedRound(START * 1000, verdict, 1)) for one, verdict in rounds], Changes())
    made.close()
    [line] = export.history(tmp_path, datetime.fromtimestamp(START + 60, UTC)).entries

    assert [(one.check, one.verdict) for one in line.outcomes] == [("old", "pass")]


def test_a_check_is_well_again_before_the_last_of_its_incident(tmp_path: Path) -> None:
    """As its rounds say; the incident goes on with another one."""
    made = WatchStore(tmp_path)
    first, last = (Series("shop", "prod", name) for name in ("first", "last"))
    facts = {"id": 1, "service": "shop", "target": "prod", "kind": "fail", "cause": "c", "opened": START, "said": "no"}
    incident = Incident(**facts, members=(first, last), recovered=(first,))  # type: ignore[arg-type]
    rounds = [
        (one, "http", PackedRound((START + hour * HOUR_S) * 1000, verdict, 1))
        for one, verdicts in ((first, (1, 0)), (last, (1, 1)))
        for hour, verdict in enumerate(verdicts)
    ]
    made.write(rounds, Changes(incidents={1: incident}))
    made.close()
    *_, line = export.history(tmp_path, datetime.fromtimestamp(START + 2 * HOUR_S, UTC)).entries

    assert [(one.check, one.verdict) for one in line.outcomes] == [("first", "pass"), ("last", "fail")]


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that is mounted read-only: SQLite would make a file beside the history."""
    folder = filled(tmp_path, checks=1, days=1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with closing(store.connect(folder / store.FILE, writes=False)) as db:
        db.execute("select count(*) from hours").fetchone()
        beside = [file.name for file in folder.glob("watch.db-*")]

    assert beside == []


def test_one_watcher_at_a_time(tmp_path: Path) -> None:
    """The second one is refused, and may begin when the first has ended."""
    first = WatchStore(tmp_path)
    with pytest.raises(HistoryError, match="another testbay watch"):
        WatchStore(tmp_path)
    first.close()
    WatchStore(tmp_path).close()


def test_a_history_can_be_gone_on_with_on_a_full_disk(tmp_path: Path) -> None:
    """As a watcher left it that was killed: the next one knows of its outage, and its rounds wait in memory."""
    killed, series = WatchStore(tmp_path / "killed"), Series("shop", "prod", "health")
    killed.write([], Changes(standings={series: Standing(bad=5)}))
    shutil.copytree(tmp_path / "killed", tmp_path / "left")
    killed.close()
    tracker, most = OutageTracker(rules={}), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most[1]))
    try:
        os.close(locked(tmp_path / "left"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, most[1]))  # what SQLite's index of the log has already
        made = WatchStore(tmp_path / "left")
        made.load(tracker)
        with pytest.raises(sqlite3.OperationalError):
            made.write([], Changes(), [("watch", "{}")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    made.write([], Changes(), [("watch", "{}")])
    made.close()

    assert tracker.standings[series].bad == 5


def test_a_history_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    """The file stays open, and what is written to it would be in no history."""
    made = WatchStore(tmp_path)
    (tmp_path / store.FILE).rename(tmp_path / "moved.db")
    with pytest.raises(sqlite3.OperationalError, match=r"watch\.db was moved or deleted meanwhile"):
        made.write([], Changes())
    made.close()


def test_a_newer_history_is_left_as_it_is(tmp_path: Path) -> None:
    """It is not damaged: the newer testbay will go on with it."""
    WatchStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / store.FILE)) as db:
        db.execute("pragma user_version=2")
    before = (tmp_path / store.FILE).read_bytes()

    with pytest.raises(HistoryError, match="cannot be used") as refused:
        WatchStore(tmp_path)
    assert (refused.value.why, (tmp_path / store.FILE).read_bytes() == before) == (
        "it is of version 2, and this testbay knows 1",
        True,
    )


def test_a_file_system_without_locks_is_no_other_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(HistoryError, match="cannot be used"):
        WatchStore(tmp_path)


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """It is said, the old one is kept, and the watcher begins a new one."""
    (tmp_path / store.FILE).write_bytes(b"this is no database" * 100)
    made = WatchStore(tmp_path)
    made.load(OutageTracker(rules={}))
    made.close()

    assert "cannot be read" in made.broken
    assert len(list(tmp_path.glob("watch.db.broken-*"))) == 1


def test_a_record_that_is_damaged_is_named(tmp_path: Path) -> None:
    """It ends no command with a traceback, and no page either."""
    made = WatchStore(tmp_path)
    made.write([], Changes(standings={Series("shop", "prod", "a"): Standing()}))
    made.close()
    with closing(sqlite3.connect(tmp_path / store.FILE)) as db, db:
        db.execute("update standings set record='half'")
    made = WatchStore(tmp_path)
    with pytest.raises(HistoryError, match="cannot be used") as refused:
        made.load(OutageTracker(rules={}))
    made.close()

    assert refused.value.why.startswith("a record is damaged: Invalid JSON")


def test_a_file_with_pages_of_zeros_is_put_aside(tmp_path: Path) -> None:
    """So a power cut leaves it: it opens, and each watcher would end when it reads it."""
    made = WatchStore(tmp_path)
    standings = {Series("shop", "prod", f"check-{at}"): Standing(said="no" * 100) for at in range(300)}
    made.write([], Changes(standings=standings))
    made.close()
    file = tmp_path / store.FILE
    half = file.stat().st_size // 2
    file.write_bytes(file.read_bytes()[:half] + bytes(half))
    again = WatchStore(tmp_path)
    again.load(OutageTracker(rules={}))
    again.close()

    assert "cannot be read" in again.broken


def test_a_moment_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Of a transaction that fails nothing stays."""
    made = WatchStore(tmp_path)
    nothing: Any = None
    series = Series("shop", "prod", "a")
    bad = [(series, "http", PackedRound(1, 0, 1)), (series, "http", PackedRound(nothing, 0, 1))]
    with pytest.raises(sqlite3.IntegrityError):
        made.write(bad, Changes())
    made.close()

    with closing(store.connect(tmp_path / store.FILE, writes=False)) as db:
        assert db.execute("select count(*) from rounds").fetchone() == (0,)


def test_a_check_is_known_after_a_moment_that_was_not_written(tmp_path: Path) -> None:
    """Its number went with the transaction: another one's rounds would be taken for its own."""
    made, series = WatchStore(tmp_path), Series("shop", "prod", "health")
    with pytest.raises(sqlite3.Error):
        made.write([(series, "http", PackedRound(START * 1000, 0, 1))], Changes(), [("watch", object())])  # type: ignore[list-item]
    made.write([(series, "http", PackedRound(START * 1000, 0, 1))], Changes())
    made.close()
    with closing(store.connect(tmp_path / store.FILE, writes=False)) as db:
        known = db.execute("select name, verdict from rounds join series on series.id = rounds.series").fetchall()

    assert known == [("health", 0)]


def test_notes_belong_to_an_incident(tmp_path: Path) -> None:
    """Where there is none, or no history, a note is refused."""
    with pytest.raises(HistoryError, match=r"watch\.db is not there"):
        notes.add_note(tmp_path, None, "what?", "Ada")
    WatchStore(tmp_path).close()

    with pytest.raises(HistoryError, match="the history has no incident yet"):
        notes.add_note(tmp_path, None, "what?", "Ada")
    for number in (0, 10**30):
        with pytest.raises(HistoryError, match=f"incident {number} is not in the history"):
            notes.add_note(tmp_path, number, "what?", "Ada")

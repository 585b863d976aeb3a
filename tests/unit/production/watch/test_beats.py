"""What the calls of a job say of it."""

from pathlib import Path

import pytest

from testbay.manifest.probes import HeartbeatCheck
from testbay.production.checks.context import FoundError
from testbay.production.watch.beats import Jobs
from testbay.production.watch.recorder import RoundRecorder, Tally
from testbay.production.watch.records import JobCall
from testbay.production.watch.store import DAY_S, WatchStore
from testbay.production.watch.tracker import OutageTracker

BACKUP = HeartbeatCheck.model_validate({"kind": "heartbeat", "id": "backup", "token": "${BEAT}", "within": "1h"})


def test_a_job_that_says_much_is_not_late(tmp_path: Path) -> None:
    """However often it logs, or begins, what counts is its last good end and how long that took."""
    made = WatchStore(tmp_path)
    for at, kind in (
        (10, "start"),
        (15, "ok"),
        *((20 + at, "start") for at in range(30)),
        *((60 + at, "log") for at in range(30)),
    ):
        made.beat("backup", at, kind, kind)
    calls = made.beats("backup", 100)
    made.close()
    found = Jobs(checks={}, environ={"BEAT": "x" * 16}, began=-9000.0).judge(BACKUP, calls, 100)

    assert calls == [(49.0, "start", "start"), (15.0, "ok", "ok"), (10.0, "start", "start")]
    assert found.said == "the job succeeded 1 min ago"


def test_a_late_job_is_told_by_how_much() -> None:
    """Two lengths that differ do not read alike: 26 hours and 25 are a day each, rounded."""
    daily = BACKUP.model_copy(update={"within": 25 * 3600.0})
    with pytest.raises(FoundError, match=r"its last success was 1 d 2 h ago, and `within` is 1 d 1 h$"):
        Jobs(checks={}, environ={"BEAT": "x" * 16}).judge(daily, [JobCall(0.0, "ok", "")], 26 * 3600.0)


def test_a_job_that_failed_is_not_well_while_it_is_tried_again(tmp_path: Path) -> None:
    """Else each new try would end the outage for as long as it lasts."""
    made = WatchStore(tmp_path)
    for at, kind in ((10, "ok"), (20, "fail"), (30, "start")):
        made.beat("backup", at, kind, "no room")
    calls = made.beats("backup", 35)
    made.close()

    with pytest.raises(FoundError, match=r"^the job reported a failure 15 s ago: no room$"):
        Jobs(checks={}, environ={"BEAT": "x" * 16}).judge(BACKUP, calls, 35)


def test_a_call_that_a_wrong_clock_dated_excuses_nothing(tmp_path: Path) -> None:
    """It came while the clock was ahead, so it would be the newest for weeks; nor does it take older calls with it."""
    made = WatchStore(tmp_path)
    for at, kind in ((10, "ok"), (90 * DAY_S, "ok"), (20, "fail")):
        made.beat("backup", at, kind, "")
    calls = made.beats("backup", 35)
    made.close()

    assert calls == [(20.0, "fail", ""), (10.0, "ok", "")]


def test_a_clock_that_leaps_makes_no_job_late(tmp_path: Path) -> None:
    """Neither one that called before, nor one that is to call yet; ahead and back again is as if nothing was."""
    now, store = [100.0, 5.0], WatchStore(tmp_path)
    recorder = RoundRecorder(
        tracker=OutageTracker(rules={}),
        store=store,
        tally=Tally(),
        say=lambda _: None,
        clock=lambda: now[0],
        steady=lambda: now[1],
    )
    jobs = Jobs(checks={}, environ={"BEAT": "x" * 16}, began=90.0, leapt_s=recorder.leapt_s)
    said = []
    for leap_s in (0.0, 86400.0, -86400.0):
        now[:] = now[0] + 60 + leap_s, now[1] + 60
        recorder.settle()
        said.append(jobs.judge(BACKUP, [JobCall(100.0, "ok", "")], now[0]).said.partition("succeeded ")[2])
        with pytest.raises(FoundError, match="has not called in yet"):
            jobs.judge(BACKUP, [], now[0])
    store.close()

    assert said == ["1 min ago", "2 min ago", "3 min ago"]

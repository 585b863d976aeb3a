"""Log files: each line counts once, through rotation, truncation, kills and restarts."""

import os
from typing import TYPE_CHECKING, Any

import pytest
from harness.instance import Make
from harness.logfiles import LogFolder, failure

if TYPE_CHECKING:
    import psycopg


def test_a_traceback_becomes_a_pattern(monitor: Make, logs: LogFolder) -> None:
    """Three tracebacks of one fault in a file are one pattern that was seen three times."""
    logs.fail(3)

    monitor_ = monitor()
    monitor_.scan()

    assert monitor_.counts() == {"ValueError: no pay": 3}


def test_a_second_scan_counts_nothing_twice(monitor: Make, logs: LogFolder) -> None:
    """Lines are read from the cursor on: what was there before is not read again."""
    one = monitor()
    logs.fail(2)
    one.scan()
    logs.fail(1)

    outcomes = [one.scan()["events"], one.scan()["events"]]

    assert (outcomes, one.counts()) == ([1, 0], {"ValueError: no pay": 3})


@pytest.mark.parametrize("name", ["shop.log.1", "shop.log-20260401"])
def test_a_rotated_file_is_read_to_its_end(monitor: Make, logs: LogFolder, name: str) -> None:
    """What was written between the last scan and the rotation is counted, and so is the new file."""
    one = monitor()
    logs.fail(1)
    one.scan()
    logs.fail(2)
    (logs.path / "shop.log").rename(logs.path / name)
    logs.fail(4)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 7}


def test_many_rotations_between_two_scans(monitor: Make, logs: LogFolder) -> None:
    """Several files that were left behind are read in their order."""
    one = monitor()
    logs.fail(1)
    one.scan()
    for _ in range(4):
        logs.fail(2)
        logs.rotate()
    logs.fail(1)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 10}


def test_a_rotation_before_the_first_look(monitor: Make, logs: LogFolder) -> None:
    """What was rotated away lately is read; what is older than the look-back is not."""
    logs.fail(2)
    logs.rotate()
    logs.fail(4, name="shop.log.2")
    os.utime(logs.path / "shop.log.2", (0, 0))
    logs.fail(1)
    one = monitor()
    one.scan()

    assert one.counts() == {"ValueError: no pay": 3}


def test_copytruncate_counts_once(monitor: Make, logs: LogFolder) -> None:
    """A copy of what was read is not read again, and the truncated file is read from its beginning."""
    one = monitor()
    file = logs.fail(2)
    one.scan()
    (logs.path / "shop.log.1").write_bytes(file.read_bytes())
    file.write_bytes(b"")
    logs.fail(3)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 5}


def test_truncation_is_a_gap(monitor: Make, logs: LogFolder) -> None:
    """Lines that were overwritten before they were read cannot be counted; that is said."""
    one = monitor()
    file = logs.fail(5)
    one.scan()
    file.write_bytes(failure("other", where="other").encode())
    one.scan()

    gaps = one.get("/gaps")["gaps"]
    assert (one.counts(), [gap["kind"] for gap in gaps]) == (
        {"ValueError: no pay": 5, "ValueError: other": 1},
        ["truncated"],
    )


def test_a_deleted_file_is_a_gap_and_the_others_go_on(monitor: Make, logs: LogFolder) -> None:
    """A file that is gone is said to be, and keeps no other from being read."""
    one = monitor()
    logs.fail(1)
    logs.fail(1, name="other.log", where="other")
    one.scan()
    (logs.path / "shop.log").unlink()
    logs.fail(1, name="other.log", where="other")
    one.scan()

    kinds = [gap["kind"] for gap in one.get("/gaps")["gaps"]]
    assert (kinds, one.counts()["ValueError: no other"]) == (["deleted"], 2)


def test_kill_and_restart_count_each_line_once(
    monitor: Make, logs: LogFolder, postgres: "psycopg.Connection[Any]"
) -> None:
    """SIGKILL at any moment: events and cursor are one transaction."""
    for at in range(2):
        one = monitor()
        logs.fail(10)
        if at % 2:
            one.scan()
        one.kill()
        postgres.execute("UPDATE error_monitor.leases SET expires_at = now()")  # how takeovers go is another file's
    last = monitor()
    last.scan()

    assert last.counts() == {"ValueError: no pay": 20}


def test_a_traceback_that_is_cut_by_the_scan_is_whole(monitor: Make, logs: LogFolder) -> None:
    """The first half is kept open in the cursor, through a restart, and joined with the second half."""
    text = failure("no pay")
    first = monitor(ERROR_MONITOR_SETTLE_S="600", ERROR_MONITOR_SCAN_DEADLINE_S="240")
    logs.write(text[:80])
    first.scan()
    first.stop()
    logs.write(text[80:])
    second = monitor()
    second.scan()

    assert second.counts() == {"ValueError: no pay": 1}


def test_a_line_without_its_end_is_waited_for(monitor: Make, logs: LogFolder) -> None:
    """Half a line at the end of a file is read when the other half is there."""
    one = monitor()
    logs.write("ERROR half ")
    nothing = one.scan()["lines"]
    logs.write("a line\n")
    one.scan()

    assert (nothing, list(one.counts())) == (0, ["half a line"])


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param(b"ERROR nul \0 byte\n", "byte", id="nul"),
        pytest.param(b"ERROR broken \xff\xfe\n", "broken", id="utf-8"),
        pytest.param(b"ERROR \xed\xa0\x80 surrogate\n", "surrogate", id="surrogate"),
    ],
)
def test_bytes_that_are_no_text(monitor: Make, logs: LogFolder, raw: bytes, shown: str) -> None:
    """NUL bytes and broken UTF-8 are stored as what can be shown, and the lines around them are read."""
    logs.write(b"fine\n" + raw)
    logs.fail(1)
    one = monitor()
    one.scan()

    assert one.counts().get("ValueError: no pay") == 1
    assert [message for message in one.counts() if shown in message] != []


def test_a_line_of_many_megabytes(monitor: Make, logs: LogFolder) -> None:
    """One endless line is cut, and what comes after it is read."""
    logs.write(b"ERROR " + b"x" * (5 << 20) + b"\n")
    logs.fail(2)
    one = monitor()
    one.scan()

    assert one.counts()["ValueError: no pay"] == 2


def test_own_log_is_not_reported(monitor: Make, logs: LogFolder) -> None:
    """The monitor reads its own log and finds nothing of itself in it, whatever went wrong."""
    loki = "http://127.0.0.1:9"
    one = monitor(LOKI_ENABLED="true", LOKI_URL=loki, LOG_FILES=f"{logs.path}/*.log,{logs.path.parent}/*.out")
    one.scan()
    assert "source_failed" in one.logs()

    lines = one.scan()["lines"]

    assert (lines > 0, one.counts()) == (True, {})

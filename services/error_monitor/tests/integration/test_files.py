"""Log files: each line counts once, through rotation, truncation, kills and restarts."""

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from harness.instance import Instance, Make
from harness.logfiles import LogFolder, failure

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def mine(module_logs: LogFolder, request: pytest.FixtureRequest) -> LogFolder:
    """A folder of the test's own for the monitor that all share; its tracebacks are a pattern of its own."""
    word = re.sub(r"\W", "_", request.node.name.removeprefix("test_"))
    word += "_again" * (module_logs.path / word).exists()  # a second attempt of a failed test
    (module_logs.path / word).mkdir()
    return LogFolder(module_logs.path / word, word)


def counted(one: Instance, mine: LogFolder) -> int:
    """How often the test's own pattern was counted."""
    return one.counts(words=f"no {mine.where}").get(f"ValueError: no {mine.where}", 0)


def gaps(one: Instance, mine: LogFolder) -> list[str]:
    """The kinds of the gaps in the test's own folder."""
    return [gap["kind"] for gap in one.get("/gaps", limit=200)["gaps"] if mine.where in gap["stream"] + gap["detail"]]


def test_a_second_scan_counts_nothing_twice(module_monitor: Instance, mine: LogFolder) -> None:
    """Three tracebacks are one pattern; lines are read from the cursor on: what was there before is not read again."""
    mine.fail(2)
    module_monitor.scan()
    mine.fail(1)

    outcomes = [module_monitor.scan()["events"], module_monitor.scan()["events"]]

    assert (outcomes, counted(module_monitor, mine)) == ([1, 0], 3)


@pytest.mark.parametrize("name", ["shop.log.1", "shop.log-20260401"])
def test_a_rotated_file_is_read_to_its_end(module_monitor: Instance, mine: LogFolder, name: str) -> None:
    """What was written between the last scan and the rotation is counted, and so is the new file."""
    mine.fail(1)
    module_monitor.scan()
    mine.fail(2)
    (mine.path / "shop.log").rename(mine.path / name)
    mine.fail(4)
    module_monitor.scan()

    assert counted(module_monitor, mine) == 7


def test_many_rotations_between_two_scans(module_monitor: Instance, mine: LogFolder) -> None:
    """Several files that were left behind are read in their order."""
    mine.fail(1)
    module_monitor.scan()
    for _ in range(4):
        mine.fail(2)
        mine.rotate()
    mine.fail(1)
    module_monitor.scan()

    assert counted(module_monitor, mine) == 10


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


def test_copytruncate_counts_once(module_monitor: Instance, mine: LogFolder) -> None:
    """A copy of what was read is not read again, and the truncated file is read from its beginning."""
    file = mine.fail(2)
    module_monitor.scan()
    (mine.path / "shop.log.1").write_bytes(file.read_bytes())
    file.write_bytes(b"")
    mine.fail(3)
    module_monitor.scan()

    assert counted(module_monitor, mine) == 5


def test_truncation_is_a_gap(module_monitor: Instance, mine: LogFolder) -> None:
    """Lines that were overwritten before they were read cannot be counted; that is said."""
    file = mine.fail(5)
    module_monitor.scan()
    file.write_bytes(failure("overwritten").encode())
    module_monitor.scan()

    found = (counted(module_monitor, mine), module_monitor.counts(words="overwritten"))
    assert found == (5, {"ValueError: overwritten": 1})
    assert gaps(module_monitor, mine) == ["truncated"]


def test_a_deleted_file_is_a_gap_and_the_others_go_on(module_monitor: Instance, mine: LogFolder) -> None:
    """A file that is gone is said to be, and keeps no other from being read."""
    gone = mine.fail(1)
    mine.fail(1, name="other.log")
    module_monitor.scan()
    gone.unlink()
    mine.fail(1, name="other.log")
    module_monitor.scan()

    assert (gaps(module_monitor, mine), counted(module_monitor, mine)) == (["deleted"], 3)


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


def test_a_line_without_its_end_is_waited_for(module_monitor: Instance, mine: LogFolder) -> None:
    """Half a line at the end of a file is read when the other half is there."""
    mine.write("ERROR half ")
    nothing = module_monitor.scan()["lines"]
    mine.write("a line\n")
    module_monitor.scan()

    assert (nothing, module_monitor.counts(words="half a line")) == (0, {"half a line": 1})


def test_bytes_that_are_no_text(module_monitor: Instance, mine: LogFolder) -> None:
    """NUL bytes and broken UTF-8 are stored as what can be shown, and the lines around them are read."""
    spelled = rb'{"level": "error", "message": "spelled \u0000 \ud800", "service": "\u0000"}' + b"\n"
    for raw in (b"ERROR nul \0 byte\n", b"ERROR broken \xff\xfe\n", b"ERROR \xed\xa0\x80 surrogate\n", spelled):
        mine.write(b"fine\n" + raw)
        mine.fail(1)
    module_monitor.scan()

    shown = [module_monitor.counts(words=word) for word in ("nul ", "broken", "surrogate", "spelled")]
    assert (counted(module_monitor, mine), [list(one.values()) for one in shown]) == (4, [[1]] * 4)


def test_a_line_of_many_megabytes(module_monitor: Instance, mine: LogFolder) -> None:
    """One endless line is cut, and what comes after it is read."""
    mine.write(b"ERROR " + b"x" * (5 << 20) + b"\n")
    mine.fail(2)
    module_monitor.scan()

    assert counted(module_monitor, mine) == 2


def test_clocks_that_jump_and_lines_out_of_order(module_monitor: Instance, mine: LogFolder) -> None:
    """Each line counts once; the first and last time are right, and none is in the future or of an unset clock."""
    for when in ("2099-01-01 00:00:00", "2026-01-02 03:04:09", "2026-01-02 03:04:05", "1970-01-02 00:00:00"):
        mine.write(f"{when},000 ERROR shop: the clock jumps\n")
    module_monitor.scan()

    (found,) = module_monitor.patterns(words="clock jumps")
    last = datetime.fromisoformat(found["last_seen"])
    assert (found["events"], found["first_seen"][:4], last <= datetime.now(UTC)) == (4, "2026", True)


def test_a_replaced_file_is_read_from_its_beginning(module_monitor: Instance, mine: LogFolder) -> None:
    """Another file under the same name is no continuation: what may be lost of the old one is a gap."""
    file = mine.fail(2)
    module_monitor.scan()
    other = mine.path / "new.tmp"
    other.write_text(failure("swapped", where="new"), encoding="utf-8")
    other.replace(file)
    module_monitor.scan()

    assert (counted(module_monitor, mine), module_monitor.counts(words="swapped")) == (2, {"ValueError: swapped": 1})
    assert gaps(module_monitor, mine) == ["deleted"]


def test_own_log_is_not_reported(monitor: Make, logs: LogFolder) -> None:
    """The monitor reads its own log and finds nothing of itself in it, whatever went wrong."""
    loki = "http://127.0.0.1:9"
    one = monitor(LOKI_ENABLED="true", LOKI_URL=loki, LOG_FILES=f"{logs.path}/*.log,{logs.path.parent}/*.out")
    one.scan()
    assert "source_failed" in one.logs()

    lines = one.scan()["lines"]

    assert (lines > 0, one.counts()) == (True, {})

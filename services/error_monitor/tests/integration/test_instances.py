"""Several instances on one database: one scans, another takes over, and the old one's late writes are refused."""

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from harness.instance import Make
from harness.logfiles import LogFolder
from harness.several import leader, scan
from harness.waiting import eventually

if TYPE_CHECKING:
    import psycopg


HEARTBEAT_S = 0.5  # of those that are killed and frozen: the lease may change hands at any moment, also by itself
ROUNDS = int(os.environ.get("INSTANCE_ROUNDS", "2"))  # a measurement takes 100


def test_one_of_three_scans(monitor: Make, logs: LogFolder) -> None:
    """Three instances read the same file, and each line counts once."""
    logs.fail(20)
    instances = [monitor() for _ in range(3)]
    scan(*instances)

    leaders = {one.status()["leader"] for one in instances}
    assert (instances[0].counts(), len(leaders)) == ({"ValueError: no pay": 20}, 1)
    assert leaders < {one.status()["instance"] for one in instances}


def test_the_others_refuse_to_scan(monitor: Make) -> None:
    """An instance without the lease says who scans, and does not."""
    first = leader(monitor())
    second = monitor()

    answer = second.client.post("/monitor/scan")

    assert (answer.status_code, answer.json()["scanned"], first.leads()) == (202, False, True)
    assert second.status()["leader"] == first.status()["instance"]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_another_takes_over(monitor: Make, logs: LogFolder, how: str) -> None:
    """Killed or stopped in order: the next one scans, and goes on where the first one was."""
    logs.fail(5)
    both = [monitor(ERROR_MONITOR_HEARTBEAT_S=HEARTBEAT_S) for _ in range(2)]
    scan(*both)
    first = leader(*both)
    both.remove(first)
    getattr(first, how)()
    logs.fail(3)
    second = both[0]
    second.scan()

    assert second.counts() == {"ValueError: no pay": 8}


def test_a_frozen_holder_is_replaced_and_writes_nothing_more(
    monitor: Make, logs: LogFolder, postgres: "psycopg.Connection[Any]"
) -> None:
    """Frozen in the middle of its life, thawed later: it no longer says that it leads, and nothing of it is stored."""
    logs.fail(5)
    both = [monitor(ERROR_MONITOR_HEARTBEAT_S=HEARTBEAT_S) for _ in range(2)]
    scan(*both)
    first = leader(*both)
    second = both[1 - both.index(first)]
    first.freeze()
    logs.fail(5)
    second.scan()
    second.freeze()  # so that it cannot lose the lease to the first one before that is asked
    first.thaw()
    claims = first.leads()
    second.thaw()
    scan(*both)

    fences = postgres.execute("SELECT fence FROM error_monitor.scans ORDER BY scan_id").fetchall()
    assert (claims, fences) == (False, sorted(fences))
    assert second.counts() == {"ValueError: no pay": 10}


def test_takeover_within_two_heartbeats(monitor: Make, postgres: "psycopg.Connection[Any]") -> None:
    """The lease that a dead holder leaves ends within two heartbeats, by the database's clock."""
    first = leader(monitor(ERROR_MONITOR_HEARTBEAT_S=HEARTBEAT_S))
    first.kill()

    row = postgres.execute("SELECT extract(epoch FROM expires_at - now()) FROM error_monitor.leases").fetchone()

    assert row is not None
    assert row[0] <= 2 * HEARTBEAT_S


def test_a_write_with_an_old_fence_is_refused(
    monitor: Make, logs: LogFolder, postgres: "psycopg.Connection[Any]"
) -> None:
    """Whoever takes the lease in the middle of a scan ends that scan: its next write finds no row."""
    first = leader(monitor())
    postgres.execute(
        "UPDATE error_monitor.leases SET fence = fence + 7, holder = gen_random_uuid(), expires_at = now()"
    )
    logs.fail(2)
    first.scan()

    row = postgres.execute("SELECT fence FROM error_monitor.leases").fetchone()
    assert (first.counts(), row) == ({"ValueError: no pay": 2}, (9,))


def test_stopping_frees_the_lease(monitor: Make, postgres: "psycopg.Connection[Any]") -> None:
    """After SIGTERM the next instance need not wait; the exit is clean."""
    first = leader(monitor())

    code = first.stop()

    row = postgres.execute("SELECT holder FROM error_monitor.leases").fetchone()
    assert (code, row) in [(0, (None,)), (-signal.SIGTERM, (None,))]


def test_two_names_do_not_meet(monitor: Make, logs: LogFolder) -> None:
    """Monitors of different names read different sources on one database, both at once."""
    logs.fail(1, where="one", name="one.log")
    logs.fail(1, where="two", name="two.log")
    both = [monitor(ERROR_MONITOR_NAME=name, LOG_FILES=str(logs.path / f"{name}.log")) for name in ("one", "two")]
    for instance in both:
        instance.scan()

    assert [instance.leads() for instance in both] == [True, True]
    assert set(both[0].counts()) == {"ValueError: no one", "ValueError: no two"}


def test_other_settings_under_one_name_are_told(monitor: Make, logs: LogFolder) -> None:
    """Two instances of one name that read different things: both say so, as only one of them scans."""
    first = monitor()
    monitor(LOG_FILES=f"{logs.path}/other/*.log")

    problems = eventually(lambda: first.status()["problems"], "a problem to be told")

    assert "instances with other sources share the name 'default'" in problems[0]


def test_holders_killed_and_frozen_in_turn(monitor: Make, logs: LogFolder, postgres: "psycopg.Connection[Any]") -> None:
    """Round by round the one that scans is killed or frozen while lines come in; each line counts once."""
    instances = [monitor(ERROR_MONITOR_HEARTBEAT_S=HEARTBEAT_S) for _ in range(3)]
    for number in range(ROUNDS):
        logs.fail(4)
        holder = leader(*instances)
        holder.freeze() if number % 2 else holder.kill()
        logs.fail(4)
        scan(*(one for one in instances if one is not holder))
        holder.thaw() if number % 2 else holder.start().ready()
    scan(*instances)

    fences = postgres.execute("SELECT fence FROM error_monitor.scans ORDER BY scan_id").fetchall()
    assert (instances[0].counts(), fences) == ({"ValueError: no pay": 8 * ROUNDS}, sorted(fences))

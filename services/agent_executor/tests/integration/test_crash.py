"""SIGKILL in the middle of work."""

from collections.abc import Callable

from harness.agents import SLOW_TEXT, execute_data, thinker
from harness.bus import Bus
from harness.progress import Progress, kinds
from harness.rows import Database, job_row

from testbay.fixtures import Service


def test_redelivery_after_kill(
    killed_service: Service,
    bus: Bus,
    follow: Callable[[str], Progress],
    database: Database,
) -> None:
    """A job whose service was killed mid-way continues from its checkpoint in the next process, and ends once."""
    data = execute_data(thinker("Think at length."))
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token", node="think")

    killed_service.kill()
    killed_service.start()

    thought = {"first": "ready", "think": SLOW_TEXT}
    assert bus.outcome(data["job_id"])["result"] == {"output": SLOW_TEXT, "outputs": thought}
    progress.until("end")
    steps = [kind for kind in kinds(progress.seen) if kind.startswith(("job", "node_started"))]
    assert steps == ["job_started", "node_started first", "node_started think", "job_started", "node_started think"]
    bus.wait_until_idle()
    assert len(bus.statuses(data["job_id"])) == 1
    assert job_row(database, data["job_id"])["attempts"] == 2

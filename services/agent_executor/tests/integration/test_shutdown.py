"""SIGTERM in the middle of work."""

from collections.abc import Callable
from signal import SIGTERM

import pytest
from harness.agents import execute_data, thinker
from harness.bus import Bus
from harness.progress import Progress
from harness.watching import read_on, watch
from websockets.exceptions import ConnectionClosed

from testbay.fixtures import Service


def test_graceful_stop(service: Service, bus: Bus, follow: Callable[[str], Progress]) -> None:
    """On SIGTERM a job about to end ends; one that needs longer is handed back to be delivered at once."""
    quick, long = execute_data(thinker()), execute_data({**thinker("Think endlessly."), "timeout_s": 60})
    quick_id, long_id = quick["job_id"], long["job_id"]
    quick_progress, long_progress = follow(quick_id), follow(long_id)
    bus.execute(quick)
    quick_progress.until("token", text=" four")
    bus.execute(long)
    long_progress.until("job_started")

    with watch(service, long_id) as watcher:
        code = service.stop()
        with pytest.raises(ConnectionClosed):
            read_on(watcher)

    assert code == -SIGTERM
    assert watcher.close_code == 1012  # "service restart": try again
    assert bus.outcome(quick_id)["state"] == "completed"
    assert bus.statuses(long_id) == []
    assert bus.take("term", deadline_s=0.8) == 2  # well before its ack_wait


def test_a_start_is_no_outage(shared_service: Service) -> None:
    """The service waits for its first connection to NATS, and logs no dependency that is away."""
    shared_service.stop()
    before = len(shared_service.logs)
    shared_service.start()

    assert "dependency_away" not in shared_service.logs[before:]

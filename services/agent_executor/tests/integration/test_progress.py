"""Watching a job over the WebSocket."""

from typing import TYPE_CHECKING

import httpx
import pytest
from harness.agents import ECHO, SLOW_TEXT, execute_data, new_id, thinker
from harness.bus import Bus
from harness.progress import kinds, wait_for_follower
from harness.rows import Database, insert_job
from harness.watching import events, watch
from websockets.exceptions import ConnectionClosed

from testbay.fixtures import Faults, Service

if TYPE_CHECKING:
    import redis


def test_websocket_streams_a_job_to_its_end(
    service: Service, database: Database, dragonfly: "redis.Redis", bus: Bus
) -> None:
    """A watcher gets the model's words as they come, then the result, then a normal close."""
    data = execute_data(thinker())
    insert_job(database, data, event_sent_at="now()")  # known, but not begun: the watcher must miss nothing
    with watch(service, data["job_id"]) as connection:
        wait_for_follower(dragonfly, data["job_id"])
        bus.execute(data)
        seen = events(connection)

    result = {"output": SLOW_TEXT, "outputs": {"first": "ready", "think": SLOW_TEXT}}
    assert "".join(e["data"]["text"] for e in seen if e["event"] == "token") == SLOW_TEXT
    assert kinds(seen)[-3:] == ["model_answered think", "node_finished think", "end"]
    assert seen[-1]["data"] == {"state": "completed", "result": result, "error": None}
    assert {(e["job_id"], e["trace_id"]) for e in seen} == {(data["job_id"], data["trace_id"])}
    assert connection.close_code == 1000


def test_websocket_of_a_finished_job(service: Service, bus: Bus) -> None:
    """Whoever comes late gets the end at once, exactly as those before saw it."""
    job_id = bus.execute(execute_data({**ECHO, "nodes": []}))
    outcome = bus.outcome(job_id)
    with watch(service, job_id) as connection:
        [end] = events(connection)

    assert (end["event"], end["data"]) == ("end", {key: outcome[key] for key in ("state", "result", "error")})


def test_websocket_of_an_unknown_job(service: Service) -> None:
    """A job nobody knows closes the connection with 4404."""
    with watch(service, new_id()) as connection, pytest.raises(ConnectionClosed):
        connection.recv()

    assert connection.close_code == 4404


def test_websocket_without_dragonfly(service: Service, bus: Bus, faults: Faults) -> None:
    """With Dragonfly away a watcher misses the words but not the end."""
    faults.dragonfly.cut()
    job_id = bus.execute(execute_data(ECHO, {"text": "unseen"}))
    bus.outcome(job_id)
    with watch(service, job_id) as connection:
        seen = events(connection)

    assert kinds(seen) == ["end"]


def test_websocket_without_postgres(service: Service, faults: Faults) -> None:
    """Without the database the connection is closed with "try again later"."""
    faults.postgres.cut()
    with watch(service, new_id()) as connection, pytest.raises(ConnectionClosed):
        connection.recv()

    assert connection.close_code == 1013


def test_websocket_left_early(service: Service, client: httpx.Client, bus: Bus) -> None:
    """A watcher who leaves, or talks, disturbs neither the job nor the service."""
    task = client.post("/api/tasks", json={"agent_definition": thinker()}).json()
    with watch(service, task["job_id"]) as connection:
        connection.send(b"hello?")
        connection.recv()

    assert bus.outcome(task["job_id"])["state"] == "completed"

"""Dependencies go away and come back; the service stays, and so do its jobs."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from harness.agents import ECHO, SLOW_TEXT, execute_data, thinker
from harness.bus import Bus
from harness.progress import Progress
from harness.rows import Database, job_row
from harness.waiting import eventually

from testbay.fixtures import Faults, Service

Follow = Callable[[str], Progress]


def test_postgres_outage_mid_job(client: httpx.Client, bus: Bus, faults: Faults, follow: Follow) -> None:
    """A job that cannot store its step waits for the database and goes on; requests meanwhile get a clear 503."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    faults.postgres.cut()
    progress.until("node_finished", node="think")

    assert _health(client, 503)["dependencies"]["postgres"]["status"] == "down"
    answer = client.get(f"/api/tasks/{data['job_id']}")
    message = "the database does not answer; try again"
    error = {"code": "database_unavailable", "message": message, "details": {}}
    assert (answer.status_code, answer.json()) == (503, {"error": error})
    faults.postgres.heal()
    assert bus.outcome(data["job_id"])["result"]["output"] == SLOW_TEXT
    assert _health(client, 200)["status"] == "healthy"


def test_nats_outage_mid_job(
    client: httpx.Client, bus: Bus, faults: Faults, follow: Follow, database: Database
) -> None:
    """A job that ends while the broker is away is announced, once, when the broker is back."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    faults.nats.cut()
    progress.until("end")

    assert _health(client, 503)["dependencies"]["nats"]["status"] == "down"
    assert bus.statuses(data["job_id"]) == []
    faults.nats.heal()
    assert bus.outcome(data["job_id"])["result"]["output"] == SLOW_TEXT
    assert _health(client, 200)["status"] == "healthy"
    bus.wait_until_idle()
    assert len(bus.statuses(data["job_id"])) == 1


def test_dragonfly_outage_mid_job(client: httpx.Client, bus: Bus, faults: Faults, follow: Follow) -> None:
    """A job whose progress nobody can be told completes all the same; the next one's progress is seen again."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    faults.dragonfly.cut()

    assert _health(client, 200, "degraded")["dependencies"]["dragonfly"]["status"] == "down"
    assert bus.outcome(data["job_id"])["result"]["output"] == SLOW_TEXT
    faults.dragonfly.heal()
    _health(client, 200)
    lost = "agent_stream_events_lost_total 0.0"
    assert lost not in client.get("/metrics").text
    eventually(lambda: _is_seen_to_end(bus, follow), "a job's progress to be seen again")


def test_postgres_frozen_mid_job(
    client: httpx.Client, bus: Bus, faults: Faults, follow: Follow, database: Database
) -> None:
    """A database that says nothing for a second is an outage too: the job waits, goes on, and ends once."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    with faults.postgres.freeze():
        thaws_at = time.monotonic() + 1
        while time.monotonic() < thaws_at:
            assert _health(client, 503)["dependencies"]["postgres"]["status"] == "down"

    assert bus.outcome(data["job_id"])["result"]["output"] == SLOW_TEXT
    bus.wait_until_idle()
    assert len(bus.statuses(data["job_id"])) == 1
    assert job_row(database, data["job_id"])["state"] == "completed"


def test_dragonfly_refused(service: Service, client: httpx.Client, bus: Bus, faults: Faults, follow: Follow) -> None:
    """A process that Dragonfly refused from its start on runs jobs unseen; when it no longer does, they are seen."""
    service.stop()
    faults.dragonfly.refuse()
    service.start()

    assert _health(client, 200, "degraded")["dependencies"]["dragonfly"]["status"] == "down"
    assert bus.outcome(bus.execute(execute_data(ECHO, {"text": "unseen"})))["result"]["output"] == "unseen"
    faults.dragonfly.heal()
    _health(client, 200)
    eventually(lambda: _is_seen_to_end(bus, follow), "a job's progress to be seen again")


def test_everything_slow_mid_job(client: httpx.Client, bus: Bus, faults: Faults, follow: Follow) -> None:
    """When every dependency begins to take 100 ms for each answer, a job takes its time, loses nothing, ends once."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token", text=" six")
    for name in ("postgres", "nats", "dragonfly"):
        faults.of(name).latency(ms=100, jitter_ms=10)

    assert bus.outcome(data["job_id"])["result"]["output"] == SLOW_TEXT
    progress.until("end")
    faults.heal()
    bus.wait_until_idle()
    assert len(bus.statuses(data["job_id"])) == 1


def _is_seen_to_end(bus: Bus, follow: Follow) -> bool:
    data = execute_data(ECHO, {"text": "x"})
    progress = follow(data["job_id"])
    bus.outcome(bus.execute(data))
    return progress.poll("end")


def test_everything_away_at_once(client: httpx.Client, bus: Bus, faults: Faults) -> None:
    """Health answers 503 and names every dependency that is down; all of them back, everything works again."""
    for name in ("postgres", "nats", "dragonfly"):
        faults.of(name).cut()
    report = _health(client, 503)

    states = {name: (d["status"], bool(d["error"])) for name, d in report["dependencies"].items()}
    assert states == dict.fromkeys(("postgres", "nats", "dragonfly"), ("down", True))
    assert report["status"] == "unhealthy"
    faults.heal()
    assert _health(client, 200)["status"] == "healthy"
    assert bus.outcome(bus.execute(execute_data(ECHO, {"text": "back"})))["result"]["output"] == "back"


def test_task_accepted_without_nats(client: httpx.Client, bus: Bus, faults: Faults) -> None:
    """A task accepted while the broker is away is stored, and run when the broker is back."""
    faults.nats.cut()
    _health(client, 503)
    body = {"agent_definition": ECHO, "input_payload": {"text": "patience"}}
    answer = client.post("/api/tasks", json=body)
    faults.nats.heal()

    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert bus.outcome(answer.json()["job_id"])["result"]["output"] == "patience"


def _health(client: httpx.Client, code: int, status: str | None = None) -> dict[str, Any]:
    """The health report, once it has this code (and status)."""
    wanted = status or ("healthy" if code == 200 else "unhealthy")

    def ask() -> dict[str, Any] | None:
        try:
            answer = client.get("/api/health")
        except httpx.TransportError:
            return None  # not listening yet
        body: dict[str, Any] = answer.json()
        return body if (answer.status_code, body["status"]) == (code, wanted) else None

    report = eventually(ask, f"/api/health to answer {code} {wanted}")
    assert report is not None
    return report

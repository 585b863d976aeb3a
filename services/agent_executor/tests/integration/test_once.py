"""Nothing lost, nothing twice."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness.agents import ECHO, SLOW_TEXT, event, execute_data, thinker
from harness.bus import Bus
from harness.progress import Progress
from harness.rows import Database, insert_job, job_row
from harness.waiting import eventually

from testbay.fixtures import Faults, Service

Follow = Callable[[str], Progress]


def test_duplicate_job_id(service: Service, bus: Bus, database: Database, follow: Follow) -> None:
    """Two more events for a job, one while it runs and one after, are acknowledged without running it again."""
    data = execute_data(thinker())
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    bus.execute(data)
    outcome = bus.outcome(data["job_id"])
    bus.execute({**data, "agent_definition": ECHO, "input_payload": {"text": "another"}})
    bus.wait_until_idle()

    assert outcome["result"]["output"] == SLOW_TEXT
    assert len(bus.statuses(data["job_id"])) == 1
    row = job_row(database, data["job_id"])
    assert (row["attempts"], row["result"]["output"]) == (1, SLOW_TEXT)


INVALID: dict[str, tuple[bytes, str]] = {
    "bad JSON": (b"{", "the message is not JSON we accept"),
    "bad UTF-8": (b'"\xff"', "the message is not JSON we accept"),
    "NaN": (event({"x": float("nan")}), "NaN is not JSON"),
    "infinite number": (b'{"x": 1e999}', "a number is not finite"),
    "large integer": (event({"x": 2**63}), "an integer does not fit into 64 bits"),
    "NUL": (event({"x": "\x00"}), "the NUL character"),
    "surrogate": (event({"x": "\ud800"}), "an unpaired surrogate"),
    "too deep": (b"[" * 100_000, "nested deeper than 64 levels"),
    "rather deep": (b"[" * 80 + b"]" * 80, "nested deeper than 64 levels"),
    "not an object": (b"[]", "it is not a JSON object"),
    "no CloudEvent": (b"{}", "it has no 'specversion'"),
    "no id": (event({}, id=None), "it has no 'id'"),
    "empty source": (event({}, source=""), "source"),
    "other version": (event({}, specversion="0.3"), "specversion"),
    "bad time": (event({}, time="yesterday"), "'yesterday' is not RFC 3339"),
    "other type": (event({}, type="dev.my-platform.agent.other"), "the event's type is"),
    "no data": (event(None), "the event's data is invalid"),
    "unknown field": (event(execute_data(ECHO, extra=1)), "extra: Extra inputs are not permitted"),
    "bad job_id": (event(execute_data(ECHO, job_id="a b")), "job_id: String should match pattern"),
    "too large": (event(execute_data(ECHO, {"text": "x" * 300_000})), "more than 262144"),
}


@pytest.mark.parametrize("name", INVALID)
def test_poison_message(service: Service, bus: Bus, name: str) -> None:
    """A message that can never become a job gets a failed event and is terminated at its first delivery."""
    body, reason = INVALID[name]
    sequence = bus.publish(body)

    status = bus.poison_status(sequence) if "extra" not in reason else _only_failed(bus, body)
    assert status["data"]["error"]["code"] == "invalid_event"
    assert reason in status["data"]["error"]["message"]
    bus.wait_until_idle()
    assert bus.consumer().num_redelivered == 0


def _only_failed(bus: Bus, body: bytes) -> dict[str, Any]:
    job_id = json.loads(body)["data"]["job_id"]
    return {"data": bus.outcome(job_id)}


def test_poison_message_that_names_its_job(client: httpx.Client, bus: Bus) -> None:
    """Invalid data with a usable job_id fails that job, visibly for whoever asks for it."""
    data = execute_data(ECHO, trace_id="no good trace id")
    bus.execute(data)

    error = bus.outcome(data["job_id"])["error"]
    assert error["details"] == {
        "problems": [{"where": "trace_id", "message": "String should match pattern '^[A-Za-z0-9_.:-]{1,128}$'"}]
    }
    task = client.get(f"/api/tasks/{data['job_id']}").json()
    assert (task["state"], task["error"]) == ("failed", error)


def test_poison_message_with_a_header_that_no_row_takes(service: Service, bus: Bus) -> None:
    """A NUL in its type is left out of what is said of it."""
    data = execute_data(ECHO)
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "odd\x00type"}
    bus.publish(json.dumps(data).encode(), headers=headers)

    assert bus.outcome(data["job_id"])["error"]["message"].startswith("the event's type is 'oddtype'")


def test_poison_message_with_the_name_of_another_job(service: Service, bus: Bus) -> None:
    """Invalid data under the job_id of a good job is refused without touching that job."""
    job_id = bus.execute(execute_data(ECHO, {"text": "mine"}))
    outcome = bus.outcome(job_id)
    sequence = bus.publish(event({"job_id": job_id}))

    details = bus.poison_status(sequence)["data"]["error"]["details"]
    assert (details["job_id"], details["stream_sequence"]) == (job_id, sequence)
    assert bus.outcome(job_id) == outcome


def test_unexpected_error_is_tried_three_times(service: Service, bus: Bus, database: Database) -> None:
    """An error nobody foresaw is retried by redelivery, and fails the job at the last one."""
    database.execute("ALTER TABLE checkpoints RENAME TO checkpoints_away")
    try:
        outcome = bus.outcome(job_id := bus.execute(execute_data(ECHO, {"text": "x"})))
    finally:
        database.execute("ALTER TABLE checkpoints_away RENAME TO checkpoints")

    details = {"type": "UndefinedTable"}
    assert outcome["error"] == {"code": "internal_error", "message": "the job could not be run", "details": details}
    assert job_row(database, job_id)["attempts"] == 3


def test_exhausted_deliveries(service: Service, client: httpx.Client, bus: Bus, faults: Faults) -> None:
    """Messages whose deliveries are used up without an outcome, a job and a poison, still get their failed event."""
    faults.postgres.cut()  # without its database the service takes no message; the pull that has begun comes first
    eventually(lambda: client.get("/api/health").status_code == 503, "the service to miss its database")
    eventually(lambda: bus.consumer().num_waiting == 0, "the service to have stopped pulling")
    job_id = bus.execute(execute_data(ECHO, {"text": "x"}))
    poison = bus.publish(b"poison")
    assert sorted(bus.take("nak") for _ in range(6)) == [1, 1, 2, 2, 3, 3]
    faults.postgres.heal()

    message = "the event was delivered 3 times and never finished"
    error = {"code": "deliveries_exhausted", "message": message, "details": {"deliveries": 3}}
    assert bus.outcome(job_id)["error"] == error
    assert bus.poison_status(poison)["data"]["error"]["code"] == "invalid_event"


def test_deleted_consumer(service: Service, bus: Bus) -> None:
    """A consumer that somebody deleted is created again, and nothing published in between is missed."""
    bus.delete_consumer()

    assert bus.outcome(bus.execute(execute_data(ECHO, {"text": "still here"})))["result"]["output"] == "still here"


def test_outboxes_are_emptied(service: Service, bus: Bus, database: Database) -> None:
    """What a crash left unsent is sent later: an accepted task's event, a final job's event."""
    accepted, final = execute_data(ECHO, {"text": "late"}), execute_data(ECHO)
    insert_job(database, accepted, created_at="now() - interval '1 minute'")
    done = {"state": "'completed'", "result": "'{}'", "event_sent_at": "now()"}
    insert_job(database, final, **done, finished_at="now() - interval '1 minute'")

    assert bus.outcome(accepted["job_id"])["result"]["output"] == "late"
    names = {key: final[key] for key in ("job_id", "trace_id")}
    assert bus.outcome(final["job_id"]) == {**names, "state": "completed", "result": {}, "error": None}
    eventually(lambda: job_row(database, final["job_id"])["announced_at"], "the job to be marked as announced")


def test_a_job_that_can_never_be_sent_keeps_no_other_from_it(service: Service, bus: Bus, database: Database) -> None:
    """Its event is larger than the broker takes, and it is the oldest."""
    giant, accepted = execute_data(ECHO, {"text": "x" * 1_200_000}), execute_data(ECHO, {"text": "late"})
    insert_job(database, giant, created_at="now() - interval '2 minutes'")
    insert_job(database, accepted, created_at="now() - interval '1 minute'")

    assert bus.outcome(accepted["job_id"])["result"]["output"] == "late"
    assert job_row(database, giant["job_id"])["state"] == "queued"
    database.execute("DELETE FROM jobs WHERE job_id = %s", (giant["job_id"],))


def test_job_held_elsewhere(service: Service, bus: Bus, database: Database) -> None:
    """A job under another process's lease is left to it; when the lease lapses, it is run here."""
    data = execute_data(ECHO, {"text": "mine at last"})
    lease = {"owner": "gen_random_uuid()", "lease_until": "now() + interval '0.4 second'"}
    insert_job(database, data, state="'running'", event_sent_at="now()", **lease)
    lapses = job_row(database, data["job_id"])["lease_until"]

    assert bus.outcome(bus.execute(data))["result"]["output"] == "mine at last"
    assert job_row(database, data["job_id"])["started_at"] >= lapses


def test_lease_taken_away(service: Service, bus: Bus, database: Database, follow: Follow) -> None:
    """A process that finds its job taken over stops running it; the outcome is that of whoever took it."""
    data = execute_data(thinker("Think endlessly."))
    progress = follow(data["job_id"])
    bus.execute(data)
    progress.until("token")
    database.execute(
        "UPDATE jobs SET state = 'completed', result = '{\"output\": \"theirs\"}', finished_at = now(),"
        " owner = NULL, lease_until = NULL WHERE job_id = %s",
        (data["job_id"],),
    )

    assert bus.outcome(data["job_id"])["result"] == {"output": "theirs"}
    assert progress.until("end")["data"]["result"] == {"output": "theirs"}

"""The HTTP surface."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness.agents import ECHO, GREETER, new_id
from harness.bus import Bus
from harness.waiting import eventually

from testbay.fixtures import Service


def test_health(client: httpx.Client) -> None:
    """Health shows every dependency with its latency, the pool's numbers and the consumers."""
    report = client.get("/api/health").json()

    dependencies = {name: (d["status"], d["error"]) for name, d in report["dependencies"].items()}
    pool = report["db"]["pool"]
    assert (report["status"], report["version"], report["model"]) == ("healthy", "0.1.0", {"configured": True})
    assert dependencies == dict.fromkeys(("postgres", "nats", "dragonfly"), ("up", None))
    assert all(d["latency_ms"] >= 0 for d in report["dependencies"].values())
    assert (pool["size"], pool["used"] <= pool["open"] <= pool["size"]) == (10, True)
    assert {name: c["error"] for name, c in report["consumers"].items()} == {"execution": None, "exhausted": None}


def test_version(client: httpx.Client, service: Service) -> None:
    """Version and commit say which code answers."""
    expected = {"service": "agent_executor", "version": "0.1.0", "commit": service.env["GIT_COMMIT"]}

    assert client.get("/api/version").json() == expected


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_documentation(client: httpx.Client, path: str) -> None:
    """The API documents itself."""
    assert client.get(path).status_code == 200


def test_routes(client: httpx.Client) -> None:
    """Every route is listed, WebSockets included."""
    routes = {(route["path"], *route["methods"]) for route in client.get("/debug/routes").json()}

    assert routes >= {
        ("/api/health", "GET"),
        ("/api/version", "GET"),
        ("/metrics", "GET"),
        ("/metrics/summary", "GET"),
        ("/debug/routes", "GET"),
        ("/api/agents", "GET"),
        ("/api/agents", "POST"),
        ("/api/tasks", "POST"),
        ("/api/tasks/{job_id}", "GET"),
        ("/api/tasks/{job_id}/stream", "WEBSOCKET"),
    }


def _echoed(client: httpx.Client, **more: Any) -> str:
    body = {"agent_definition": ECHO, "input_payload": {"text": "x"}, **more}
    return str(client.post("/api/tasks", json=body).json()["job_id"])


def test_metrics_summary(client: httpx.Client, bus: Bus) -> None:
    """The summary counts jobs by state, durations, statements and connections."""
    before = client.get("/metrics/summary").json()
    bus.outcome(_echoed(client))
    after = client.get("/metrics/summary").json()

    assert after["jobs"]["completed"] == before["jobs"]["completed"] + 1
    assert set(after["jobs"]) == {"queued", "running", "completed", "failed"}
    assert 0 < after["durations_s"]["p50"] <= after["durations_s"]["p95"]
    assert after["queries"]["count"] > before["queries"]["count"]
    assert after["queries"]["slow_count"] > 0
    assert {"statement", "ms"} == set(after["queries"]["slow"][0])
    assert after["db"]["pool"]["size"] == 10


def test_prometheus_metrics(client: httpx.Client, bus: Bus) -> None:
    """Prometheus gets the same counts, with routes and not paths as labels."""
    job_id = _echoed(client)
    bus.outcome(job_id)
    client.get(f"/api/tasks/{job_id}")
    client.get("/no/such/path")
    text = client.get("/metrics").text

    for line in (
        'agent_jobs_finished_total{state="completed"}',
        "agent_job_seconds_bucket",
        "agent_db_queries_total",
        "agent_db_pool_size 10.0",
        '{job_id}",status="200"',  # noqa: RUF027 -- the route's own braces
        'route="(none)",status="404"',
    ):
        assert line in text
    assert job_id not in text


def test_a_deleted_agent_is_gone_and_its_jobs_stay(client: httpx.Client) -> None:
    """A job has its own copy of the definition; deleting twice is told."""
    agent_id = client.post("/api/agents", json={"name": new_id(), "definition": ECHO}).json()["agent_id"]
    body = {"agent_id": agent_id, "input_payload": {"text": "x"}}
    job = client.post("/api/tasks", json=body).json()["status_url"]
    statuses = [client.delete(f"/api/agents/{agent_id}").status_code for _ in range(2)]

    assert statuses == [204, 404]
    assert client.get(f"/api/agents/{agent_id}").json()["error"]["code"] == "agent_not_found"
    assert eventually(lambda: client.get(job).json()["state"] == "completed", "the job")


def test_an_agent_deleted_while_its_job_is_accepted(client: httpx.Client, database: Any) -> None:
    """The job is accepted all the same, and names no agent."""
    agent_id = client.post("/api/agents", json={"name": new_id(), "definition": ECHO}).json()["agent_id"]
    body = {"agent_id": agent_id, "input_payload": {"text": "x"}}
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("DELETE FROM agents WHERE agent_id = %s", (agent_id,))
            answering = pool.submit(client.post, "/api/tasks", json=body)
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            eventually(lambda: database.execute(waits).fetchone(), "the job to wait for the agent")
        answer = answering.result()

    assert answer.status_code == 202
    assert client.get(answer.json()["status_url"]).json()["agent_id"] is None


def test_agents_are_stored_and_listed(client: httpx.Client) -> None:
    """Agents are stored under unique names, found by id, and listed newest first, a page at a time."""
    names = [f"agent {new_id()}" for _ in range(3)]
    stored = [client.post("/api/agents", json={"name": name, "definition": GREETER}) for name in names]
    pages = [client.get("/api/agents", params={"limit": 2, "offset": offset}).json() for offset in (0, 2)]

    assert [answer.status_code for answer in stored] == [201, 201, 201]
    agents = [answer.json() for answer in stored]
    assert client.get(f"/api/agents/{agents[0]['agent_id']}").json() == agents[0]
    assert [*pages[0]["items"], pages[1]["items"][0]] == agents[::-1]
    assert (pages[0]["limit"], pages[0]["offset"], pages[0]["total"] >= 3) == (2, 0, True)
    again = client.post("/api/agents", json={"name": names[0], "definition": GREETER})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")


def test_task_of_a_stored_agent(client: httpx.Client, bus: Bus) -> None:
    """A task may name a stored agent; its state can be asked for until the end and after."""
    agent = client.post("/api/agents", json={"name": new_id(), "definition": GREETER}).json()
    job = {"job_id": new_id(), "trace_id": "t-1"}
    body = {**job, "agent_id": agent["agent_id"], "input_payload": {"name": "Ada"}}
    accepted = client.post("/api/tasks", json=body)

    url = f"/api/tasks/{job['job_id']}"
    links = {"status_url": url, "stream_url": f"{url}/stream"}
    assert (accepted.status_code, accepted.json()) == (202, {**job, **links, "state": "queued", "created": True})
    bus.outcome(job["job_id"])
    task = client.get(url).json()
    assert (task["state"], task["agent_id"], task["attempts"]) == ("completed", agent["agent_id"], 1)
    assert task["result"]["output"] == "HELLO ADA, NICE TO MEET YOU."


def test_repeated_task(client: httpx.Client, bus: Bus) -> None:
    """The same task again is answered with the job there is; another task under its job_id is refused."""
    job_id = new_id()
    body = {"job_id": job_id, "agent_definition": ECHO, "input_payload": {"text": "once"}}
    client.post("/api/tasks", json=body)
    bus.outcome(job_id)
    again = client.post("/api/tasks", json=body)
    other = client.post("/api/tasks", json={**body, "input_payload": {"text": "twice"}})
    bus.wait_until_idle()

    assert (again.status_code, again.json()["created"], again.json()["state"]) == (202, False, "completed")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "job_id_taken")
    assert len(bus.statuses(job_id)) == 1


REQUESTS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "no such path": ("GET", "/nowhere", {}, 404, "not_found"),
    "wrong method": ("PUT", "/api/tasks", {}, 405, "method_not_allowed"),
    "unknown task": ("GET", "/api/tasks/unknown", {}, 404, "job_not_found"),
    "NUL in job_id": ("GET", "/api/tasks/a%00", {}, 422, "invalid_request"),
    "deep JSON": ("POST", "/api/tasks", {"content": b"[" * 1_000_000}, 400, "bad_request"),
    "deep value": (
        "POST",
        "/api/tasks",
        {"content": b'{"input_payload":' + b'{"a":' * 100 + b"1" + b"}" * 101},
        422,
        "invalid_request",
    ),
    "unknown agent": ("GET", f"/api/agents/{new_id()}", {}, 404, "agent_not_found"),
    "agent id": ("GET", "/api/agents/7", {}, 422, "invalid_request"),
    "bad page": ("GET", "/api/agents?limit=0", {}, 422, "invalid_request"),
    "bad JSON": ("POST", "/api/tasks", {"content": b"{"}, 422, "invalid_request"),
    "neither": ("POST", "/api/tasks", {"json": {}}, 422, "invalid_request"),
    "both": ("POST", "/api/tasks", {"json": {"agent_id": new_id(), "agent_definition": {}}}, 422, "invalid_request"),
    "NUL": ("POST", "/api/tasks", {"json": {"agent_definition": {"name": "\x00"}}}, 422, "invalid_request"),
    "job_id": ("POST", "/api/tasks", {"json": {"job_id": "a.b", "agent_definition": ECHO}}, 422, "invalid_request"),
    "absent agent": ("POST", "/api/tasks", {"json": {"agent_id": new_id()}}, 404, "agent_not_found"),
    "large task": (
        "POST",
        "/api/tasks",
        {"json": {"agent_definition": ECHO, "input_payload": {"text": "x" * 300_000}}},
        413,
        "too_large",
    ),
    "large body": ("POST", "/api/agents", {"content": b"x" * 1_100_000}, 413, "too_large"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_refused_request(client: httpx.Client, name: str) -> None:
    """Every refusal has a fitting status and the one error shape."""
    method, path, content, status, code = REQUESTS[name]
    headers = {"Content-Type": "application/json"} if "content" in content else {}
    answer = client.request(method, path, headers=headers, **content)

    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    error = answer.json()["error"]
    assert (error["code"], set(error)) == (code, {"code", "message", "details"})


def test_unexpected_failure(client: httpx.Client, database: Any) -> None:
    """A fault of ours is a 500 in the same shape, without its insides."""
    database.execute("ALTER TABLE agents RENAME TO agents_away")
    try:
        answer = client.get("/api/agents")
    finally:
        database.execute("ALTER TABLE agents_away RENAME TO agents")

    error = {"code": "internal_error", "message": "the request could not be answered", "details": {}}
    assert (answer.status_code, answer.json()) == (500, {"error": error})


def test_logs_are_json(client: httpx.Client, service: Service, bus: Bus) -> None:
    """Every log line is a JSON object; those about a job carry its job_id and trace_id."""
    trace_id = new_id()
    job_id = _echoed(client, trace_id=trace_id)
    bus.outcome(job_id)

    def finished() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in service.logs.splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == "job_finished" and line["job_id"] == job_id]

    [line] = eventually(finished, "the job's log line")
    assert (line["trace_id"], line["state"], line["level"]) == (trace_id, "completed", "info")

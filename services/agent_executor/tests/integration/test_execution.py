"""An execute event comes in, a result goes out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from harness.agents import ECHO, GREETER, asking, event, execute_data, new_id
from harness.bus import Bus
from harness.progress import Progress, kinds
from harness.rows import Database

from testbay.fixtures import Service

Follow = Callable[[str], Progress]


def test_cloudevent_processing_end_to_end_success(
    live_service: Service, bus: Bus, database: Database, follow: Follow
) -> None:
    """An event becomes a graph, checkpoints, progress ending with `end`, a row and one completed event."""
    data = execute_data(GREETER, {"name": "Ada"})
    progress = follow(data["job_id"])

    outcome = bus.outcome(bus.execute(data))

    greeting = outcome["result"]["outputs"]["greet"]
    result = {"output": greeting.upper(), "outputs": {"greet": greeting, "shout": greeting.upper()}}
    names = {"job_id": data["job_id"], "trace_id": data["trace_id"]}
    assert "Ada" in greeting
    assert outcome == {**names, "state": "completed", "result": result, "error": None}
    assert progress.until("end")["data"] == {"state": "completed", "result": result, "error": None}
    assert [kind for kind in kinds(progress.seen) if kind != "token greet"] == [
        "job_started",
        "node_started greet",
        "model_answered greet",
        "node_finished greet",
        "node_started shout",
        "tool_called shout",
        "node_finished shout",
        "end",
    ]
    assert _checkpoints(database, data["job_id"]) == 4  # the input, the start, and one for each of two steps


def _checkpoints(database: Database, job_id: str) -> int:
    row = database.execute("SELECT count(*) AS n FROM checkpoints WHERE thread_id = %s", (job_id,)).fetchone()
    assert row is not None
    return int(row["n"])


def test_nats_consumer_processing(service: Service, bus: Bus) -> None:
    """Execute events are pulled by one durable consumer with explicit acknowledgement and three deliveries."""
    before = bus.consumer()
    bus.outcome(bus.execute(execute_data(ECHO, {"text": "hello"})))
    bus.wait_until_idle()
    after = bus.consumer()

    config = after.config
    assert (config.durable_name, config.filter_subject) == ("agent-executor", "agent.execute.*")
    assert (config.ack_policy, config.max_deliver, config.deliver_subject) == ("explicit", 3, None)
    assert before.delivered is not None
    assert after.ack_floor is not None
    assert after.ack_floor.stream_seq == before.delivered.stream_seq + 1


def test_status_event_is_a_cloudevent(service: Service, bus: Bus) -> None:
    """The completed event is a CloudEvent 1.0 about the job, with an id that a repetition would share."""
    job_id = bus.execute(execute_data(ECHO, {"text": "hello"}))
    bus.outcome(job_id)

    [(subject, body)] = bus.statuses(job_id)
    attributes = {key: value for key, value in body.items() if key not in ("data", "time")}
    assert subject == "agent.status.completed"
    assert attributes == {
        "specversion": "1.0",
        "id": f"{job_id}-completed",
        "type": "dev.my-platform.agent.completed",
        "source": "/agent-executor",
        "subject": job_id,
        "datacontenttype": "application/json",
    }


def test_binary_mode_event(service: Service, bus: Bus) -> None:
    """An event whose attributes are ce- headers is executed like a structured one."""
    data = execute_data(ECHO, {"text": "binary"})
    headers = {"ce-specversion": "1.0", "ce-id": new_id(), "ce-source": "/tests", "ce-time": "2026-01-01T00:00:00Z"}
    kind = {"ce-type": "dev.my-platform.agent.execute", "Content-Type": "application/json"}
    bus.publish(json.dumps(data).encode(), job_id=data["job_id"], headers={**headers, **kind})

    assert bus.outcome(data["job_id"])["result"] == {"output": "binary", "outputs": {"echo": "binary"}}


ROUTER = {
    "entry": "check",
    "nodes": [
        {"id": "check", "kind": "tool", "tool": "word_count", "arguments": {"text": "{{ input.text }}"}},
        {"id": "short", "kind": "template", "template": "short: {{ outputs.check }}"},
        {"id": "none", "kind": "template", "template": "nothing to count"},
        {"id": "long", "kind": "template", "template": "long"},
    ],
    "edges": [
        {"source": "check", "target": "none", "when": {"path": "outputs.check", "value": 0}},
        {"source": "check", "target": "short", "when": {"path": "input.text", "op": "contains", "value": "short"}},
        {"source": "check", "target": "long", "when": {"path": "input", "op": "contains", "value": {"text": "one"}}},
        {"source": "check", "target": "__end__", "when": {"path": "input.stop", "op": "exists"}},
        {"source": "check", "target": "long", "when": {"path": "outputs.check", "op": "not_equals", "value": 1}},
    ],
}


@pytest.mark.parametrize(
    ("payload", "output"),
    [
        ({"text": ""}, "nothing to count"),
        ({"text": "a short text"}, "short: 3"),
        ({"text": "one two", "stop": None}, 2),
        ({"text": "one two"}, "long"),
        ({"text": "one"}, 1),
    ],
)
def test_conditional_edges(service: Service, bus: Bus, payload: dict[str, Any], output: Any) -> None:
    """The first edge whose condition holds is taken; where none does, the job ends."""
    outcome = bus.outcome(bus.execute(execute_data(ROUTER, payload)))

    assert outcome["result"]["output"] == output


def test_parallel_branches_join(service: Service, bus: Bus) -> None:
    """Two edges from one node run both targets; a node after both sees both outputs, in tool arguments too."""
    agent = {
        "entry": "start",
        "nodes": [
            {"id": "start", "kind": "template", "template": "go"},
            {"id": "left", "kind": "tool", "tool": "calculator", "arguments": {"expression": "-(2 ** 3) + 10 // 4"}},
            {"id": "right", "kind": "template", "template": "{{ input.numbers }}"},
            {
                "id": "join",
                "kind": "tool",
                "tool": "json_get",
                "arguments": {"document": {"all": ["{{ outputs.left }}", "{{ input.numbers }}"]}, "path": "all"},
            },
        ],
        "edges": [{"source": "start", "target": side} for side in ("left", "right")]
        + [{"source": side, "target": "join"} for side in ("left", "right")],
        "output": "join",
    }
    outcome = bus.outcome(bus.execute(execute_data(agent, {"numbers": [1, 2]})))

    outputs = {"start": "go", "left": -6, "right": "[1, 2]", "join": [-6, [1, 2]]}
    assert outcome["result"] == {"output": [-6, [1, 2]], "outputs": outputs}


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What is 6 times 7?", "The answer is 42."),
        (
            "Use a tool that fails.",
            (
                'The tools said: {"error": "tool \'calculator\' failed: division by zero"},'
                ' {"error": "tool \'format_disk\' was not offered"}'
            ),
        ),
    ],
)
def test_model_calls_tools(service: Service, bus: Bus, prompt: str, answer: str) -> None:
    """Tools the model calls are run for it; one that fails, or was never offered, is told to the model."""
    agent = asking(prompt, tools=["calculator"], system="Be exact.", temperature=0, max_tokens=50)

    outcome = bus.outcome(bus.execute(execute_data(agent)))

    assert outcome["result"]["output"] == answer


DIGITS = "9" * 5000  # more than Python reads as a number


@pytest.mark.parametrize(
    ("agent", "code", "details"),
    [
        (asking("Fail with 400."), "model_error", {"type": "BadRequestError", "status": 400, "node": "ask"}),
        (asking("Break off."), "model_error", {"reason": None, "node": "ask"}),
        (asking("Say what is filtered."), "model_error", {"reason": "content_filter", "node": "ask"}),
        (asking("Fail with 500."), "model_error", {"type": "InternalServerError", "status": 500, "node": "ask"}),
        (asking("{{ input.missing }}"), "value_missing", {"path": "input.missing", "node": "ask"}),
        (
            asking(f"{{{{ input.list.{'9' * 5000} }}}}"),
            "value_missing",
            {"path": f"input.list.{'9' * 5000}", "node": "ask"},
        ),
        (asking("Call tools for ever.", tools=["upper"]), "too_many_tool_rounds", {"node": "ask"}),
        ({**asking("Think endlessly."), "timeout_s": 0.3}, "timeout", {}),
    ],
)
def test_failing_job_says_why(service: Service, bus: Bus, agent: dict[str, Any], code: str, details: Any) -> None:
    """A job that fails by itself gets one failed event with a structured error, at its first delivery."""
    outcome = bus.outcome(bus.execute(execute_data(agent, {"list": []})))

    error = outcome["error"]
    error["details"].pop("request_id", None)
    assert (outcome["state"], outcome["result"], error["code"], error["details"]) == ("failed", None, code, details)


def test_values_named_many_times_stay_bounded(service: Service, bus: Bus) -> None:
    """Before they are put together: a thousand times a large input would fill the memory of all jobs."""
    nodes = [{"id": "many", "kind": "template", "template": "{{ input.text }}" * 1000}]

    error = bus.outcome(bus.execute(execute_data({"entry": "many", "nodes": nodes}, {"text": "x" * 100_000})))["error"]

    assert (error["code"], error["message"]) == (
        "output_too_large",
        "the values of a node have more than 2097152 characters",
    )


@pytest.mark.parametrize(
    "expression", ["__import__('os')", "1 / 0", "9 ** 9 ** 9", "(", "10.0 ** 64 ** 2", "True", "3 ** 64 ** 2"]
)
def test_calculator_refuses(service: Service, bus: Bus, expression: str) -> None:
    """The calculator computes bounded arithmetic and nothing else."""
    nodes = [{"id": "sum", "kind": "tool", "tool": "calculator", "arguments": {"expression": expression}}]

    error = bus.outcome(bus.execute(execute_data({"entry": "sum", "nodes": nodes})))["error"]

    assert (error["code"], error["details"]) == ("tool_failed", {"tool": "calculator", "node": "sum"})


def test_large_numbers(service: Service, bus: Bus) -> None:
    """A whole number beyond 64 bits becomes a float, which can be stored."""
    nodes = [{"id": "sum", "kind": "tool", "tool": "calculator", "arguments": {"expression": "2 ** 63 * 3"}}]

    output = bus.outcome(bus.execute(execute_data({"entry": "sum", "nodes": nodes})))["result"]["output"]

    assert float(output) == 3.0 * 2**63


def test_endless_loop_is_ended(service: Service, bus: Bus) -> None:
    """A loop whose exit is never taken ends at the agent's own step limit."""
    back = {"source": "echo", "target": "echo", "when": {"path": "input.stop", "op": "not_equals", "value": True}}

    outcome = bus.outcome(bus.execute(execute_data({**ECHO, "edges": [back], "max_steps": 5}, {"text": "again"})))

    message = "the agent did not end within 5 steps"
    assert outcome["error"] == {"code": "too_many_steps", "message": message, "details": {}}


def test_growing_output_is_ended(service: Service, bus: Bus) -> None:
    """An output that would outgrow a message is refused, so that every result can be published."""
    node = {"id": "grow", "kind": "template", "template": "{{ input.text }}" * 1000}
    data = execute_data({"entry": "grow", "nodes": [node]}, {"text": "x" * 300})

    outcome = bus.outcome(bus.execute(data))

    message = "a node's output has 300002 bytes, more than 262144"
    assert outcome["error"] == {"code": "output_too_large", "message": message, "details": {"node": "grow"}}


def test_text_of_every_script(service: Service, bus: Bus) -> None:
    """A large text that JSON could blow up by escaping arrives as it is."""
    text = "\N{SNOWMAN}\N{ROCKET}" * 35_000

    data = execute_data(ECHO, {"text": text})
    bus.publish(json.dumps(json.loads(event(data)), ensure_ascii=False).encode(), job_id=data["job_id"])

    assert bus.outcome(data["job_id"])["result"]["output"] == text


def test_event_with_a_time(service: Service, bus: Bus) -> None:
    """Optional attributes of a CloudEvent, known and unknown, are accepted."""
    data = execute_data(ECHO, {"text": "timed"})
    bus.publish(event(data, time="2026-01-01T12:00:00+01:00", subject="x", traceparent="00-1"), job_id=data["job_id"])

    assert bus.outcome(data["job_id"])["state"] == "completed"

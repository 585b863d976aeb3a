"""Agent definitions and events as a client would write them."""

import json
import uuid
from typing import Any

EXECUTE = "dev.my-platform.agent.execute"

GREETER: dict[str, Any] = {
    "name": "greeter",
    "entry": "greet",
    "nodes": [
        {"id": "greet", "kind": "model", "prompt": "Say hello to {{ input.name }}."},
        {"id": "shout", "kind": "tool", "tool": "upper", "arguments": {"text": "{{ outputs.greet }}"}},
    ],
    "edges": [{"source": "greet", "target": "shout"}, {"source": "shout", "target": "__end__"}],
}

# No model: what a job costs when nothing but the machinery is asked.
ECHO: dict[str, Any] = {
    "entry": "echo",
    "nodes": [{"id": "echo", "kind": "template", "template": "{{ input.text }}"}],
}
SLOW_TEXT = "one two three four five six"


def thinker(prompt: str = "Think slowly.") -> dict[str, Any]:
    """One quick step, then a model that takes its time: 0.03 s a word, or 0.1 s when asked to think at length."""
    return {
        "entry": "first",
        "nodes": [
            {"id": "first", "kind": "template", "template": "ready"},
            {"id": "think", "kind": "model", "prompt": prompt},
        ],
        "edges": [{"source": "first", "target": "think"}],
    }


def asking(prompt: str, **more: Any) -> dict[str, Any]:
    """A single model node."""
    return {"entry": "ask", "nodes": [{"id": "ask", "kind": "model", "prompt": prompt, **more}]}


def new_id() -> str:
    return str(uuid.uuid4())


def execute_data(agent: dict[str, Any], payload: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The data of an execute event."""
    data = {"job_id": new_id(), "trace_id": new_id(), "agent_definition": agent, "input_payload": payload or {}}
    return {**data, **more}


def event(data: Any, **attributes: Any) -> bytes:
    """A structured-mode CloudEvent; an attribute given as None is left out."""
    defaults = {"specversion": "1.0", "id": new_id(), "source": "/tests", "type": EXECUTE, "data": data}
    return json.dumps({key: value for key, value in {**defaults, **attributes}.items() if value is not None}).encode()

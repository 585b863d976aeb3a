"""Agent definitions that cannot be built are refused with everything that is wrong with them."""

from typing import Any

import httpx
import pytest
from harness.agents import ECHO, asking, execute_data
from harness.bus import Bus

from testbay.fixtures import Service

A = {"id": "a", "kind": "template", "template": "x"}
B = {"id": "b", "kind": "template", "template": "y"}
EXISTS = {"path": "input.x", "op": "exists"}


def _edge(source: str, target: str, **more: Any) -> dict[str, Any]:
    return {"source": source, "target": target, **more}


def _agent(nodes: list[Any], *edges: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"entry": "a", "nodes": nodes, "edges": list(edges), **more}


REFUSED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "unknown kind": (_agent([{"id": "a", "kind": "shell"}]), [("unknown_kind", "nodes.0")]),
    "no kind": (_agent([{"id": "a"}]), [("unknown_kind", "nodes.0")]),
    "unknown tool": (_agent([{"id": "a", "kind": "tool", "tool": "shell"}]), [("unknown_tool", "a")]),
    "unknown model tool": (asking("x", tools=["shell", "upper"]), [("unknown_tool", "ask")]),
    "dangling edges": (
        _agent([A], _edge("a", "nowhere"), _edge("nobody", "a")),
        [("dangling_edge", "edges.0.target"), ("dangling_edge", "edges.1.source")],
    ),
    "unreachable node": (_agent([A, B]), [("unreachable_node", "b")]),
    "no entry": ({"nodes": [A]}, [("no_entry", "entry")]),
    "unknown entry": ({"entry": "c", "nodes": [A]}, [("unknown_entry", "entry")]),
    "unknown output": (_agent([A], output="c"), [("unknown_output", "output")]),
    "cycle without exit": (
        _agent([A, B], _edge("a", "b"), _edge("b", "a")),
        [("cycle_without_exit", "a"), ("cycle_without_exit", "b")],
    ),
    "duplicate node": (_agent([A, A]), [("duplicate_node", "a")]),
    "ambiguous edges": (
        _agent([A, B], _edge("a", "b", when=EXISTS), _edge("a", "b"), _edge("a", "__end__")),
        [("ambiguous_edges", "a")],
    ),
    "placeholder": (
        _agent([{"id": "a", "kind": "tool", "tool": "upper", "arguments": {"text": ["{{ secrets.key }}"]}}]),
        [("invalid_placeholder", "a")],
    ),
    "no nodes": (_agent([]), [("invalid", "nodes")]),
    "too many nodes": (_agent([{**A, "id": f"a{n}"} for n in range(65)]), [("too_large", "nodes")]),
    "too large": (_agent([A], name="x" * 140_000), [("too_large", "")]),
    "reserved id": (_agent([{**A, "id": "__start__"}]), [("invalid", "nodes.0.template.id")]),
    "thousands of unknown keys": (
        _agent([A], **{f"k{n}": 1 for n in range(9000)}),
        [("invalid", f"k{n}") for n in range(50)],
    ),
    "unknown key": (_agent([A], code="import os"), [("invalid", "code")]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_definition(client: httpx.Client, name: str) -> None:
    """Each fault is named with a code and its place, before anything is stored or run."""
    definition, problems = REFUSED[name]
    answer = client.post("/api/tasks", json={"agent_definition": definition})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "definition_refused")
    assert [(p["code"], p["where"]) for p in error["details"]["problems"]] == problems


def test_refused_definition_in_an_event(service: Service, bus: Bus) -> None:
    """An event with such a definition fails its job with the same structured error."""
    definition = _agent([A, B])
    outcome = bus.outcome(bus.execute(execute_data(definition)))

    message = "node 'b' cannot be reached from 'a'"
    problem = {"code": "unreachable_node", "where": "b", "message": message}
    assert outcome["state"] == "failed"
    assert outcome["error"] == {
        "code": "definition_refused",
        "message": f"the agent definition was refused: {message}",
        "details": {"problems": [problem]},
    }


def test_stored_agents_are_checked_too(client: httpx.Client) -> None:
    """An agent that could never run cannot be stored."""
    answer = client.post("/api/agents", json={"name": "broken", "definition": {**ECHO, "entry": "elsewhere"}})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "definition_refused")

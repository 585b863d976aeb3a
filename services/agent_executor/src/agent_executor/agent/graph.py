"""The LangGraph graph of a checked definition."""

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent_executor.agent.definition import END, AgentDefinition, Edge, leaves
from agent_executor.agent.llm import Model
from agent_executor.agent.nodes import State, function_of, scope_of

Graph = CompiledStateGraph[State, None, State, State]


def build(definition: AgentDefinition, model: Model, checkpointer: BaseCheckpointSaver[str]) -> Graph:
    """A graph whose every step is checkpointed."""
    builder = StateGraph(State)
    for node in definition.nodes:
        builder.add_node(node.id, function_of(node, model))
    assert definition.entry is not None, "parse() refuses a definition without an entry"
    builder.add_edge(START, definition.entry)
    for node in definition.nodes:
        _connect(builder, definition, node.id)
    return builder.compile(checkpointer=checkpointer)


def _connect(builder: StateGraph[State, None, State, State], definition: AgentDefinition, source: str) -> None:
    edges = [edge for edge in definition.edges if edge.source == source]
    if any(edge.when for edge in edges):
        builder.add_conditional_edges(source, _router(edges), sorted(set(leaves(definition, source))))
        return
    for target in {edge.target for edge in edges} or {END}:
        builder.add_edge(source, target)


def _router(edges: list[Edge]) -> Any:
    """The first edge whose condition holds; the one without a condition is the default, else the end."""
    default: str = next((edge.target for edge in edges if edge.when is None), END)

    def route(state: State) -> str:
        scope = scope_of(state)
        chosen = (edge.target for edge in edges if edge.when is not None and edge.when.holds(scope))
        return next(chosen, default)

    return route

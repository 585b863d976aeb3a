"""The definition of an agent, and every fault that one can have, found before it runs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agent_executor import jsonsafe
from agent_executor.agent import templates
from agent_executor.agent.tools import TOOLS
from agent_executor.errors import DefinitionRefusedError

END = "__end__"
MAX_NODES = 64
MAX_EDGES = 256
MAX_BYTES = 128 * 1024
MAX_PROBLEMS = 50

NodeId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Template = Annotated[str, Field(max_length=32_000)]
Problem = dict[str, str]


class Strict(BaseModel):
    """Unknown keys are mistakes, not extensions."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelNode(Strict):
    """Asks the model; may let it call built-in tools."""

    id: NodeId
    kind: Literal["model"]
    prompt: Template
    system: Template | None = None
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    tools: Annotated[list[str], Field(max_length=16)] = []


class ToolNode(Strict):
    """Calls one built-in tool."""

    id: NodeId
    kind: Literal["tool"]
    tool: str
    arguments: dict[str, JsonValue] = {}


class TemplateNode(Strict):
    """Fills a text with values."""

    id: NodeId
    kind: Literal["template"]
    template: Template


Node = Annotated[ModelNode | ToolNode | TemplateNode, Field(discriminator="kind")]


class Condition(Strict):
    """A comparison of one value in the state."""

    path: Annotated[str, Field(pattern=templates.PATH.pattern, max_length=500)]
    op: Literal["equals", "not_equals", "contains", "exists"] = "equals"
    value: JsonValue = None

    def holds(self, scope: dict[str, Any]) -> bool:
        """A missing value equals nothing and contains nothing."""
        found, value = templates.find(self.path, scope)
        if self.op == "exists":
            return found
        if self.op == "not_equals":
            return not found or value != self.value
        if self.op == "equals":
            return found and value == self.value
        if isinstance(value, str):
            return templates.as_text(self.value) in value
        if isinstance(value, dict):
            return isinstance(self.value, str) and self.value in value
        return isinstance(value, list) and self.value in value


class Edge(Strict):
    """A step from one node to the next; with `when`, only if the condition holds."""

    source: NodeId
    target: NodeId | Literal["__end__"]
    when: Condition | None = None


class AgentDefinition(Strict):
    """A small graph: where it starts, what its nodes do, what follows what."""

    name: Annotated[str, Field(max_length=200)] = "agent"
    entry: NodeId | None = None
    nodes: Annotated[list[Node], Field(min_length=1, max_length=MAX_NODES)]
    edges: Annotated[list[Edge], Field(max_length=MAX_EDGES)] = []
    output: NodeId | None = None
    max_steps: Annotated[int, Field(ge=1, le=200)] = 100
    timeout_s: Annotated[float, Field(gt=0)] | None = None


def parse(raw: Any) -> AgentDefinition:
    """A definition that can be built, or DefinitionRefusedError with every problem found."""
    if len(jsonsafe.dumps(raw)) > MAX_BYTES:
        raise DefinitionRefusedError([_problem("too_large", "", f"the definition is larger than {MAX_BYTES} bytes")])
    try:
        definition = AgentDefinition.model_validate(raw)
    except ValidationError as exc:
        raise DefinitionRefusedError([_from_pydantic(dict(e)) for e in exc.errors()[:MAX_PROBLEMS]]) from None
    if problems := list(islice(_problems(definition), MAX_PROBLEMS)):
        raise DefinitionRefusedError(problems)
    return definition


def _problem(code: str, where: str, message: str) -> Problem:
    # Bounded, because the problems travel in a message of bounded size; the names in them are the client's.
    return {"code": code, "where": where[:200], "message": message[:500]}


def _from_pydantic(error: dict[str, Any]) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kind = error["ctx"].get("tag")
        return _problem("unknown_kind", where, f"{where}: kind {kind!r} is not one of model, tool, template")
    code = "too_large" if error["type"] == "too_long" else "invalid"
    return _problem(code, where, f"{where}: {error['msg']}")


def _problems(definition: AgentDefinition) -> Iterator[Problem]:
    ids = [node.id for node in definition.nodes]
    for node_id, count in Counter(ids).items():
        if count > 1:
            yield _problem("duplicate_node", node_id, f"node '{node_id}' is defined {count} times")
    for node in definition.nodes:
        yield from _node_problems(node)
    names = [*_named_nodes(definition)]
    unknown = [(code, where, name) for code, where, name in names if name not in ids]
    for code, where, name in unknown:
        yield _problem(code, where, f"{where} names node '{name}', which does not exist")
    if definition.entry is None:
        yield _problem("no_entry", "entry", "no entry node is named")
    if definition.entry is not None and not unknown:
        yield from _shape_problems(definition, definition.entry)


def _named_nodes(definition: AgentDefinition) -> Iterator[tuple[str, str, str]]:
    if definition.entry is not None:
        yield "unknown_entry", "entry", definition.entry
    if definition.output is not None:
        yield "unknown_output", "output", definition.output
    for number, edge in enumerate(definition.edges):
        yield "dangling_edge", f"edges.{number}.source", edge.source
        if edge.target != END:
            yield "dangling_edge", f"edges.{number}.target", edge.target


def _node_problems(node: ModelNode | ToolNode | TemplateNode) -> Iterator[Problem]:
    used = node.tools if isinstance(node, ModelNode) else [node.tool] if isinstance(node, ToolNode) else []
    for tool in used:
        if tool not in TOOLS:
            known = ", ".join(TOOLS)
            yield _problem("unknown_tool", node.id, f"node '{node.id}': tool '{tool}' is not one of {known}")
    for path in templates.bad_placeholders(node.model_dump(exclude={"id", "kind", "tool", "tools"})):
        message = f"node '{node.id}': placeholder '{path}' must start with input or outputs"
        yield _problem("invalid_placeholder", node.id, message)


def _shape_problems(definition: AgentDefinition, entry: str) -> Iterator[Problem]:
    ids = [node.id for node in definition.nodes]
    forward = {node_id: [e.target for e in definition.edges if e.source == node_id] for node_id in ids}
    reachable = _closure([entry], forward)
    for node_id in ids:
        if node_id not in reachable:
            yield _problem("unreachable_node", node_id, f"node '{node_id}' cannot be reached from '{entry}'")
    backward: dict[str, list[str]] = {}
    for node_id in ids:
        for target in leaves(definition, node_id):
            backward.setdefault(target, []).append(node_id)
    ending = _closure([END], backward)
    for node_id in ids:
        if node_id not in ending:
            yield _problem("cycle_without_exit", node_id, f"from node '{node_id}' the end cannot be reached")
    for node_id in ids:
        plain = [e for e in definition.edges if e.source == node_id and e.when is None]
        if len(plain) > 1 and len(plain) < len(forward[node_id]):
            message = f"node '{node_id}' mixes conditional edges with more than one default"
            yield _problem("ambiguous_edges", node_id, message)


def leaves(definition: AgentDefinition, node_id: str) -> list[str]:
    """List the nodes that a node can lead to. Without an edge, or with conditions only, it can lead to the end."""
    edges = [edge for edge in definition.edges if edge.source == node_id]
    always = any(edge.when is None for edge in edges)
    return [edge.target for edge in edges] + ([] if always else [END])


def _closure(start: Iterable[str], steps: dict[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    pending = list(start)
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending += steps.get(node, [])
    return seen

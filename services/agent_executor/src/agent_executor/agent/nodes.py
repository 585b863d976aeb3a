"""The three kinds of node in a graph, and how each runs."""

import json
from collections.abc import Awaitable
from typing import Annotated, Any, Protocol, TypedDict

from langgraph.config import get_stream_writer

from agent_executor import jsonsafe
from agent_executor.agent import templates
from agent_executor.agent.definition import ModelNode, TemplateNode, ToolNode
from agent_executor.agent.llm import Model
from agent_executor.agent.tools import TOOLS
from agent_executor.errors import JobFailedError

MAX_OUTPUT_BYTES = 256 * 1024
MAX_TOOL_ROUNDS = 8

# The keys start with an underscore, which a node id cannot, because LangGraph keeps both in one namespace.


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {**left, **right}


def _latest(_left: str, right: str) -> str:
    return right


class State(TypedDict):
    """The state of a graph that is checkpointed between steps."""

    _input: dict[str, Any]
    _outputs: Annotated[dict[str, Any], _merge]
    _last: Annotated[str, _latest]


class NodeFunction(Protocol):
    """A node as LangGraph calls it."""

    def __call__(self, state: State) -> Awaitable[dict[str, Any]]: ...


def scope_of(state: State) -> dict[str, Any]:
    """The values templates and conditions can name."""
    return {"input": state["_input"], "outputs": state.get("_outputs", {})}


def function_of(node: ModelNode | ToolNode | TemplateNode, model: Model) -> NodeFunction:
    """The LangGraph node that does what the definition says."""

    async def run(state: State) -> dict[str, Any]:
        try:
            output = await _output_of(node, scope_of(state), model)
            _check(output)
        except JobFailedError as exc:
            exc.details.setdefault("node", node.id)
            raise
        return {"_outputs": {node.id: output}, "_last": node.id}

    return run


async def _output_of(node: ModelNode | ToolNode | TemplateNode, scope: dict[str, Any], model: Model) -> Any:
    if isinstance(node, TemplateNode):
        return templates.render(node.template, scope)
    if isinstance(node, ToolNode):
        return _call_tool(node.id, node.tool, templates.fill(node.arguments, scope))
    return await _converse(node, scope, model)


async def _converse(node: ModelNode, scope: dict[str, Any], model: Model) -> str:
    """Ask, run the tools the model calls for, and ask again until it answers in words."""
    messages: list[dict[str, Any]] = []
    if node.system is not None:
        messages.append({"role": "system", "content": templates.render(node.system, scope)})
    messages.append({"role": "user", "content": templates.render(node.prompt, scope)})
    write = get_stream_writer()

    async def on_token(text: str) -> None:
        write({"event": "token", "node": node.id, "text": text})

    for _ in range(MAX_TOOL_ROUNDS):
        reply = await model.ask(_request(node, messages, model), on_token)
        write({"event": "model_answered", "node": node.id, "usage": reply.usage, "reason": reply.finish_reason})
        if not reply.tool_calls:
            return reply.text
        messages.append({"role": "assistant", "content": reply.text or None, "tool_calls": reply.tool_calls})
        messages += [_tool_message(node, call) for call in reply.tool_calls]
    raise JobFailedError("too_many_tool_rounds", f"the model called tools {MAX_TOOL_ROUNDS} times without an answer")


def _request(node: ModelNode, messages: list[dict[str, Any]], model: Model) -> dict[str, Any]:
    request: dict[str, Any] = {"model": node.model or model.default_model, "messages": messages}
    if node.temperature is not None:
        request["temperature"] = node.temperature
    if node.max_tokens is not None:
        request["max_completion_tokens"] = node.max_tokens
    if node.tools:
        request["tools"] = [TOOLS[name].specification() for name in node.tools]
    return request


def _tool_message(node: ModelNode, call: dict[str, Any]) -> dict[str, Any]:
    """Run one tool call. A failing tool is told to the model, which may do better with its next call."""
    name, text = call["function"]["name"], call["function"]["arguments"]
    try:
        result = _call_offered(node, name, jsonsafe.loads(text.encode("utf-8")))
    except (JobFailedError, ValueError) as exc:
        result = {"error": str(exc)}
    return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result, ensure_ascii=False)}


def _call_offered(node: ModelNode, name: str, arguments: Any) -> Any:
    if name not in node.tools:
        raise JobFailedError("unknown_tool", f"tool '{name}' was not offered")
    return _call_tool(node.id, name, arguments)


def _call_tool(node_id: str, name: str, arguments: Any) -> Any:
    result = TOOLS[name].call(arguments)
    get_stream_writer()({"event": "tool_called", "node": node_id, "tool": name, "result": result})
    return result


def _check(output: Any) -> None:
    try:
        size = len(jsonsafe.dumps(jsonsafe.storable(output)))
    except ValueError as exc:
        raise JobFailedError("output_invalid", f"a node's output cannot be stored: {exc}") from None
    if size > MAX_OUTPUT_BYTES:
        message = f"a node's output has {size} bytes, more than {MAX_OUTPUT_BYTES}"
        raise JobFailedError("output_too_large", message)

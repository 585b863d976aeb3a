"""The built-in tools: pure, bounded functions. An agent cannot bring its own code."""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agent_executor.agent import templates
from agent_executor.errors import JobFailedError
from agent_executor.jsonsafe import MAX_INTEGER

Text = Annotated[str, Field(max_length=64_000)]


class Arguments(BaseModel):
    """Arguments of a tool: known names only."""

    model_config = ConfigDict(extra="forbid")


class CalculatorArguments(Arguments):
    expression: Annotated[str, Field(max_length=500, description="Arithmetic with + - * / // % ** and brackets")]


class JsonGetArguments(Arguments):
    document: Annotated[JsonValue, Field(description="Any JSON value")]
    path: Annotated[str, Field(max_length=500, description="Dotted path, such as items.0.name")]


class TextArguments(Arguments):
    text: Text


@dataclass(frozen=True)
class Tool:
    """A tool as nodes and models see it."""

    name: str
    description: str
    arguments: type[Arguments]
    function: Callable[[Any], Any]

    def call(self, arguments: Any) -> Any:
        """Validate the arguments and run; every fault is a JobFailedError naming the tool."""
        try:
            return self.function(self.arguments.model_validate(arguments))
        except ValidationError as exc:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
            raise self._failed("; ".join(problems)) from None
        except (ArithmeticError, ValueError) as exc:
            raise self._failed(str(exc)) from None

    def specification(self) -> dict[str, Any]:
        """Describe this tool to the model."""
        parameters = self.arguments.model_json_schema()
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": parameters},
        }

    def _failed(self, reason: str) -> JobFailedError:
        return JobFailedError("tool_failed", f"tool '{self.name}' failed: {reason}", tool=self.name)


def _calculate(arguments: CalculatorArguments) -> int | float:
    try:
        value: int | float = _evaluate(ast.parse(arguments.expression, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("the expression cannot be read") from None
    return value if isinstance(value, float) or abs(value) < MAX_INTEGER else float(value)


def _power(base: float, exponent: float) -> Any:
    # Unbounded, `9**9**9` alone would occupy the process for hours.
    if abs(exponent) > 64 or abs(base) > 1e12:
        raise ValueError("the power is too large")
    return base**exponent


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](_evaluate(node.operand))
    else:
        raise ValueError("only numbers and + - * / // % ** are allowed")
    if not isinstance(value, int | float) or abs(value) > 1e300:
        raise ValueError("the result is not a number in range")
    return value


def _json_get(arguments: JsonGetArguments) -> Any:
    found, value = templates.find(arguments.path, arguments.document)
    if not found:
        raise ValueError(f"there is no value at '{arguments.path}'")
    return value


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("calculator", "Evaluate an arithmetic expression.", CalculatorArguments, _calculate),
        Tool("json_get", "Take one value out of a JSON document.", JsonGetArguments, _json_get),
        Tool("word_count", "Count the words of a text.", TextArguments, lambda a: len(a.text.split())),
        Tool("upper", "Turn a text into capital letters.", TextArguments, lambda a: a.text.upper()),
    )
}

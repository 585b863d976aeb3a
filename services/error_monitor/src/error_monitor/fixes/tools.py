"""The tools of the model: three ways to read a checkout, and one to answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from error_monitor.fixes.checkout import Checkout, UnreadableError
from error_monitor.fixes.records import Answer, Edit

ANSWER = "submit"
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 1}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Read(_Strict):
    path: str = Field(max_length=300)
    first_line: int = Field(1, ge=1, le=1_000_000)
    last_line: int = Field(400, ge=1, le=1_000_000)


class _Search(_Strict):
    text: str = Field(max_length=200)
    folder: str = Field("", max_length=300)


class _List(_Strict):
    folder: str = Field("", max_length=300)


class _File(_Strict):
    path: str = Field(max_length=300)
    content: str = Field(max_length=200_000)


class _Submitted(_Strict):
    cause: str = Field(min_length=1, max_length=4000)
    confidence: Literal["low", "medium", "high"]
    test: _File | None = None
    patch: list[_File] = Field(default_factory=list, max_length=20)


_FILE = {
    "type": "object",
    "properties": {"path": _TEXT, "content": _TEXT},
    "required": ["path", "content"],
    "additionalProperties": False,
}


def _tool(name: str, description: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {"name": name, "description": description, "input_schema": schema}


TOOLS = [
    _tool(
        "read_file",
        "Numbered lines of one file of the repository.",
        {"path": _TEXT, "first_line": _NUMBER, "last_line": _NUMBER},
        "path",
    ),
    _tool("search", "Every line that contains a text, literally.", {"text": _TEXT, "folder": _TEXT}, "text"),
    _tool("list", "The files below a folder.", {"folder": _TEXT}),
    _tool(
        ANSWER,
        "Your only answer: the root cause, and with medium or high confidence a new test that fails on this commit with"
        " the same exception, and the whole new content of each changed file.",
        {
            "cause": _TEXT,
            "confidence": {"type": "string", "enum": ["low", "medium", "high"]},
            "test": _FILE,
            "patch": {"type": "array", "items": _FILE},
        },
        "cause",
        "confidence",
    ),
]


def use(checkout: Checkout, name: str, given: Any) -> str:
    """The text that a tool answers. An argument that fits nothing is told to the model; it never leads anywhere."""
    try:
        if name == "read_file":
            asked = _Read.model_validate(given)
            return checkout.read(asked.path, asked.first_line, asked.last_line)
        if name == "search":
            wanted = _Search.model_validate(given)
            return checkout.search(wanted.text, wanted.folder)
        if name == "list":
            return checkout.listing(_List.model_validate(given).folder)
    except UnreadableError as exc:
        return f"refused: {exc}"
    except ValidationError:
        return "refused: the arguments do not fit the tool"
    return "refused: there is no such tool"


def submitted(given: Any) -> Answer:
    """The answer in our shape.

    Raises:
        ValueError: It does not fit; pydantic's error is one.
    """
    found = _Submitted.model_validate(given)
    return Answer(
        cause=found.cause,
        confidence=found.confidence,
        test=Edit(path=found.test.path, content=found.test.content) if found.test else None,
        patch=tuple(Edit(path=one.path, content=one.content) for one in found.patch),
    )

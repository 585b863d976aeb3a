"""Errors of a manifest in words: the key, the mistake, and the nearest valid name."""

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from testbay.manifest.fields import SHAPES
from testbay.manifest.service import Manifest
from testbay.text import nearest

_FORMS = {  # of what TOML knows, in its own words
    "list_type": 'write a list: ["…"]',
    "model_type": "write a table: { … = … }",
    "model_attributes_type": "write a table: { … = … }",
    "dict_type": "write a table: { … = … }",
    "string_type": 'write a text: "…"',
    "int_type": "write a whole number, without quotes",
    "float_type": "write a number, without quotes",
    "bool_type": "write true or false, without quotes",
    "missing": "is missing",
    "too_short": "the list is empty",
}
_EITHER = {  # keys that hold one of two kinds, of which pydantic reports each
    "compose": 'write the name of a file, or a list of names: ["…"]',
    "workers": 'write "auto", or a whole number from 1 to 256',
}
_ELSEWHERE = {  # how other tools call a key of a check, and how it is written here
    **dict.fromkeys(("path", "url", "uri", "endpoint", "method", "GET"), ("get", 'get = "/…"')),
    **dict.fromkeys(("status", "status_code", "code", "assert"), ("expect", 'expect = ["status == 200"]')),
    "name": ("id", 'id = "…"'),
    "interval": ("every", 'every = "60s"'),
    "retries": ("attempts", "attempts = 3"),
    "body": ("json", "json = { … = … } or form = { … = … }"),
}
_NAMED = (("target",), ("watch", "tell"))  # tables of tables, each with a name that people choose
OF_CHECKS = ("defaults", "target", "watch", "check")  # the keys that checks.CheckTables knows


def explain(error: ValidationError) -> str:
    """Describe a fault: the key, what is wrong, and the nearest valid name."""
    fault = _fault(error)
    location = list(fault["loc"])
    if location[:1] == ["check"]:
        del location[2:3]  # pydantic names a check's kind, which is not a key
    if location and location[0] in _EITHER:
        return f"{location[0]}: {_EITHER[str(location[0])]}"
    key = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        keys = _keys(fault["loc"])
        ours, how = _ELSEWHERE.get(str(fault["loc"][-1]), ("", ""))
        if ours == "expect" and "get" not in keys:
            how = 'expect = ["…"], a list of conditions'  # what answers has no status
        if location[0] == "check" and ours in keys:
            return f"unknown key {key!r}: write {how}"
        meant = nearest(str(fault["loc"][-1]), keys) or f"; known: {', '.join(keys)}"
        return f"unknown key {key!r}{meant}"
    if fault["type"] == "union_tag_not_found":
        return f'{key}: kind is missing, e.g. kind = "http"'
    if fault["type"] == "union_tag_invalid":
        kind, known = str(fault["ctx"]["tag"]), fault["ctx"]["expected_tags"].replace("'", "")
        return f"{key}: unknown kind {kind!r}{nearest(kind, known.split(', '))}; known: {known}"
    message = _brackets(fault, location) or _span(fault)
    message = message or SHAPES.get(fault.get("ctx", {}).get("pattern", ""), "") or _FORMS.get(fault["type"], "")
    message = message or re.sub("^(Input|String) should", "it should", fault["msg"].removeprefix("Value error, "))
    return f"{key}: {message}" if key else message


def _span(fault: Any) -> str:
    """Say how long a duration may be, in the unit of durations; empty if it is another fault."""
    words = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
    if fault["type"] not in words or not isinstance(fault["input"], str):
        return ""
    how, key = words[fault["type"]]
    limit_s = fault["ctx"][key]
    hours, rest_s = divmod(limit_s, 3600)
    return f"{fault['input']!r} should be {how} {f'{limit_s:g}s' if rest_s else f'{hours:g}h'}"


def _brackets(fault: Any, location: list[Any]) -> str:
    """Say how a table's head is written; empty if it is not the head that is wrong."""
    path = tuple(part for part in location if isinstance(part, str))
    is_list = fault["type"] == "list_type" and isinstance(fault["input"], dict)
    if is_list and _keys((*fault["loc"], "")) != _keys(fault["loc"]):  # of tables: they have keys of their own
        return f"write [[{'.'.join(path)}]] with two brackets, as there may be several"
    named = next((head for head in _NAMED if path in (head, (*head, *path[-1:]))), None)
    if named and fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"write [{'.'.join(named)}.NAME], as each has a name of its own"
    return ""


def of_check(error: ValidationError, table: dict[str, Any]) -> str:
    """Name the check of an error, so that no one has to count checks."""
    match _fault(error)["loc"]:
        case ("check", int(number), *_) if isinstance(table["check"][number], dict):
            name = table["check"][number].get("id")
            return f" (the check {name!r})" if isinstance(name, str) else ""
    return ""


def _fault(error: ValidationError) -> Any:
    """Choose the error to report: a misspelt key rather than the key that is missing because of it."""
    return min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys at the place of an unknown one."""
    models: list[Any] = [Manifest]
    if location[0] in OF_CHECKS:
        from testbay.manifest import checks

        models = [checks.CheckTables]
    for part in location[:-1]:
        tagged = [
            model for model in models if part in get_args(getattr(model.model_fields.get("kind"), "annotation", None))
        ]
        fields = [field for model in models for name, field in model.model_fields.items() if name == part]
        models = [model for field in fields for model in _models(field.annotation)] or tagged or models
    known = [(name, field.alias) for model in models for name, field in model.model_fields.items()]
    return [alias or name for name, alias in known if name not in ("file", "root")]


def _models(annotation: Any) -> list[Any]:
    """All tables that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]

"""The variables that a web framework copies into the app's `config`: Sanic's SANIC_…, `from_prefixed_env()`."""

import ast
from collections.abc import Iterator

from testbay.init.project import Project, Source
from testbay.init.syntax import assignments, calls, keywords, last, owner, text_of
from testbay.init.variable import Read

_URI = "SQLALCHEMY_DATABASE_URI"  # which Flask-SQLAlchemy reads from the app's `config`


def reads(project: Project) -> Iterator[Read]:
    """Find the variables: each prefix that is copied, with the keys that the program takes from `config`."""
    prefixes = dict(pair for source in project.code for pair in _prefixes(source))
    if project.has("flask-sqlalchemy"):
        yield from (
            Read(name=f"{prefix}{_URI}", default="", required=False, where=at) for prefix, at in prefixes.items()
        )
    for source in project.code if prefixes else ():
        for key, where in _keys(source):
            yield from (Read(name=f"{prefix}{key}", default="", required=False, where=where) for prefix in prefixes)


def _prefixes(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the prefixes of the variables that a module has copied, each with its place."""
    for call in calls(source.nodes):
        place = f"{source.path}:{call.lineno}"
        if last(call.func) == "from_prefixed_env":
            prefix = call.args[0] if call.args else keywords(call).get("prefix")
            named = text_of(prefix) if prefix else "QUART" if "quart" in source.imports else "FLASK"
            yield f"{named}_", place
        elif last(call.func) == "Sanic":
            given = keywords(call).get("env_prefix")
            yield text_of(given) if given else "SANIC_", place


def _keys(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the keys of `app.config["DB"]["HOST"]`, which is DB__HOST, `app.config.get("DB")` and `app.config.DB`."""
    names = {last(target) for target, value in assignments(source.nodes) if last(value) == "config"} | {"config"}
    for node in source.nodes:
        key = _key(node, names)
        if key and key.isupper():
            yield key, f"{source.path}:{getattr(node, 'lineno', 0)}"


def _key(node: ast.AST, names: set[str]) -> str:
    match node:
        case ast.Attribute(value=held, attr=key) if last(held) in names:
            return key
        case ast.Call(args=[key, *_]) if last(node.func) == "get" and owner(node) in names:
            return text_of(key)
        case ast.Subscript(value=held, slice=key) if last(held) in names:
            return text_of(key)
        case ast.Subscript(value=ast.Subscript() as held, slice=key) if above := _key(held, names):
            return f"{above}__{text_of(key)}"
    return ""

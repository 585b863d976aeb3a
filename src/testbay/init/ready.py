"""The path of an app that answers GET when it is ready."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from testbay.init.project import Project, Source, once
from testbay.init.syntax import calls, keywords, last, text_of

# Words of their own: /shipping and /deliveries are the program's business.
_HEALTH = re.compile(
    r"(?<![a-z])(?:health|ready|readiness|a?live(?:ness)?z?(?![a-z])|ping(?![a-z])|status|heartbeat)", re.IGNORECASE
)
_OWNERS = ("app", "application", "api")
_PARTS = ("APIRouter", "Blueprint")
_JOINS = ("include_router", "register_blueprint", "blueprint")  # the last one is Sanic's
_PREFIXES = {"prefix", "url_prefix"}


@dataclass(frozen=True, kw_only=True)
class App:
    """An app at the top of a module: its name, the class it is of, and the call that makes it.

    With `factory` the name is that of a function that returns it.
    """

    source: Source
    name: str
    kind: str
    call: ast.Call
    factory: bool = False


def ready(project: Project, app: App) -> tuple[str, str]:
    """A path about health before any other, and where it stands; both empty where none is known to answer."""
    routes = [route for source in project.code for route in _of_decorators(source, _owners(project, source))]
    routes += _of_litestar(app) if app.kind == "Litestar" else []
    routes += [route for source in project.code for route in _of_starlette(source)] if app.kind == "Starlette" else []
    healthy = [route for route in routes if _HEALTH.search(route[0])]
    page = _own_page(app.kind, keywords(app.call))
    return (healthy or page or routes or [("", "")])[0]


def is_healthy(path: str) -> bool:
    """Return whether a path is about the program's health."""
    return bool(_HEALTH.search(path))


def _own_page(kind: str, options: dict[str, ast.expr]) -> list[tuple[str, str]]:
    """The page with which a framework describes the app, where the app's options leave it at a known place."""
    page = ""
    if kind == "Litestar" and "openapi_config" not in options:
        page = "/schema/openapi.json"
    elif kind == "FastAPI":
        said = options.get("openapi_url", ast.Constant("/openapi.json"))
        page = text_of(said)
        if not isinstance(said, ast.Constant) and "docs_url" not in options:
            page = "/docs"  # which is there whatever the other one is called
    return [(page, f"{kind}'s own page")] if page else []


def _owners(project: Project, source: Source) -> set[str]:
    """The names on which a module declares its routes: an app's, and those of parts that no prefix moves."""
    owners, all_moved = set(_OWNERS) - mounted(project), _prefixed(project)
    for name, call in _assigned(source, _PARTS):
        owners = owners - {name} if all_moved or _PREFIXES & keywords(call).keys() else owners | {name}
    return owners


@once
def mounted(project: Project) -> set[str]:
    """The names of apps that another one mounts below a path."""
    mounts = [call for call in _calls(project) if last(call.func) in ("mount", "Mount") and not _at_root(call)]
    return {last(given) for call in mounts for given in (*call.args, *keywords(call).values())}


def _at_root(call: ast.Call) -> bool:
    path = call.args[0] if call.args else keywords(call).get("path")
    return isinstance(path, ast.Constant) and path.value in ("", "/")


@once
def _prefixed(project: Project) -> bool:
    """Return whether a prefix moves parts: that of the call that joins one, or of the part that it is joined to."""
    joins = [call for call in _calls(project) if last(call.func) in _JOINS]
    parts = [pair for source in project.code for pair in _assigned(source, _PARTS)]
    prefixed = {name for name, call in parts if _PREFIXES & keywords(call).keys()}
    owners = {last(join.func.value) for join in joins if isinstance(join.func, ast.Attribute)}
    return any(_PREFIXES & keywords(join).keys() for join in joins) or bool(owners & prefixed)


def _calls(project: Project) -> Iterator[ast.Call]:
    for source in project.code:
        yield from source.of(ast.Call)


def _assigned(source: Source, kinds: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    """List the names to which a module assigns a call of one of these, and the calls."""
    for target, value in source.assignments:
        if isinstance(value, ast.Call) and last(value.func) in kinds:
            yield last(target), value


def _of_decorators(source: Source, owners: set[str]) -> Iterator[tuple[str, str]]:
    """List the paths of `@app.get("/path")` and `@app.route("/path")`."""
    for call in calls(decorator for node in source.nodes for decorator in getattr(node, "decorator_list", [])):
        match call.func:
            case ast.Attribute(attr="get" | "route", value=owner) if last(owner) in owners:
                yield from _path(call, source)


def _of_starlette(source: Source) -> Iterator[tuple[str, str]]:
    """List the paths of `Route("/path", …)` that no Mount moves."""
    moved = {part for call in source.of(ast.Call) if last(call.func) == "Mount" for part in ast.walk(call)}
    for call in source.of(ast.Call):
        if last(call.func) == "Route" and call not in moved:
            yield from _path(call, source)


def _of_litestar(app: App) -> Iterator[tuple[str, str]]:
    """List the paths of the functions that the app names as its handlers."""
    options = keywords(app.call)
    names = {*_unmoved(options["route_handlers"])} if "route_handlers" in options and "path" not in options else set()
    for function in app.source.functions:
        for call in calls(function.decorator_list) if function.name in names else ():
            yield from _path(call, app.source) if last(call.func) == "get" else ()


def _unmoved(handlers: ast.AST) -> Iterator[str]:
    """List the names in a value, except those in a Router with a path of its own."""
    if isinstance(handlers, ast.Name):
        yield handlers.id
    if not isinstance(handlers, ast.Call) or "path" not in keywords(handlers):
        for part in ast.iter_child_nodes(handlers):
            yield from _unmoved(part)


def _path(call: ast.Call, source: Source) -> Iterator[tuple[str, str]]:
    """The path that a call declares for GET, if it has no parameters."""
    methods = ast.unparse(keywords(call).get("methods", ast.Constant("GET")))
    text = text_of(call.args[0]) if call.args and "GET" in methods.upper() else ""
    if text.startswith("/") and not set("{<") & set(text):
        yield text, source.at(call)

"""The path of an app that answers GET when it is ready."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from testbay.init.project import Project, Source
from testbay.init.variable import last, text_of

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
    page = _own_page(app.kind, _options(app.call))
    return (healthy or page or routes or [("", "")])[0]


def is_healthy(path: str) -> bool:
    """Return whether a path is about the program's health."""
    return bool(_HEALTH.search(path))


def _options(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg}


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
        owners = owners - {name} if all_moved or _PREFIXES & _options(call).keys() else owners | {name}
    return owners


def mounted(project: Project) -> set[str]:
    """The names of apps that another one mounts below a path."""
    if "mounted" not in project.known:
        mounts = [call for call in _calls(project) if last(call.func) in ("mount", "Mount") and not _at_root(call)]
        project.known["mounted"] = {last(given) for call in mounts for given in (*call.args, *_options(call).values())}
    return set(project.known["mounted"])


def _at_root(call: ast.Call) -> bool:
    path = call.args[0] if call.args else _options(call).get("path")
    return isinstance(path, ast.Constant) and path.value in ("", "/")


def _prefixed(project: Project) -> bool:
    """Return whether a prefix moves parts: that of the call that joins one, or of the part that it is joined to."""
    if "prefixed" not in project.known:
        joins = [call for call in _calls(project) if last(call.func) in _JOINS]
        parts = [pair for source in project.code for pair in _assigned(source, _PARTS)]
        prefixed = {name for name, call in parts if _PREFIXES & _options(call).keys()}
        owners = {last(join.func.value) for join in joins if isinstance(join.func, ast.Attribute)}
        by_call = any(_PREFIXES & _options(join).keys() for join in joins)
        project.known["prefixed"] = by_call or bool(owners & prefixed)
    return bool(project.known["prefixed"])


def _calls(project: Project) -> Iterator[ast.Call]:
    yield from (node for source in project.code for node in source.nodes if isinstance(node, ast.Call))


def _assigned(source: Source, kinds: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    """List the names to which a module assigns a call of one of these, and the calls."""
    for node in source.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield from [(last(target), node.value)] if last(node.value.func) in kinds else []


def _of_decorators(source: Source, owners: set[str]) -> Iterator[tuple[str, str]]:
    """List the paths of `@app.get("/path")` and `@app.route("/path")`."""
    calls = [call for node in source.nodes for call in getattr(node, "decorator_list", [])]
    for call in calls:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and last(call.func.value) in owners:
            yield from _path(call, source) if call.func.attr in ("get", "route") else ()


def _of_starlette(source: Source) -> Iterator[tuple[str, str]]:
    """List the paths of `Route("/path", …)` that no Mount moves."""
    calls = [node for node in source.nodes if isinstance(node, ast.Call)]
    moved = {part for call in calls if last(call.func) == "Mount" for part in ast.walk(call)}
    for call in calls:
        yield from _path(call, source) if last(call.func) == "Route" and call not in moved else ()


def _of_litestar(app: App) -> list[tuple[str, str]]:
    """List the paths of the functions that the app names as its handlers."""
    options = _options(app.call)
    handlers = [options["route_handlers"]] if "route_handlers" in options and "path" not in options else []
    moved = {part for one in handlers for node in ast.walk(one) if _is_prefixed(node) for part in ast.walk(node)}
    named = {last(part) for one in handlers for part in {*ast.walk(one)} - moved if isinstance(part, ast.Name)}
    functions = [node for node in app.source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    calls = [call for one in functions if one.name in named for call in one.decorator_list]
    gets = [call for call in calls if isinstance(call, ast.Call) and last(call.func) == "get"]
    return [route for call in gets for route in _path(call, app.source)]


def _is_prefixed(node: ast.AST) -> bool:
    """Return whether a value is a Router with a path of its own."""
    return isinstance(node, ast.Call) and "path" in _options(node)


def _path(call: ast.Call, source: Source) -> Iterator[tuple[str, str]]:
    """The path that a call declares for GET, if it has no parameters."""
    methods = ast.unparse(_options(call).get("methods", ast.Constant("GET")))
    text = text_of(call.args[0]) if call.args and "GET" in methods.upper() else ""
    if text.startswith("/") and not set("{<") & set(text):
        yield text, f"{source.path}:{call.lineno}"

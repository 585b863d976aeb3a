"""The start of a project's service, and the path that answers when it is ready."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from testbay.init.project import ASIDE, Finding, Project, Source

_ASGI = ("FastAPI", "Starlette", "Litestar", "Quart", "Sanic")
_FACTORIES = ("create_app", "make_app", "build_app", "get_app", "app_factory")
# Words of their own: /shipping and /deliveries are the program's business.
_HEALTH = re.compile(
    r"(?<![a-z])(?:health|ready|readiness|a?live(?:ness)?z?(?![a-z])|ping(?![a-z])|status|heartbeat)", re.IGNORECASE
)


def entry(project: Project) -> list[Finding]:
    """`start` and `ready`, where both are known: a start that never answers helps no test."""
    if project.manage:
        return _django(project)
    for source in (one for one in project.code if one.path.parts[0] not in ASIDE):
        for name, kind, factory in _apps(source):
            start = _start(project, source.path, name, kind, factory=factory)
            path, where = _ready(project, kind)
            if start and path:
                place = Finding(key="start", value=f'"{start}"', source=f"{source.path}: {kind}")
                return [place, Finding(key="ready", value=f'"{path}"', source=where)]
    return []


def _apps(source: Source) -> Iterator[tuple[str, str, bool]]:
    """Each app at the top of a module: its name, what makes it, and whether the name is a factory's."""
    if source.tree is None or not any(kind in source.text for kind in (*_ASGI, "Flask")):
        return
    for statement in source.tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            kind = ast.unparse(statement.value.func).rpartition(".")[2]
            if isinstance(target, ast.Name) and kind in (*_ASGI, "Flask"):
                yield target.id, kind, False
    for statement in source.tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in _FACTORIES and not _demands(statement):
            made = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
            kinds = [name for call in made if (name := ast.unparse(call).rpartition(".")[2]) in (*_ASGI, "Flask")]
            if kinds:
                yield statement.name, kinds[0], True


def _demands(function: ast.FunctionDef) -> bool:
    """Return whether it cannot be called without arguments."""
    given = len(function.args.defaults)
    return len(function.args.args) > given or any(default is None for default in function.args.kw_defaults)


def _start(project: Project, path: Path, name: str, kind: str, *, factory: bool) -> str:
    module = project.module(path)
    below_src = path.parts[0] == "src"
    if kind == "Flask":
        where = module if not below_src or _installed(project) else path.with_suffix("").as_posix()
        return f"flask --app {where}:{name} run --port {{port}}"
    if not project.has("uvicorn", "fastapi", "hypercorn"):
        return ""
    words = ["uvicorn", f"{module}:{name}", "--port {port}"]
    words += ["--factory"] if factory else []
    words += ["--app-dir src"] if below_src and not _installed(project) else []
    return " ".join(words)


def _installed(project: Project) -> bool:
    """Return whether the project is a package of its own, which `pip install -e .` makes importable."""
    return bool(project.table("build-system"))


def _ready(project: Project, kind: str) -> tuple[str, str]:
    """A path that answers GET, one about health before any other, and where it stands."""
    routes = [route for source in project.code for route in _routes(source)]
    healthy = [route for route in routes if _HEALTH.search(route[0])]
    if healthy or (routes and kind != "FastAPI"):
        return (healthy or routes)[0]
    return ("/openapi.json", "FastAPI's own page") if kind == "FastAPI" else ("", "")


def _routes(source: Source) -> Iterator[tuple[str, str]]:
    """List the paths of `@app.get("/path")` and `@app.route("/path")`, of an app and not of a part with a prefix."""
    if source.tree is None or ("@" not in source.text):
        return
    for function in ast.walk(source.tree):
        for call in getattr(function, "decorator_list", []):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            path, methods = (
                call.args[0],
                {word.arg: ast.unparse(word.value) for word in call.keywords}.get("methods", "GET"),
            )
            owner = ast.unparse(call.func.value)
            if (
                call.func.attr in ("get", "route")
                and "GET" in methods.upper()
                and owner in ("app", "application", "api")
            ):
                text = path.value if isinstance(path, ast.Constant) and isinstance(path.value, str) else ""
                if text.startswith("/") and not set("{<") & set(text):
                    yield text, f"{source.path}:{call.lineno}"


def _django(project: Project) -> list[Finding]:
    """Django's own server; ready is a path without parameters, if one is there."""
    for source in project.code:
        if source.path.name == "urls.py" and len(source.path.parts) > 1:
            paths = re.findall(r"""\bpath\(\s*["']([^"'<]*)["']""", source.text)
            healthy = [path for path in paths if _HEALTH.search(path)]
            if healthy:
                start = f'"python {project.manage} runserver --noreload {{port}}"'
                ready = Finding(key="ready", value=f'"/{healthy[0]}"', source=str(source.path))
                return [Finding(key="start", value=start, source=project.manage), ready]
    return []

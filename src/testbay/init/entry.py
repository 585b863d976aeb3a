"""The start of a project's service, and the path that answers when it is ready."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from testbay.init import packages
from testbay.init.project import ASIDE, Finding, Project, Source
from testbay.init.ready import App, is_healthy, mounted, ready
from testbay.init.syntax import assignments, calls, last

_KINDS = ("FastAPI", "Starlette", "Litestar", "Quart", "Sanic", "Flask")
# Frameworks of which no start is known, by the package's name: what makes an app.
_OTHERS = {"aiohttp": "Application", "bottle": "Bottle", "falcon": "App", "tornado": "Application"}
_PATH = re.compile(r"""\bpath\(\s*["']([^"'<]*)["']""")
_INCLUDED = re.compile(r"""\bpath\(\s*["']([^"'<]*)["'],\s*include\(\s*\(?["']([\w.]+)["']""")
_ADMIN = re.compile(r"""\bpath\(\s*["']([^"'<]*)["'],\s*admin\.site\.urls""")
_FACTORIES = ("create_app", "make_app", "build_app", "get_app", "app_factory")


def entry(project: Project) -> list[Finding]:
    """`start` and `ready`, where both are known: a start that never answers helps no test."""
    if project.manage:
        return _django(project)
    for app in _all(project):
        start = _start(project, app)
        path, where = ready(project, app)
        if start and path:
            place = Finding(key="start", value=f'"{start}"', source=f"{app.source.path}: {app.kind}")
            return [place, Finding(key="ready", value=f'"{path}"', source=where)]
    return []


def unstarted(project: Project) -> list[str]:
    """Describe an app for which no start was found."""
    if entry(project):
        return []
    known = [f"{project.manage} (Django)"] if project.manage else []
    known += [f"{app.name} ({app.source.path}: {app.kind})" for app in _all(project)]
    others = [f"{source.path} ({kind})" for source in _programs(project) for kind in _of_others(source)]
    return [
        f"how the fixture `service` starts {place} (`start`, `ready`): testbay explain reference/manifest"
        for place in (known or others)[:1]
    ]


def _programs(project: Project) -> Iterator[Source]:
    yield from (source for source in project.code if source.path.parts[0] not in (*ASIDE, ".."))


def _all(project: Project) -> Iterator[App]:
    below = mounted(project)
    yield from (app for source in _programs(project) for app in _apps(source) if app.name not in below)


def _of_others(source: Source) -> Iterator[str]:
    """List the frameworks of which a module makes an app, though no start is known for them."""
    made = {last(call.func) for call in source.of(ast.Call)}
    yield from (package for package in source.imports if _OTHERS.get(package) in made)


def _apps(source: Source) -> Iterator[App]:
    """Each app at the top of a module, then each factory of one."""
    if source.tree is None or not any(kind in source.text for kind in _KINDS):
        return
    makers = {one.name: one for one in source.tree.body if isinstance(one, ast.FunctionDef) and _made(one)}
    for target, value in assignments(source.tree.body):
        if isinstance(target, ast.Name) and isinstance(value, ast.Call):
            maker = makers.get(last(value.func))
            call = _made(maker) if maker else value
            if call and last(call.func) in _KINDS:
                yield App(source=source, name=target.id, kind=last(call.func), call=call)
    for name, function in makers.items():
        if name in _FACTORIES and not _demands(function) and (call := _made(function)):
            yield App(source=source, name=name, kind=last(call.func), call=call, factory=True)


def _made(function: ast.FunctionDef) -> ast.Call | None:
    """Return the first call within a function that makes an app."""
    return next((call for call in calls(ast.walk(function)) if last(call.func) in _KINDS), None)


def _demands(function: ast.FunctionDef) -> bool:
    """Return whether a function cannot be called without arguments."""
    given = len(function.args.defaults)
    return len(function.args.args) > given or any(default is None for default in function.args.kw_defaults)


def _start(project: Project, app: App) -> str:
    """The command of the server that the project has for such an app; empty where it names none."""
    path = app.source.path
    apart = path.parts[0] == "src" and not _installed(project)  # importable from src/ alone
    module = path.with_suffix("").as_posix() if apart and app.kind == "Flask" else project.module(path)
    target, factory = f"{module}:{app.name}", " --factory" if app.factory else ""
    match _server(project, app.kind):
        case "flask":
            return f"flask --app {target} run --port {{port}}"
        case "uvicorn":
            return f"uvicorn {target} --port {{port}}{factory}{' --app-dir src' if apart else ''}"
        case "sanic" if not apart:
            return f"sanic {target} --port {{port}} --single-process{factory}"
        case "hypercorn" if not apart:
            return f"hypercorn {target}{'()' if factory else ''} --bind 127.0.0.1:{{port}}"
    return ""


def _server(project: Project, kind: str) -> str:
    """The program that serves an app of this framework: the framework's own, or the ASGI server of the project."""
    if kind == "Flask":
        return "flask"
    if project.has("uvicorn") or (kind == "Litestar" and "standard" in packages.extras(project)):
        return "uvicorn"
    if kind == "Sanic":
        return "sanic"
    if kind == "Quart" or project.has("hypercorn"):  # which Quart brings
        return "hypercorn"
    return "uvicorn" if kind == "FastAPI" else ""


def _installed(project: Project) -> bool:
    """Return whether the project is a package of its own, which its tests import as `pip install -e .` installs it."""
    settings = str(project.table("tool", "pytest")) + project.text("pytest.ini")
    return bool(project.table("build-system")) and "pythonpath" not in settings


def _django(project: Project) -> list[Finding]:
    """Django's own server; ready is a path about health, else the page where its admin asks for a login."""
    urls = [source for source in project.code if source.path.name == "urls.py" and len(source.path.parts) > 1]
    included = dict(pair[::-1] for source in urls for pair in _INCLUDED.findall(source.text))
    found = [
        (f"/{included.get(_dotted(project, source), '')}{path}", str(source.path))
        for source in urls
        for path in _PATH.findall(source.text)
    ]
    admins = [(f"/{path}login/", str(source.path)) for source in urls for path in _ADMIN.findall(source.text)]
    start = f'"python {project.manage} runserver --noreload {{port}}"'
    for path, where in [*(one for one in found if is_healthy(one[0])), *admins][:1]:
        return [
            Finding(key="start", value=start, source=project.manage),
            Finding(key="ready", value=f'"{path}"', source=where),
        ]
    return []


def _dotted(project: Project, source: Source) -> str:
    """The name by which Django imports a file: from the folder of manage.py."""
    folder = Path(project.manage).parent
    return project.module(source.path.relative_to(folder) if source.path.is_relative_to(folder) else source.path)

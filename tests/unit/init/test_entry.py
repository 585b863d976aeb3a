"""How `testbay init` finds the start of a project's service, and when it is ready."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import entry
from testbay.init.project import Project

APP = 'app = FastAPI()\n@app.get("/items/{n}")\ndef item(n): ...\n'


@pytest.mark.parametrize(
    ("files", "start", "ready"),
    [
        ({"main.py": APP}, "uvicorn main:app --port {port}", "/openapi.json"),
        (
            {
                "src/shop/api.py": APP,
                "pyproject.toml": '[build-system]\nrequires = ["x"]\n[tool.pytest.ini_options]\npythonpath = "src"',
            },
            "uvicorn shop.api:app --port {port} --app-dir src",
            "/openapi.json",
        ),
        ({"src/shop/api.py": APP}, "uvicorn shop.api:app --port {port} --app-dir src", "/openapi.json"),
        (
            {"app.py": 'def create_app():\n    app = Flask("x")\n    @app.route("/ping")\n    def p(): ...\n'},
            "flask --app app:create_app run --port {port}",
            "/ping",
        ),
        (
            {"app.py": 'def make_app():\n    app = FastAPI()\n    @app.get("/api/live")\n    def p(): ...\n'},
            "uvicorn app:make_app --port {port} --factory",
            "/api/live",
        ),
        (
            {"app.py": 'app = FastAPI()\n@app.get("/deliveries")\ndef d(): ...\n@app.get("/shipping")\ndef s(): ...\n'},
            "uvicorn app:app --port {port}",
            "/openapi.json",
        ),
        (
            {"app.py": 'app = FastAPI(openapi_url=f"{PREFIX}/openapi.json")'},
            "uvicorn app:app --port {port}",
            "/docs",
        ),
        ({"app.py": 'app = FastAPI(openapi_url="/v1.json")'}, "uvicorn app:app --port {port}", "/v1.json"),
        ({"app.py": "app = FastAPI(openapi_url=None)"}, "", ""),
        (
            {"app.py": "def get_it(): return FastAPI()\napp = get_it()"},
            "uvicorn app:app --port {port}",
            "/openapi.json",
        ),
        ({"app.py": 'app = Starlette(routes=[Route("/ready", r)])'}, "uvicorn app:app --port {port}", "/ready"),
        ({"app.py": 'app = Starlette(routes=[Mount("/a", routes=[Route("/ready", r)])])'}, "", ""),
        (
            {"app.py": '@get("/ping")\ndef p(): ...\napp = Litestar(route_handlers=[p])'},
            "uvicorn app:app --port {port}",
            "/ping",
        ),
        (
            {"app.py": '@get("/ping")\ndef p(): ...\napp = Litestar(path="/a", route_handlers=[p])'},
            "uvicorn app:app --port {port}",
            "/schema/openapi.json",
        ),
        (
            {"app.py": "app = Flask('x')", "b.py": 'bp = Blueprint("b", "b")\n@bp.get("/health")\ndef h(): ...'},
            "flask --app app:app run --port {port}",
            "/health",
        ),
        (
            {
                "app.py": "app = Flask('x')\napp.register_blueprint(api, url_prefix='/a')",
                "b.py": 'api = Blueprint("b", "b")\n@api.get("/health")\ndef h(): ...',
            },
            "",
            "",
        ),
        (
            {
                "app.py": "app = FastAPI()\napp.include_router(api)",
                "api.py": 'api: APIRouter = APIRouter(prefix="/v1")\napi.include_router(b.router)',
                "b.py": 'router = APIRouter()\n@router.get("/health")\ndef h(): ...',
            },
            "uvicorn app:app --port {port}",
            "/openapi.json",
        ),
        (
            {"app.py": 'api = FastAPI()\n@api.get("/health")\ndef h(): ...\napp = FastAPI()\napp.mount("/v1", api)'},
            "uvicorn app:app --port {port}",
            "/openapi.json",
        ),
        (
            {
                "app.py": '@get("/ping")\ndef p(): ...\n'
                'app = Litestar(route_handlers=[Router(path="/a", route_handlers=[p])])'
            },
            "uvicorn app:app --port {port}",
            "/schema/openapi.json",
        ),
        ({"app.py": 'app = Flask("x")\n@app.route("/x", methods=["POST"])\ndef x(): ...\n'}, "", ""),
        ({"tests/app.py": APP}, "", ""),
    ],
)
def test_an_app_is_started_as_its_file_says(project: Project, files: dict[str, str], start: str, ready: str) -> None:
    """One that has no path to ask is not started."""
    found = entry.entry(add(project, {"requirements.txt": "fastapi\nuvicorn\nflask", **files}))

    assert [line.value for line in found] == ([f'"{start}"', f'"{ready}"'] if start else [])


UNSTARTED = (
    "how the fixture `service` starts app (app.py: Starlette) (`start`, `ready`): testbay explain reference/manifest"
)
APP_OF = 'app = {}("x")\n@app.get("/x")\ndef x(): ...\n'


@pytest.mark.parametrize(
    ("packages", "kind", "start"),
    [
        ("sanic", "Sanic", "sanic app:app --port {port} --single-process"),
        ("quart", "Quart", "hypercorn app:app --bind 127.0.0.1:{port}"),
        ("quart\nuvicorn", "Quart", "uvicorn app:app --port {port}"),
        ("fastapi\nhypercorn", "FastAPI", "hypercorn app:app --bind 127.0.0.1:{port}"),
        ("litestar[standard]", "Litestar", "uvicorn app:app --port {port}"),
        ("starlette", "Starlette", ""),
    ],
)
def test_an_app_is_started_by_the_server_that_the_project_has(
    project: Project, packages: str, kind: str, start: str
) -> None:
    """Where it names none, that is said."""
    found = add(project, {"requirements.txt": packages, "app.py": APP_OF.format(kind)})

    assert [line.value for line in entry.entry(found)][:1] == ([f'"{start}"'] if start else [])
    assert entry.unstarted(found) == ([] if start else [UNSTARTED])


@pytest.mark.parametrize(
    ("package", "made"),
    [("aiohttp", "web.Application()"), ("falcon", "falcon.App()"), ("tornado", "tornado.web.Application([])")],
)
def test_an_app_of_another_framework_is_said(project: Project, package: str, made: str) -> None:
    """Also one that a function makes: `init` knows no command that starts it."""
    found = add(project, {"app.py": f"import {package}\ndef make():\n    return {made}\n"})

    assert entry.unstarted(found) == [
        f"how the fixture `service` starts app.py ({package}) (`start`, `ready`): testbay explain reference/manifest"
    ]


@pytest.mark.parametrize(
    ("urls", "ready"),
    [
        ('path("health/", h), path("admin/", admin.site.urls)', "/health/"),
        ('path("v1/", include("shop.urls"))', "/v1/ready"),
        ('path("boss/", admin.site.urls)', "/boss/login/"),
        ('path("", index)', ""),
    ],
)
def test_django_is_ready_when_a_page_of_its_urls_answers(project: Project, urls: str, ready: str) -> None:
    """About health, else the login of its admin."""
    shop = 'urlpatterns = [path("ready", r)]' if "shop" in urls else ""
    files = {"a/manage.py": "django", "a/config/urls.py": f"urlpatterns = [{urls}]", "a/shop/urls.py": shop}

    found = add(project, files)

    assert [line.value for line in entry.entry(found)][1:] == ([f'"{ready}"'] if ready else [])
    assert [text for text in entry.unstarted(found) if "starts a/manage.py (Django)" not in text] == []
    assert bool(entry.unstarted(found)) == (not ready)


def test_the_app_of_a_tool_is_not_the_service(project: Project) -> None:
    """What is in scripts/, tools/ or ci/ is started by hand."""
    files = {"requirements.txt": "fastapi", "tools/a.py": APP, "shop/main.py": APP}

    assert entry.entry(add(project, files))[0].value == '"uvicorn shop.main:app --port {port}"'

"""What `testbay init` reads in a project's files: nothing is executed, and nothing of a stranger's stops it."""

import os

import pytest
from tests.unit.init.conftest import add

from testbay.errors import ManifestError
from testbay.init import command, manifest, migrations, servers, variables
from testbay.init.project import Finding, Project
from testbay.output import Voice


def lines(found: list[Finding]) -> list[str]:
    """As they stand in the manifest."""
    return [f"{line.key} = {line.value}" for line in found]


def test_packages_are_named_in_many_places(project: Project) -> None:
    """Requirements, extras, groups and Poetry's tables; versions, extras and comments left out."""
    text = '[project]\ndependencies = ["Nats_Py>=2"]\n'
    text += '[dependency-groups]\ndev = ["redis[hiredis]", {include-group = "x"}]\n'
    text += '[tool.poetry.dependencies]\npython = "^3.11"\n[tool.poetry.group.test.dependencies]\nasyncpg = "*"\n'

    setup = 'R = open("requirements.in").read()\nsetup(install_requires=R)'
    found = add(
        project,
        {"pyproject.toml": text, "setup.py": setup, "requirements.txt": "-r other.txt\n# no\npsycopg[binary]>=3 ; x\n"},
    )

    assert found.packages.keys() == {"nats-py", "redis", "python", "asyncpg", "psycopg"}


@pytest.mark.parametrize("text", ["[project", "project = 1", '[project]\ndependencies = "x"', "\udcff"])
def test_a_broken_pyproject_is_read_as_far_as_it_goes(project: Project, text: str) -> None:
    """Other tools will say what is wrong with it."""
    (project.root / "pyproject.toml").write_text(text, encoding="utf-8", errors="surrogateescape")

    assert project.packages.keys() <= {"x"}


def test_a_pipe_is_not_waited_for(project: Project) -> None:
    """Not as pyproject.toml either."""
    os.mkfifo(project.root / "pyproject.toml")

    assert (project.text("pyproject.toml"), project.pyproject) == ("", {})


@pytest.mark.parametrize(
    "server", ["image: postgres, volumes: ['./migrations:/docker-entrypoint-initdb.d']", "build: ."]
)
def test_migrations_that_the_server_runs_itself_are_not_run_twice(project: Project, server: str) -> None:
    """A folder of the init scripts' own is mounted, or built into the image, by many a project."""
    dockerfile = "FROM postgres:16\nCOPY migrations /docker-entrypoint-initdb.d\n"
    files = {"compose.yaml": f"services: {{db: {{{server}}}}}", "Dockerfile": dockerfile, "migrations/1.sql": ""}

    made = manifest.draft(add(project, files | {"a.py": "x = 1"}), {})

    assert lines(made.keys)[1:] == ['needs = ["postgres"]', 'tests = "tests"']
    assert not [line for line in made.missing if "migrations" in line]


@pytest.mark.parametrize("text", ["- no", "services: [1]", "a: b: c", "services: {db: {image: [postgres]}}"])
def test_a_compose_file_that_cannot_be_used_is_said(project: Project, text: str) -> None:
    """The servers that the packages speak of get a file of their own."""
    found = servers.servers(add(project, {"compose.yml": text, "requirements.txt": "psycopg"}), {})

    assert (list(found.needs), found.missing, len(found.refused)) == (["postgres"], True, 1)
    assert str(project.root / "compose.yml") in found.refused[0]


YOYO_LOGIN = "$POSTGRES_USER:$POSTGRES_PASSWORD@$POSTGRES_HOST:$POSTGRES_PORT/$POSTGRES_DB"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"alembic.ini": ""}, 'migrate = "alembic upgrade head"'),
        ({"manage.py": "django"}, 'migrate = "python manage.py migrate --noinput"'),
        ({"app/manage.py": "django"}, 'migrate = "python app/manage.py migrate --noinput"'),
        ({"a/manage.py": "django", "b/manage.py": "django"}, ""),
        ({"a/b/manage.py": "django"}, 'migrate = "python a/b/manage.py migrate --noinput"'),
        ({"a/b/manage.py": "django", "manage.py": "django"}, 'migrate = "python manage.py migrate --noinput"'),
        ({"requirements.txt": "flask-migrate", "migrations/env.py": ""}, 'migrate = "flask db upgrade"'),
        ({"pyproject.toml": '[tool.alembic]\nscript_location = "a"'}, 'migrate = "alembic upgrade head"'),
        ({"Makefile": "migrate: ## up\n\tpython -m db.up\n"}, 'migrate = "make migrate"'),
        ({"Makefile": "migrate:\n\tdocker compose run web migrate\n"}, ""),
        ({"Makefile": "DB = postgres://a@b/c\nmigrate:\n\tup $(DB)\n"}, ""),
        (
            {"src/a/x.py": "", "src/a/alembic.ini": "[alembic]\nscript_location = %(here)s/m\n"},
            'migrate = "alembic -c src/a/alembic.ini upgrade head"',
        ),
        (
            {"db/m/env.py": "", "db/alembic.ini": "[alembic]\nscript_location = m\n"},
            'migrate = "cd db && alembic upgrade head"',
        ),
        ({"pyproject.toml": '[tool.aerich]\nlocation = "m"'}, 'migrate = "aerich upgrade"'),
        ({"requirements.txt": "piccolo", "piccolo_conf.py": "x = 1"}, 'migrate = "piccolo migrations forwards all"'),
        (
            {"requirements.txt": "piccolo", "shop/piccolo_conf.py": "x = 1"},
            'migrate = "PICCOLO_CONF=shop.piccolo_conf piccolo migrations forwards all"',
        ),
        (
            {"requirements.txt": "yoyo-migrations\npsycopg2", "m/1_a.py": "from yoyo import step"},
            f'migrate = "yoyo apply --batch --database postgresql://{YOYO_LOGIN} m"',
        ),
        ({"schema.sql": ""}, 'migrations = "."'),
        ({"schema.sql": "", "drop.sql": ""}, ""),
        ({"db/migrations/1_a.sql": ""}, 'migrations = "db/migrations"'),
        ({"shop/__init__.py": "x = 1", "shop/sql/1_a.sql": ""}, 'migrations = "shop/sql"'),
        ({"app.py": "x = 1"}, ""),
    ],
)
def test_migrations_are_found(project: Project, files: dict[str, str], line: str) -> None:
    """A tool before a folder of SQL."""
    found = migrations.migrations(add(project, files))

    assert lines([found] if found else []) == ([line] if line else [])


DJANGO = """
env = environ.Env(DEBUG=(bool, False))
DEBUG = env("DEBUG")
SECRET_KEY = env("SECRET_KEY")
WORKERS = env.int("WORKERS")
LEVEL = env("LEVEL", default="info")
LIMIT = config("LIMIT", cast=float)
NOTHING = os.getenv("NOTHING")
DATABASES = {"default": env.db()}
CACHES = {"default": env.cache("REDIS_CACHE_URL")}
"""


def test_variables_of_settings_packages_are_needed_when_they_have_no_default(project: Project) -> None:
    """django-environ and decouple raise without them; a guess has the type they ask for."""
    found = list(variables.environment(add(project, {"shop/settings.py": DJANGO}), {"postgres": "", "dragonfly": ""}))

    assert lines(found) == [
        'SECRET_KEY = "test"',
        'WORKERS = "1"',
        'LIMIT = "1"',
        'REDIS_CACHE_URL = "{dragonfly.url}"',
    ]
    assert variables.unread(project, {"postgres": ""}) == []


def test_the_compose_file_of_the_repository_serves_a_folder_in_it(project: Project) -> None:
    """backend/ gets no file of its own beside the one that `testbay run` finds above it."""
    (project.root / ".git").mkdir()
    add(project, {"compose.yaml": "services: {db: {image: postgres}}", "backend/requirements.txt": "psycopg\n"})

    found = servers.servers(Project(root=project.root / "backend"), {})

    assert (found.needs, found.missing) == ({"postgres": "../compose.yaml: db (postgres)"}, False)


@pytest.mark.parametrize("files", [{"requirements.txt": "-r backend/dev.txt"}, {}])
def test_a_root_that_only_includes_a_folders_packages_is_refused(project: Project, files: dict[str, str]) -> None:
    """The program is in that folder, with its settings and its migrations."""
    add(project, files | {"backend/requirements.txt": "x", "backend/dev.txt": "flask", "backend/a.py": "import flask"})

    assert project.only_inner == ["backend/"]


@pytest.mark.parametrize("own", ["", '[tool.uv.workspace]\nmembers = ["apps/*"]\n[dependency-groups]\ndev = ["ruff"]'])
def test_a_folder_of_several_programs_is_refused(project: Project, own: str) -> None:
    """Each has its own manifest; nothing is written here."""
    files = {"compose.yaml": "", "apps/a/pyproject.toml": "", "apps/b/requirements.txt": "", "apps/a/a.py": "x = 1"}
    add(project, files | {"pyproject.toml": own})

    with pytest.raises(ManifestError) as refused:
        command.execute(project.root, {}, Voice())

    assert refused.value.what == f"{project.root}: the program is in apps/a/ and apps/b/: nothing was written"
    assert refused.value.todo.startswith("cd apps/a && testbay init")
    assert not (project.root / "testbay.toml").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("setup.py", "REQUIRED = ['asyncpg>=0.29']\nsetup(name='x', install_requires=REQUIRED + ['nats-py'])"),
        ("requirements.in", "asyncpg\nnats-py\n"),
        ("setup.cfg", "[options]\ninstall_requires =\n    asyncpg>=0.29\n    nats-py\n"),
        ("setup.cfg", "[options.extras_require]\ndb = asyncpg\nmq =\n    nats-py\n"),
        ("Pipfile", '[packages]\nasyncpg = "*"\n[dev-packages]\nnats-py = "*"\n'),
        ("tox.ini", "[testenv]\ndeps =\n    asyncpg\n    nats-py\n    -r x.txt\n"),
        ("requirements/base.txt", "asyncpg\nnats-py\n"),
        ("pyproject.toml", '[tool.hatch.envs.default]\ndependencies = ["asyncpg", "nats-py"]\n'),
        ("pyproject.toml", '[tool.pdm.dev-dependencies]\ntest = ["asyncpg", "nats-py"]\n'),
        ("pyproject.toml", '[tool.uv]\ndev-dependencies = ["asyncpg", "nats-py"]\n'),
        ("pyproject.toml", '[tool.poetry.dev-dependencies]\nasyncpg = "*"\nnats-py = "^2"\n'),
    ],
)
def test_packages_are_found_whatever_installs_them(project: Project, file: str, text: str) -> None:
    """setuptools, pip, Pipenv, tox, Hatch, PDM, uv, Poetry."""
    assert {"asyncpg", "nats-py"} <= add(project, {file: text}).packages.keys()


def test_files_that_a_file_of_requirements_includes_are_read(project: Project) -> None:
    """As pip does, by their places; a circle ends, and nothing beside the project is read."""
    add(project, {"requirements.txt": "-r deps/all.in\n--requirement=../x.txt", "deps/all.in": "-rmore.txt\n-r all.in"})
    add(project, {"deps/more.txt": "nats-py"})
    (project.root.parent / "x.txt").write_text("asyncpg")

    assert project.packages == {"nats-py": "deps/more.txt"}


def test_servers_that_testbay_does_not_know_are_named(project: Project) -> None:
    """Tests that need one would fail for a reason that their errors do not tell."""
    compose = "services: {db: {image: 'mysql:8'}, mq: {image: rabbitmq}, web: {image: nginx}"
    compose += ", mail: {image: mailhog/mailhog, profiles: [tools]}}"

    made = manifest.draft(add(project, {"compose.yaml": compose}), {})

    assert made.missing[0] == (
        "a server of testbay's own for db (mysql:8), mq (rabbitmq): `also` starts it in Docker, or the tests do without"
    )


def test_clients_of_such_servers_are_named_too(project: Project) -> None:
    """Also where no compose file speaks of the server."""
    made = manifest.draft(add(project, {"requirements.txt": "mysqlclient\nredis\n", "app.py": "x = 1"}), {})

    assert made.missing[0].startswith(
        "a server of testbay's own for mysqlclient (requirements.txt): `also` starts one "
    )


def test_a_folder_without_packages_leads_to_those_that_have_some(project: Project) -> None:
    """The program may be in backend/ while one stands at the root of the repository."""
    made = manifest.draft(add(project, {"backend/pyproject.toml": "", "apps/x/requirements.txt": "redis"}), {})

    assert made.missing[0] == (
        "packages of this folder; apps/x/ and backend/ name some: `testbay init` there, if that is the program"
    )


def test_what_only_shows_or_tries_demands_nothing(project: Project) -> None:
    """Examples are not started, a variable that a script or a test needs is not guessed; the tests' own servers are."""
    needed = 'import os\nTOKEN = os.environ["TOKEN"]\n'
    tested = (
        needed + 'URL = os.environ.get("SHOP_PG_DSN") or "postgresql:///shop"\nos.environ.get("SHOP_SQL_MYSQL_DB")\n'
    )
    files = {"examples/app.py": "app = FastAPI()\n" + needed, "scripts/a.py": needed, "shop/tests/test_a.py": tested}

    made = manifest.draft(
        add(project, files | {"setup.py": 'NAME = "a-shop"\nsetup(name=NAME, install_requires=["psycopg"])'}), {}
    )

    assert lines(made.keys) == ['service = "a_shop"', 'needs = ["postgres"]', 'tests = "shop/tests"']
    assert lines(made.env) == ['SHOP_PG_DSN = "{postgres.url}"']


def test_a_host_that_a_test_makes_up_is_no_address(project: Project) -> None:
    """An address of this machine in a test is one; nothing is said of the other."""
    files = {
        "tests/test_a.py": 'URL = "redis://endpoint:1/0"\nx = Redis(host="localhost", port=6390)\n',
        "a.py": "import redis\n",
    }

    made = manifest.draft(add(project, files | {"requirements.txt": "redis"}), {})

    assert "ports = { redis = 6390 }" in lines(made.keys)


def test_an_example_file_names_variables_that_no_source_does(project: Project) -> None:
    """Of the servers that are needed; a server that only the example names is not."""
    example = "CONF_STORE=postgresql+asyncpg://a:b@db/x\nREDIS_URL=redis://cache"
    made = manifest.draft(add(project, {".env.example": example, "requirements.txt": "asyncpg", "a.py": "x = 1"}), {})

    assert [(line.key, line.source) for line in made.env] == [("CONF_STORE", ".env.example")]
    assert list(made.servers.needs) == ["postgres"]


def test_what_lies_beside_a_member_of_a_workspace_counts(project: Project) -> None:
    """The package with the database in it, by name, and what that one depends on; not a stranger's beside both."""
    member = '[project]\nname = "{}"\ndependencies = {}\n'
    add(
        project,
        {
            ".git/HEAD": "",
            "services/api/pyproject.toml": member.format("api", ["shop_core", "fastapi"]),
            "libs/core/pyproject.toml": member.format("shop-core", ["shop-log", "psycopg"]),
            "libs/core/src/core/db.py": "import os\nURL = os.environ['CORE_DATABASE_URL']\n",
            "libs/log/pyproject.toml": member.format("shop-log", ["shop-core", "redis"]),
            "libs/other/pyproject.toml": member.format("other", ["nats-py"]),
        },
    )
    api = Project(root=project.root / "services/api")

    draft = manifest.draft(api, {})

    assert [line.source for line in draft.keys if line.key == "needs"] == [
        "../../libs/core/pyproject.toml: psycopg; ../../libs/log/pyproject.toml: redis"
    ]
    assert [f"{line.key} = {line.value} # {line.source}" for line in draft.env] == [
        'CORE_DATABASE_URL = "{postgres.url}" # ../../libs/core/src/core/db.py:2'
    ]

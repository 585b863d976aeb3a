"""The lines of `[env]`: what a variable of the program stands for."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, variables
from testbay.init.project import Project

LOGIN = "{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}"
PREFIXED = """
class Settings(BaseSettings):
    host: str = "127.0.0.1"
    db_base: str = "shop"
    nats_hosts: list[str] = ["nats://localhost:4222"]
    model_config = SettingsConfigDict(env_prefix="NATS_SHOP_")
"""


def test_a_prefix_that_is_the_projects_own_says_nothing_of_a_server(project: Project) -> None:
    """NATS_SHOP_HOST is where the program listens; a list of addresses is one in JSON."""
    files = {"pyproject.toml": '[project]\nname = "nats-shop"\n', "settings.py": PREFIXED}

    found = list(variables.environment(add(project, files), {"postgres": "", "nats": ""}))

    assert [f"{line.key} = {line.value}" for line in found] == [
        'NATS_SHOP_DB_BASE = "{postgres.db}"',
        """NATS_SHOP_NATS_HOSTS = '["{nats.url}"]'""",
    ]


def test_a_database_that_a_script_makes_is_led_to(project: Project) -> None:
    """Where an example names it: the suite may refuse to run in another one."""
    volume = "./s:/docker-entrypoint-initdb.d"
    compose = f"services: {{db: {{image: postgres, environment: {{POSTGRES_PASSWORD: x}}, volumes: ['{volume}']}}}}"
    files = {
        "compose.yml": compose,
        "s/a.sh": 'psql -c "CREATE DATABASE app_test"',
        "a.py": 'os.environ["TEST_DB_DSN"]',
    }
    found = add(project, files | {".env.example": "TEST_DB_DSN=postgresql://a@localhost/app_test"})

    assert [line.value for line in manifest.draft(found, {}).env] == [f'"postgresql://{LOGIN}/app_test"']


@pytest.mark.parametrize("file", [".env.test", "Makefile"])
def test_the_database_that_the_tests_are_given_is_made(project: Project, file: str) -> None:
    """A guard in conftest.py may refuse any other name; a variable of the program alone says nothing of the tests."""
    line = "DSN=postgresql://a:b@localhost/shop_test" + ("" if file == ".env.test" else " pytest")
    text = line if file == ".env.test" else f"test:\n\t{line}\n"
    found = add(project, {"requirements.txt": "psycopg", "a.py": 'os.environ["DSN"]', file: text})

    made = manifest.draft(found, {})

    assert made.logins["postgres"].db == "shop_test"


def test_an_algorithm_is_guessed_to_be_one(project: Project) -> None:
    """A token's library refuses an unknown one."""
    found = add(project, {"a.py": 'import os\nos.environ["JWT_ALGORITHM"]\n'})

    assert [line.value for line in variables.environment(found, {})] == ['"HS256"']


def test_a_prefix_of_the_projects_own_names_no_part_of_a_server(project: Project) -> None:
    """RQ_DASHBOARD_USERNAME is a login of its own pages; the address it reads says itself what it is."""
    reads = "".join(f"os.getenv('RQ_DASHBOARD_{name}')\n" for name in ("USERNAME", "PASSWORD", "REDIS_URL"))
    found = add(project, {"pyproject.toml": '[project]\nname = "rq-dashboard"\n', "a.py": f"import os\n{reads}"})

    assert [line.key for line in variables.environment(found, {"dragonfly": ""})] == ["RQ_DASHBOARD_REDIS_URL"]


def test_what_a_makefile_sets_for_pytest_is_set(project: Project) -> None:
    """In place of a guess; what the shell makes, and a server's address, are not."""
    line = "\t@APP_ENV=test DEBUG='1' REV=$(REV) DB_HOST=db REDIS_URL=redis://x uv run python -m pytest tests\n"
    settings = 'class S(BaseSettings):\n    app_env: str\n    token: str\n    db_host: str = "x"\n'
    files = {"Makefile": f"test: lint\n{line}", "settings.py": settings}

    found = list(variables.environment(add(project, files), {"postgres": "", "dragonfly": ""}))

    assert [f"{line.key} = {line.value}" for line in found] == [
        *('TOKEN = "test"', 'DB_HOST = "{postgres.host}"', 'APP_ENV = "test"', 'DEBUG = "1"'),
    ]


@pytest.mark.parametrize(
    ("recipe", "found"), [("pytest tests", ['APP_ENV = "test"', 'MODE = "b c"']), ("ruff check", [])]
)
def test_what_a_makefile_exports_is_set_for_pytest(project: Project, recipe: str, found: list[str]) -> None:
    """For every command of it; an address of a server that no source reads is testbay's to say."""
    exports = (
        "export APP_ENV := test  # as in CI\nexport MODE = b c\nexport POSTGRES_PORT = 5433\nexport REV = $(REV)\n"
    )
    add(project, {"Makefile": f"{exports}test:\n\t{recipe}\n", "app.py": ""})

    assert [f"{line.key} = {line.value}" for line in variables.environment(project, {"postgres": ""})] == found


CI = """
env: {{LEVEL: "${{{{ matrix.level }}}}"}}
jobs:
  a:
    env: {{MODE: {value}, DEBUG: true}}
    steps: [uses: x, {{run: "{step} -q", env: {{OTHER: 1}}}}]
"""


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a": CI.format(step="pytest", value="ci")}, ["MODE", "DEBUG"]),
        ({"a": CI.format(step="ruff", value="ci")}, []),
        ({"a": CI.format(step="tox", value="ci"), "b": CI.format(step="pytest", value="old")}, ["DEBUG"]),
        ({"a": "jobs: [", "b": "- 1", "c": "jobs: {a: 1, b: {steps: [1]}}"}, []),
    ],
)
def test_what_ci_sets_for_its_tests_is_set(project: Project, files: dict[str, str], found: list[str]) -> None:
    """If it is one value for all jobs that run tests."""
    given = {f".github/workflows/{name}.yml": text for name, text in files.items()}
    made = add(project, given | {"a.py": "import os\nos.getenv('MODE')\nos.getenv('LEVEL')\nos.getenv('DEBUG')\n"})

    assert [line.key for line in variables.environment(made, {"postgres": ""})] == found


@pytest.mark.parametrize(
    ("file", "ignored", "found"),
    [("../.env", "", ["KEY"]), ("other", "", ["MODE", "KEY"]), ("../.env", ".env\n", ["MODE", "KEY"])],
)
def test_a_committed_env_file_needs_no_guess(project: Project, file: str, ignored: str, found: list[str]) -> None:
    """The program reads it by itself; a guess would stand above its values."""
    add(project, {".env": "MODE=ci\nKEY=\n", "b/.gitignore": ignored})
    settings = f"class S(BaseSettings):\n    model_config = C(env_file={file!r})\n    mode: str\n    key: str\n"
    made = add(Project(root=project.root / "b"), {"a.py": settings})

    assert [line.key for line in variables.environment(made, {})] == found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tox.ini", "[testenv]\nsetenv =\n    MODE = ci\n    OTHER=1\n    pg: LEVEL=2\n    LEVEL={toxinidir}\n"),
        ("pyproject.toml", '[tool.tox.env_run_base]\nset_env = { MODE = "ci", OTHER = "1" }'),
        (".github/workflows/a.yml", CI.format(step="pytest", value="ci")),
        ("noxfile.py", 'session.run("python", "-m", "pytest", env={"MODE": "ci", "LEVEL": f(x), **other})'),
        ("pyproject.toml", '[tool.hatch.envs.default.env-vars]\nMODE = "ci"'),
        ("pyproject.toml", '[tool.pdm.scripts]\ntest = { cmd = "pytest", env = { MODE = "ci" } }\nlint = "ruff"'),
        ("pyproject.toml", '[tool.poe.tasks.test]\ncmd = "pytest -q"\nenv = { MODE = "ci", POSTGRES_PORT = "1" }'),
    ],
)
def test_what_a_runner_of_tests_sets_is_set_if_the_project_reads_it(project: Project, file: str, text: str) -> None:
    """By hand it stands in no shell, too: `tox` is how these tests are run."""
    found = add(project, {file: text, "a.py": "import os\nos.getenv('MODE')\nos.getenv('LEVEL')\n"})

    lines = variables.environment(found, {"postgres": ""})

    assert [(line.key, line.value, line.source) for line in lines] == [("MODE", '"ci"', f"{file}, for pytest")]


@pytest.mark.parametrize(
    ("read", "values"),
    [
        ('"DB_CONNECTION_STRING"', ['"{postgres.url}"']),
        ('"APP_TEST_DB", "sqlite://:memory:"', ['"{postgres.url}"']),
        ('"PG_DSN_TEST", ""', ['"{postgres.url}"']),
        ('"POSTGRES_DB_TEST"', ['"{postgres.db}"']),
        ('"DB", "sqlite"', []),
        ('"TORTOISE_TEST_DB", "sqlite://:memory:"', [f'"asyncpg://{LOGIN}/test_{{}}"']),
        ('"CELERY_RDB_PORT"', []),
        ('"CELERY_BACKEND", "db+postgresql://a@db/x"', [f'"db+postgresql://{LOGIN}/{{postgres.db}}"']),
        ('"GEO", "postgis://a@db/x"', [f'"postgis://{LOGIN}/{{postgres.db}}"']),
        ('"QUEUE_NAME", "jobs"', []),
        ('"TESTING"', ["false"]),
        ('"RADIS_HOST")\nB = os.getenv("RADIS_PORT", "6379"', ['"{dragonfly.host}"', '"{dragonfly.port}"']),
    ],
)
def test_a_name_or_a_default_shows_what_a_variable_holds(project: Project, read: str, values: list[str]) -> None:
    """SQLite stands in for a server; Tortoise creates the database; RDB is Celery's debugger; a usual port tells.

    TESTING, which testbay exports, is taken back where the program reads it: by hand nothing sets it.
    """
    found = add(project, {"a.py": f"import os\nA = os.getenv({read})\n"})

    assert [line.value for line in variables.environment(found, {"postgres": "", "dragonfly": ""})] == values


def test_a_sentinel_and_a_cluster_are_other_servers(project: Project) -> None:
    """Tests that skip themselves where there is none would fail with a Redis at its address; an image is no server."""
    names = ("REDIS_PORT", "REDIS_SENTINEL_PORT", "REDIS_CLUSTER_URL", "REDIS_IMAGE", "REDIS_ALLOWED_IP")
    found = add(project, {"a.py": "".join(f"os.getenv({name!r}, 'redis:15')\n" for name in names)})

    assert [line.key for line in variables.environment(found, {"dragonfly": ""})] == ["REDIS_PORT"]


@pytest.mark.parametrize(
    ("conftest", "found"),
    [
        ('if os.environ.get("RUNNER") != "True":\n    print("no")\n    sys.exit(1)', ['RUNNER = "True"']),
        ('def pytest_configure():\n    assert os.environ["APP_ENV"] == "test"', ['APP_ENV = "test"']),
        ('if os.getenv("MODE") != "ci":\n    raise RuntimeError', ['MODE = "ci"']),
        ('if os.getenv("MODE") != "ci":\n    print("slow")', []),
        ('if os.getenv("MODE") == "prod":\n    raise RuntimeError', []),
        ("assert sys.platform == 'linux'", []),
    ],
)
def test_a_variable_without_which_conftest_ends_pytest_is_set(
    project: Project, conftest: str, found: list[str]
) -> None:
    """A guard against the wrong runner or the wrong database."""
    made = manifest.draft(add(project, {"tests/conftest.py": conftest, "tests/test_a.py": ""}), {})

    assert [f"{line.key} = {line.value}" for line in made.env] == found

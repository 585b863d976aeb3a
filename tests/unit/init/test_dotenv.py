"""What a program has from a .env file, whatever the environment says."""

import re
import subprocess

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, servers
from testbay.init.project import Project

DOTENV = {"requirements.txt": "psycopg", ".env": "DATABASE_URL=postgresql://me:x@localhost:5439/shop\n"}
PORT = [("ports", "{ postgres = 5439 }")]
ORDER = """
class S(BaseSettings):
    database_url: str
    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, env_settings, dotenv_settings):
        return init_settings, {}
"""


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("load_dotenv(find_dotenv(), override=True)", "calls load_dotenv(find_dotenv(), override=True)"),
        ("d = Dynaconf(dotenv_override=True)", "calls Dynaconf(dotenv_override=True)"),
        ("c = {**os.environ, **dotenv_values()}", "has {**os.environ, **dotenv_values()}"),
        ("c = os.environ | dotenv_values()", "has os.environ | dotenv_values()"),
        ("os.environ.update(dotenv_values())", "calls os.environ.update(dotenv_values())"),
        (ORDER.format("dotenv_settings, env_settings"), "asks dotenv_settings before env_settings in S"),
        (ORDER.format("dotenv_settings"), "asks dotenv_settings, not env_settings in S"),
    ],
)
def test_an_address_of_a_file_above_the_environment_is_a_fixed_one(project: Project, text: str, how: str) -> None:
    """The run's server takes its port, or refuses to start where the developer's own has it."""
    made = manifest.draft(add(project, DOTENV | {"a.py": f'{text}\nURL = os.environ["DATABASE_URL"]\n'}), {})

    assert [(line.key, line.value) for line in made.keys if line.key == "ports"] == PORT
    assert made.missing[-1] == f"a way past .env: a.py {how}, which puts .env above testbay's values"


@pytest.mark.parametrize(
    "text",
    [
        "load_dotenv()",
        "c = {**dotenv_values(), **os.environ}",
        "c = dotenv_values() | os.environ",
        ORDER.format("env_settings, dotenv_settings"),
    ],
)
def test_a_file_below_the_environment_fixes_nothing(project: Project, text: str) -> None:
    """Testbay's own values count there."""
    made = manifest.draft(add(project, DOTENV | {"a.py": f'{text}\nURL = os.environ["DATABASE_URL"]\n'}), {})

    assert not [line for line in made.keys if line.key == "ports"]
    assert not [line for line in made.missing if ".env" in line]


def test_a_script_beside_the_program_fixes_no_port(project: Project) -> None:
    """The tests do not run it: a run needs no port at which the developer's own server listens."""
    files = {"scripts/seed.py": "load_dotenv(override=True)", "a.py": 'import os\nURL = os.environ["DATABASE_URL"]\n'}
    made = manifest.draft(add(project, DOTENV | files), {})

    assert not [line for line in made.keys if line.key == "ports"]


def test_a_field_whose_variable_a_function_names_is_fixed(project: Project) -> None:
    """Which variable it is, only running the program would tell."""
    config = "model_config = SettingsConfigDict(alias_generator=lambda name: name.upper())"
    field = 'database_url: str = "postgresql://me:x@localhost:5439/shop"'
    made = manifest.draft(add(project, DOTENV | {"a.py": f"class S(BaseSettings):\n    {config}\n    {field}\n"}), {})

    assert [(line.key, line.value) for line in made.keys if line.key == "ports"] == PORT


@pytest.mark.parametrize(
    "call",
    [
        'S(database_url="postgresql://me:x@localhost:5439/shop")',
        "S(**{k.lower(): v for k, v in dotenv_values().items()})",
    ],
)
def test_what_the_program_gives_its_settings_itself_is_fixed(project: Project, call: str) -> None:
    """A variable of that name would change nothing."""
    text = f"class S(BaseSettings):\n    database_url: str\ns = {call}\n"
    made = manifest.draft(add(project, DOTENV | {"a.py": text}), {})

    assert [(line.key, line.value) for line in made.keys if line.key == "ports"] == PORT


OVER = {"pytest.ini": "[pytest]\nenv_files = .env-test\nenv_override_existing_values = 1\n"}


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("DB_IP=localhost\nDB_PORT=5439\nDB_NAME=shop_test\n", ["{ postgres = 5439 }"]),
        ("export DB_IP='127.0.0.1'\n", ["{ postgres = 5432 }"]),
        ("DB_NAME=shop_test\n", []),
        ("DB_IP=db\nDB_PORT=5439\n", []),
    ],
)
def test_the_parts_of_an_address_above_the_environment_are_fixed(project: Project, text: str, ports: list[str]) -> None:
    """Migrations would run on testbay's server, and the tests on the developer's."""
    settings = "class S(BaseSettings):\n    db_ip: str\n    db_port: int\n    db_name: str\n"
    files = {"requirements.txt": "psycopg\npytest-dotenv", "app/config.py": settings, ".env-test": text}

    made = manifest.draft(add(project, OVER | files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports
    assert [line.value for line in made.env if line.key == "DB_IP"] == ['"{postgres.host}"']


def test_what_puts_env_files_above_testbay_is_said(project: Project) -> None:
    """Such a program never sees the servers of its tests."""
    made = manifest.draft(add(project, {".env": "", "a.py": "load_dotenv(override=True)"}), {})

    assert made.missing[-1] == (
        "a way past .env: a.py calls load_dotenv(override=True), which puts .env above testbay's values"
    )


COMPOSE = "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: own, POSTGRES_DB: app}}}"


LOADS = {"a.py": 'load_dotenv(override=True)\nURL = os.environ["DATABASE_URL"]\n'}
LOCAL = {"a.py": "from local import URL\n", "local.py": 'URL = "postgresql://me:x@localhost:5439/shop"\n'}


@pytest.mark.parametrize("files", [LOADS, LOADS | {"compose.yml": COMPOSE}, LOCAL | {".gitignore": "local.py"}])
def test_a_developers_password_stays_in_its_file(project: Project, files: dict[str, str]) -> None:
    """The compose file that is written gets committed, so its server asks for no password instead."""
    subprocess.run(["git", "init", "--quiet", project.root], check=True)
    made = manifest.draft(add(project, DOTENV | files), {})

    text = servers.compose_text(made.servers, made.logins)

    login = ['      POSTGRES_USER: "me"', '      POSTGRES_DB: "shop"', '      POSTGRES_HOST_AUTH_METHOD: "trust"']
    assert text.split("    environment:\n")[1].splitlines()[:3] == login
    assert "POSTGRES_PASSWORD" not in text


@pytest.mark.parametrize(("file", "kept"), [("local.env", []), (".env", []), (".env", ["own"])])
def test_a_file_that_no_commit_holds_gives_the_manifest_no_value(project: Project, file: str, kept: list[str]) -> None:
    """A key of a developer's own would be committed with the manifest."""
    task = f'[tool.pdm.scripts]\ntest = {{cmd = "pytest tests/", env_file = "{file}"}}\n'
    ignored = "" if kept else file
    made = add(project, {"pyproject.toml": task, file: "SHOP_KEY=own\n", "app.py": "", ".gitignore": ignored})
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", project.root, *words], check=True)

    assert re.findall(r'SHOP_KEY = "(.*)"', manifest.draft(made, {}).text) == kept


def test_an_ignored_example_gives_the_manifest_no_value(project: Project) -> None:
    """It may be a .env.test with keys of a developer's own; a guess lets the program start."""
    files = {".env.test": "API_KEY=own\n", ".gitignore": ".env*\n", "app.py": 'KEY = os.environ["API_KEY"]\n'}
    subprocess.run(["git", "init", "--quiet", project.root], check=True)

    assert [line.key for line in manifest.draft(add(project, files), {}).env if "own" not in line.value] == ["API_KEY"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_compose_files_private_values_stay_where_they_are(project: Project, *, kept: bool) -> None:
    """What a .env file or the shell gives the program would be committed with the manifest; a guess starts it."""
    names = ["A_KEY", "B_KEY", "C_KEY", "D_KEY"]
    compose = (
        "services:\n  db: {image: postgres:16, environment: {POSTGRES_PASSWORD: x}}\n  api:\n    build: .\n"
        "    env_file: .env\n    environment:\n      B_KEY: x-${MINE}\n      C_KEY:\n      D_KEY: plain\n"
    )
    app = "import os\nimport psycopg\n" + "".join(f'os.environ["{name}"]\n' for name in names)
    made = add(project, {"docker-compose.yml": compose, ".env": "A_KEY=own\nMINE=own\n", "app.py": app})
    for words in (["init", "--quiet"], ["add", *(["."] if kept else ["app.py"])]):
        subprocess.run(["git", "-C", project.root, *words], check=True)

    env = {line.key: line.value for line in manifest.draft(made, {"C_KEY": "own"}).env}

    assert [env[name] for name in names if "own" in env[name]] == (['"own"', '"x-own"'] if kept else [])
    assert (env["D_KEY"], set(env) >= set(names)) == ('"plain"', True)

"""The variables that lead a program to testbay's servers."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, servers, variables
from testbay.init.project import Project

PLAIN = "{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.db}"
SOURCES = """
class Settings(BaseSettings):
    db_host: str
    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, env_settings):
        return init_settings, FIRST
"""


@pytest.mark.parametrize(
    ("packages", "read", "line"),
    [
        ("psycopg", 'getenv("DATABASE_URL")', ""),
        ("sqlalchemy\npsycopg2-binary", 'getenv("DATABASE_URL")', f'DATABASE_URL = "postgresql+psycopg2://{PLAIN}"'),
        ("sqlalchemy\npsycopg2", 'psycopg2.connect(getenv("DATABASE_URL"))', ""),
        ("sqlalchemy\npsycopg2\npsycopg", 'getenv("X", "postgresql://a:b@c/d")', 'X = "{postgres.url}"'),
        ("sqlalchemy\npsycopg", 'getenv("DATABASE_URL")', f'DATABASE_URL = "postgresql+psycopg://{PLAIN}"'),
        ("sqlmodel\nasyncpg", 'getenv("DATABASE_URL")', f'DATABASE_URL = "postgresql+asyncpg://{PLAIN}"'),
        (
            "sqlalchemy\nasyncpg\npsycopg2",
            'create_async_engine(environ["DATABASE_URL"])\ncreate_engine(environ["SYNC_DATABASE_URL"])',
            f'DATABASE_URL = "postgresql+asyncpg://{PLAIN}"\nSYNC_DATABASE_URL = "postgresql+psycopg2://{PLAIN}"',
        ),
        ("asyncpg", 'getenv("X", "postgresql+pg8000://a:b@c/d")', f'X = "postgresql+pg8000://{PLAIN}"'),
        ("sqlalchemy\nasyncpg", 'getenv("DATABASE_URL").replace("postgres://", "")', ""),
        (
            "advanced-alchemy\nasyncpg",
            'SQLAlchemyAsyncConfig(getenv("X_DSN"))',
            f'X_DSN = "postgresql+asyncpg://{PLAIN}"',
        ),
        (
            "psycopg",
            'from os import environ as env\nenv.get("DB_NAME")\nenv["DB_PORT"]',
            'DB_NAME = "{postgres.db}"\nDB_PORT = "{postgres.port}"',
        ),
        ("alembic\nasyncpg\npsycopg2", 'asyncpg.create_pool(getenv("DATABASE_URL"))', ""),
        ("psycopg", 'getenv("PGHOST")', 'PGHOST = "{postgres.host}"'),
        ("psycopg", 'getenv("DB_NAME")', 'DB_NAME = "{postgres.db}"'),
        ("psycopg", 'getenv("POSTGRES_PORT")', ""),
        ("psycopg", 'getenv("REDIS_URL")', ""),
        ("redis", 'getenv("REDIS_CLUSTER_URL", "redis://localhost:7000")', ""),
        ("redis", 'x = Redis.from_url(getenv("CLUSTER_REDIS_URL"))', 'CLUSTER_REDIS_URL = "{dragonfly.url}"'),
        ("redis", 'Redis.from_url(getenv("A_CLUSTER_URL", "redis://x"))', 'A_CLUSTER_URL = "{dragonfly.url}"'),
        ("redis", 'x = RedisCluster.from_url(getenv("CLUSTER_REDIS_URL"))', ""),
        ("nats-py", 'getenv("NATS_CLUSTER_URL", "nats://nats:4222")', 'NATS_CLUSTER_URL = "{nats.url}"'),
        ("psycopg", 'getenv("CLUSTER_DSN", "postgresql://db/app")', 'CLUSTER_DSN = "{postgres.url}"'),
        ("redis", 'getenv("CELERY_BROKER_URL")', 'CELERY_BROKER_URL = "{dragonfly.url}"'),
        ("redis", 'getenv("REDIS_PASSWORD")', 'REDIS_PASSWORD = "{dragonfly.password}"'),
        ("nats-py", 'getenv("NATS_SERVERS")', 'NATS_SERVERS = "{nats.url}"'),
        ("nats-py", "S = [f\"nats://{getenv('NATS_HOST')}\"]\nnats.connect(S)", 'NATS_HOST = "{nats.host}"'),
        ("nats-py", 'BUS = environ["BOT_NATS"]\nnats.connect(BUS)', 'BOT_NATS = "{nats.url}"'),
        ("psycopg", 'getenv("SHOP_DB", "shop")', 'SHOP_DB = "{postgres.db}"'),
        ("psycopg", 'getenv("KEEP_DB", "false")', ""),
        ("psycopg", 'getenv("LEDGER_DSN")', 'LEDGER_DSN = "{postgres.url}"'),
        ("psycopg", 'getenv("SENTRY_DSN")', ""),
        ("redis", 'getenv("REDIS_ADDR", "cache:6379")', 'REDIS_ADDR = "{dragonfly.host}:{dragonfly.port}"'),
        (
            "flask-sqlalchemy\npsycopg",
            "app.config.from_prefixed_env()",
            f'FLASK_SQLALCHEMY_DATABASE_URI = "postgresql+psycopg://{PLAIN}"',
        ),
        ("django", 'x = config("DB_CONNECTION")\ndj_database_url.parse(x)', 'DB_CONNECTION = "{postgres.url}"'),
        ("nats-py", 'getenv("PORT")', ""),
        ("redis", 'getenv("CELERY_BROKER_URL", "amqp://guest@localhost//")', ""),
        ("psycopg", 'getenv("DB_SERVICE_URL", "http://localhost:8000")', ""),
        ("psycopg", 'getenv("APP_DB_URL", "sqlite:///app.db")', 'APP_DB_URL = "{postgres.url}"'),
        ("psycopg", 'getenv("DBHOST")', 'DBHOST = "{postgres.host}"'),
        ("psycopg", 'create_engine(environ["WAREHOUSE"])', f'WAREHOUSE = "postgresql+psycopg://{PLAIN}"'),
        ("nats-py", "class C(BaseSettings):\n    broker_url: NatsDsn", 'BROKER_URL = "{nats.url}"'),
        ("psycopg", 'psycopg.connect(conninfo=environ["A_DATABASE"])', 'A_DATABASE = "{postgres.url}"'),
        ("psycopg", 'url = getenv("API")\nhttpx.get(url)\nX = create_engine(c.url)', ""),
        ("psycopg", "create_engine(f\"postgresql://{getenv('DB_USER')}@x\")", 'DB_USER = "{postgres.user}"'),
        ("redis", 'C = {"host": getenv("REDIS_HOST")}\nRedis.from_url(s.C)', 'REDIS_HOST = "{dragonfly.host}"'),
        (
            "redis",
            'getenv("R_URL", "redis://a:1/0?decode_responses=True")',
            'R_URL = "{dragonfly.url}?decode_responses=True"',
        ),
        (
            "psycopg",
            'getenv("X", "postgresql://b/c?sslmode=require&application_name=a")',
            'X = "{postgres.url}?application_name=a"',
        ),
        ("psycopg", 'getenv("DATABASE_URL", "postgresql://b/c?sslmode=require&user=me")', ""),
        ("asyncpg", 'X = getenv("STORE")\nasyncpg.connect(X)', 'STORE = "{postgres.url}"'),
        ("redis", "int(getenv('A', getenv('B')))\nint(getenv('C', getenv('D', 1 * 2)))", 'A = "1"'),
        ("redis", "int(getenv('A', environ.get('B', '2')))\nint(getenv('C', USUAL.get('c')))", ""),
        ("redis", "DAY = int(getenv('DAY', 24 * 60))\nSIZE = int(getenv('SIZE', None))", 'SIZE = "1"'),
        ("django", 'env("ALLOWED_HOSTS", cast=Csv())', 'ALLOWED_HOSTS = "*"'),
        ("django", "env.list('HOSTS')", 'HOSTS = ""'),
        ("fastapi", "class C(BaseSettings):\n    allowed_hosts: list[str]", "ALLOWED_HOSTS = '[\"*\"]'"),
        ("psycopg", 'env("DB_ENGINE")', 'DB_ENGINE = "django.db.backends.postgresql"'),
        ("psycopg", 'os.getenv("db_host", "x")\nconfig("db_port")', 'db_host = "{postgres.host}"'),
        (
            "flask",
            "A = int(getenv('SIZE'))\nB = getenv('NAMES').split()\nC = environ['SITE_URL']\nint(getenv('X') or 1)",
            'SITE_URL = "http://localhost:9"\nSIZE = "1"\nNAMES = "test"',
        ),
        (
            "psycopg",
            'getenv("SQL_ENGINE", "django.db.backends.sqlite3")',
            'SQL_ENGINE = "django.db.backends.postgresql"',
        ),
        (
            "psycopg",
            "class S(BaseSettings):\n    db_host: str\na = yaml.safe_load('a.yml')\nS(**a)\nT(**toml.load(x))",
            "",
        ),
        ("psycopg", 'P = "A_"\ngetenv(P + "DB_HOST")\nenviron[f"{P}DB_{x}"]', 'A_DB_HOST = "{postgres.host}"'),
        ("psycopg", '@option("--dsn", envvar="BILL_DSN")\ndef run(dsn): ...', 'BILL_DSN = "{postgres.url}"'),
        (
            "psycopg",
            'x = Option("postgresql://a@b/c?application_name=x", envvar="X")',
            'X = "{postgres.url}?application_name=x"',
        ),
        ("psycopg", 'x = Argument("postgresql://a@b/c", envvar="SHOP_DB")', 'SHOP_DB = "{postgres.url}"'),
        ("psycopg", 'config = Config(env_prefix="A_")\nconfig("DB_HOST")', 'A_DB_HOST = "{postgres.host}"'),
        ("psycopg", SOURCES.replace("FIRST", "Yaml(cls), env_settings"), ""),
        ("psycopg", SOURCES.replace("FIRST", "env_settings, Yaml(cls)"), 'DB_HOST = "{postgres.host}"'),
        ("psycopg", 'environ["POSTGRES_LOGIN"]', 'POSTGRES_LOGIN = "{postgres.user}"'),
        ("psycopg", 'from playhouse.db_url import connect\nconnect(environ["STORE"])', 'STORE = "{postgres.url}"'),
        (
            "psycopg",
            'class C(BaseSettings):\n    host_db: str = "x"\n    name_db: str\n    user_db: str',
            'HOST_DB = "{postgres.host}"\nNAME_DB = "{postgres.db}"\nUSER_DB = "{postgres.user}"',
        ),
        (
            "asyncpg",
            'Sanic("shop")\nc = app.config\nconnect(c.DB_HOST, c.get("DB_PORT"), c.debug)',
            'SANIC_DB_HOST = "{postgres.host}"\nSANIC_DB_PORT = "{postgres.port}"',
        ),
        (
            "psycopg",
            'import quart\napp.config.from_prefixed_env()\napp.config["DB"]["CONNINFO"]',
            'QUART_DB__CONNINFO = "{postgres.url}"',
        ),
        (
            "flask",
            'app.config.from_object(getenv("SETTINGS"))\nclass TestingConfig: X = 1',
            'SETTINGS = "app.TestingConfig"',
        ),
        ("flask", 'name = getenv("SETTINGS")\nimport_module(name)', ""),
        (
            "django-configurations\npsycopg",
            "KEY = values.SecretValue()\nD = values.DatabaseURLValue()\nHOST = values.Value('x', environ_prefix='DB')",
            'DJANGO_KEY = "test"\nDB_HOST = "{postgres.host}"',
        ),
    ],
)
def test_a_variable_gets_what_the_program_wants(project: Project, packages: str, read: str, line: str) -> None:
    """By an example, by its name and by the project's driver; what is exported anyway is left out."""
    found = add(project, {"requirements.txt": packages, "app.py": read})
    env = variables.environment(found, servers.servers(found, {}).needs)

    assert "\n".join(f"{one.key} = {one.value}" for one in env) == line


def test_a_cluster_without_a_default_is_said(project: Project) -> None:
    """A single server may do for it: the line to write is there."""
    files = {"requirements.txt": "redis", "a.py": 'getenv("REDIS_CLUSTER_URL")\ngetenv("REDIS_CLUSTER_NAME")'}

    made = manifest.draft(add(project, files), {})

    line = 'REDIS_CLUSTER_URL = "{redis.url}"'
    said = f"a run starts a single one, to which {line} in `env` leads, if that will do"
    told = f"a server for a.py:1, which reads REDIS_CLUSTER_URL: {said}"
    assert [text for text in made.missing if "CLUSTER" in text] == [told]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "at port 7000, the default of this variable"),
        ('\ngetenv("REDIS_URL")', "and tests that go to the default of this variable meet whatever listens"),
    ],
)
def test_a_cluster_that_a_variable_names_is_said(project: Project, more: str, said: str) -> None:
    """A run starts none, and the variable is left alone: its client would fail at a single server."""
    read = f'getenv("REDIS_CLUSTER_URL", "redis://localhost:7000"){more}'
    made = manifest.draft(add(project, {"requirements.txt": "redis", "a.py": read}), {})

    told = f"a server for a.py:1, which reads REDIS_CLUSTER_URL: a run starts a single one, {said}"
    assert [line for line in made.missing if "REDIS_CLUSTER_URL" in line] == [told]
    assert any("7000" in key.value for key in made.keys) == (not more)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("db:\n  host: ${oc.env:DB_HOST,localhost}\n", 'DB_HOST = "{postgres.host}"'),
        ("host = %(DB_HOST)s:%(asctime)s\n", 'DB_HOST = "{postgres.host}"'),
        ("url: ${PLACE:-postgresql://a:b@localhost/c}\n", 'PLACE = "{postgres.url}"'),
        ("""port: "{{ env_var('PG_PORT', '5432') | int }}"\nenv_var(x)\n""", 'PG_PORT = "{postgres.port}"'),
        ("""key: '{{ env_var("KEY") }}'\n""", 'KEY = "test"'),
        ("key: ${oc.env:KEY} # of the shop\nmail: ${MAIL_KEY}\nport: ${oc.env:PORT,80}\n", 'KEY = "test"'),
    ],
)
def test_variables_of_settings_files_are_led(project: Project, text: str, line: str) -> None:
    """As OmegaConf and other loaders of YAML write them; only OmegaConf is known to need a value."""
    found = add(project, {"conf/db/shop.yaml": text, "app.py": "import omegaconf"})

    assert [f"{one.key} = {one.value}" for one in variables.environment(found, {"postgres": ""})] == [line]


def test_the_database_beside_variables_of_a_settings_file_is_made(project: Project) -> None:
    """With the login that is the variables' default."""
    port = """port: "{{ env_var('W_PORT', '5432') | int }}"\nuser: ${W_USER:-me}\npassword: pw\ndbname: shop"""
    text = f"""type: postgres\nhost: "{{{{ env_var('W_HOST', 'localhost') }}}}"\n{port}\n"""
    found = add(project, {"profiles.yml": text, "app.py": "x = 1", "requirements.txt": "psycopg"})

    made = manifest.draft(found, {})

    login = ('      POSTGRES_USER: "me"', '      POSTGRES_PASSWORD: "pw"', '      POSTGRES_DB: "shop"')
    assert {*login} <= {*servers.compose_text(made.servers, made.logins).splitlines()}


def test_the_file_of_variables_of_a_task_is_set(project: Project) -> None:
    """All in it is for the program, also what no line of it names."""
    task = '[tool.pdm.scripts]\ntest = {cmd = "pytest tests/", env_file = "testing.env"}\n'
    file = "SHOP_KEY='k' # for tests\nSHOP_URL=postgresql://a:b@localhost/c\n"
    found = add(project, {"pyproject.toml": task, "testing.env": file, "app.py": ""})

    assert [f"{one.key} = {one.value}" for one in variables.environment(found, {"postgres": ""})] == [
        'SHOP_KEY = "k"',
    ]


BOOK = """
def uri():
    host = os.environ.get("DB_HOST", "localhost")
    port = 54321 if host == "localhost" else 5432
    return f"postgresql://shop:x@{host}:{port}/shop"
def cache():
    host = os.environ.get("REDIS_HOST", "localhost")
    return dict(host=host, port=63791 if host == "localhost" else 6379)
"""
PUBLISHED = """
services:
  c: {image: redis, ports: ["63791:6379"]}
  d: {image: postgres, environment: {POSTGRES_PASSWORD: x}}
"""


@pytest.mark.parametrize(
    ("text", "compose", "ports"),
    [
        (BOOK, PUBLISHED, "{ postgres = 54321, redis = 63791 }"),
        (BOOK, "", "{ postgres = 54321, redis = 6379 }"),
        ('psycopg.connect(host=os.environ["DB_HOST"])\nP = 63791', "", "{ postgres = 5432 }"),
    ],
)
def test_a_host_without_a_port_leads_to_the_port_that_the_program_has_for_it(
    project: Project, text: str, compose: str, ports: str
) -> None:
    """It takes another one on the developer's machine than among containers; the compose file publishes that."""
    files = {"requirements.txt": "psycopg\nredis", "app.py": f"import os\n{text}", "compose.yaml": compose}

    found = next(line for line in manifest.draft(add(project, files), {}).keys if line.key == "ports")

    assert found.value == ports

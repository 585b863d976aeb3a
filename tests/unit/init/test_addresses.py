"""Servers whose address stands in the sources: the port is fixed, and the login is the program's."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import addresses, insisted, manifest, servers
from testbay.init.addresses import FixedAddress
from testbay.init.project import Project

DJANGO = 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "localhost"}}'


IN_CI = 'if os.getenv("GITHUB_ACTIONS"):\n    U = "redis://localhost"\nelse:\n    U = "redis://localhost:7000"'
TORNADO = (
    'define("db_host", default="127.0.0.1")\ndefine("db_port", default=5433, type=int)\n'
    "c = psycopg2.connect(host=options.db_host, port=options.db_port, user=options.db_user)"
)

OWN_CONTAINERS = "it starts containers of its own"


@pytest.mark.parametrize(
    ("packages", "text", "ports"),
    [
        ("redis", "import redis\nr = redis.Redis()", "{ redis = 6379 }"),
        ("redis", 'r = redis.Redis(host="127.0.0.1", port=6380)', "{ redis = 6380 }"),
        ("redis", 'HOST = "localhost"\nr = redis.Redis(host=HOST, port=6379)', "{ redis = 6379 }"),
        ("celery", 'app = Celery(broker="redis://localhost")', "{ redis = 6379 }"),
        ("valkey", 'r = valkey.from_url("valkey://localhost:7000/1")', "{ valkey = 7000 }"),
        ("nats-py", "import nats\nasync def go():\n    await nats.connect()", "{ nats = 4222 }"),
        ("nats-py", 'PORT = 4333\nurl = f"nats://localhost:{PORT}"', "{ nats = 4333 }"),
        ("django\npsycopg", DJANGO, "{ postgres = 5432 }"),
        ("psycopg", 'c = psycopg.connect("host=localhost port=5433 dbname=shop user=me")', "{ postgres = 5433 }"),
        ("psycopg2", 'c = psycopg2.connect(host="localhost", user="me", dbname="shop")', "{ postgres = 5432 }"),
        (
            "redis",
            "GONE = 'redis://localhost:1'\nA, B = 'redis://localhost:7000/1', 'redis://localhost:7000'",
            "{ redis = 7000 }",
        ),
        ("redis", 'r = redis.Redis(host=getenv("REDIS_HOST", "localhost"))', "{ redis = 6379 }"),
        ("redis", 'r = redis.Redis(getenv("REDIS_HOST"), int(getenv("REDIS_PORT")))', ""),
        ("redis", 'r = redis.Redis(host="cache")', ""),
        ("redis", 'r = redis.StrictRedis("localhost", 7379)', "{ redis = 7379 }"),
        ("redis", "r = redis.Redis(db=2)", "{ redis = 6379 }"),
        ("redis", "s = RedisSettings(port=123)", ""),
        ("redis", "r = redis.Redis(connection_pool=pool)", ""),
        ("redis", "r = redis.Redis(**options)", ""),
        ("redis", 'r = cls("localhost", port=6390, decode_responses=True)', ""),
        ("redis", 'r = cls(host="localhost", port=6390, decode_responses=True)', "{ redis = 6390 }"),
        ("redis", 'o = {"host": "localhost", "port": 6390, "decode_responses": raw}', "{ redis = 6390 }"),
        ("redis", 'r = httpx.get("http://localhost:6379")', ""),
        ("psycopg", 'c = psycopg.connect(host="localhost", user=environ["DB_USER"])', "{ postgres = 5432 }"),
        ("psycopg", TORNADO, "{ postgres = 5433 }"),
        ("redis", IN_CI, "{ redis = 7000 }"),
        ("redis", 'L = {"hosts": [("127.0.0.1", 6379)]}', "{ redis = 6379 }"),
        ("redis", 'r = Redis(host=getattr(settings, "REDIS_HOST", "localhost"))', "{ redis = 6379 }"),
        ("nats-py", 'n = nats.connect("localhost:4222")', "{ nats = 4222 }"),
        ("psycopg2", 'p = pool.SimpleConnectionPool(1, 9, host="localhost", user="me")', "{ postgres = 5432 }"),
        ("psycopg2", 'D = dict(host="localhost", dbname="shop", user="me", password="x")', "{ postgres = 5432 }"),
        ("psycopg2", 'db.bind(provider="postgres", host="localhost", user="me")', "{ postgres = 5432 }"),
        ("peewee\npsycopg2", 'db = PostgresqlDatabase("shop", user="me", host="localhost")', "{ postgres = 5432 }"),
    ],
)
def test_a_fixed_address_fixes_the_port(project: Project, packages: str, text: str, ports: str) -> None:
    """A variable that leads elsewhere leaves the port free; so does a host that only a network of containers knows."""
    made = manifest.draft(add(project, {"requirements.txt": packages, "app.py": text}), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ([ports] if ports else [])


def test_a_host_that_only_containers_know_is_said(project: Project) -> None:
    """With the line that names it."""
    made = manifest.draft(add(project, {"requirements.txt": "redis", "a.py": 'r = Redis(host="cache")'}), {})

    [said] = made.missing

    assert said == (
        "a way to redis: a.py:1 names the host 'cache', which only its network knows; "
        "read it from a variable of the environment, and name that in `env`"
    )


def test_the_compose_file_has_the_programs_own_login(project: Project) -> None:
    """The compose file that is written has the user, password and database that the program asks for."""
    found = add(project, {"requirements.txt": "asyncpg", "a.py": 'u = "postgresql://me:p$w@localhost:5432/shop"'})
    made = manifest.draft(found, {})

    text = servers.compose_text(made.servers, made.logins)

    assert text.splitlines()[3:] == [
        "    image: postgres:18",
        "    environment:",
        '      POSTGRES_USER: "me"',
        '      POSTGRES_PASSWORD: "p$$w"',
        '      POSTGRES_DB: "shop"',
        '      POSTGRES_INITDB_ARGS: "--locale=C.UTF-8" # texts sort by code point, with and without Docker',
    ]


@pytest.mark.parametrize(
    ("packages", "image"),
    [("redis", "redis:8"), ("valkey", "valkey/valkey:9"), ("nats-py", "nats:2.12"), ("psycopg", "postgres:18")],
)
def test_the_compose_file_names_the_servers_own_image(project: Project, packages: str, image: str) -> None:
    """A project of Redis clients gets Redis."""
    made = manifest.draft(add(project, {"requirements.txt": packages}), {})

    assert f"    image: {image}" in servers.compose_text(made.servers, {}).splitlines()


def test_a_program_of_a_repository_gets_its_own_servers(project: Project) -> None:
    """The compose file above it has those of the other programs, too."""
    text = "services: {db: {image: postgres:17}, bus: {image: nats:2.12}}"
    add(project, {"compose.yml": text, "worker/requirements.txt": "nats-py", ".git/HEAD": ""})

    found = servers.servers(Project(root=project.root / "worker"), {})

    assert found.needs == {"nats": "../compose.yml: bus (nats:2.12)"}


def test_imports_speak_where_no_file_names_packages(project: Project) -> None:
    """A folder of scripts and notebooks."""
    found = servers.servers(add(project, {"load.py": "import psycopg2\nfrom redis import Redis\n"}), {})

    assert found.needs == {"postgres": "load.py: import psycopg2", "dragonfly": "load.py: import redis"}


@pytest.mark.parametrize(
    ("name", "text", "ports"),
    [
        ("config.ini", "[database]\nhost = localhost\nport = 5432\nname = stock\n", ["{ postgres = 5432 }"]),
        ("config/app.yaml", "db:\n  url: postgresql://me@localhost:5433/stock\n", ["{ postgres = 5433 }"]),
        ("alembic.ini", "[alembic]\nsqlalchemy.url = postgresql://a:b@localhost/x\n", ["{ postgres = 5432 }"]),
        ("alembic/alembic.ini", "[alembic]\nsqlalchemy.url = postgresql://a:b@localhost/x\n", ["{ postgres = 5432 }"]),
        ("pyproject.toml", '[tool.x]\nurl = "postgresql://localhost/x"\n', []),
        ("config.ini", "[web]\nhost = localhost\nport = 8000\n", []),
    ],
)
def test_settings_files_fix_addresses(project: Project, name: str, text: str, ports: list[str]) -> None:
    """Those that the program reads itself; not those of tools."""
    files = {
        "requirements.txt": "psycopg",
        "app.py": "x = 1",
        "alembic/env.py": "engine_from_config(section)",
        name: text,
    }

    made = manifest.draft(add(project, files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports


@pytest.mark.parametrize(
    ("requirement", "need"), [("tortoise-orm[asyncpg]", "postgres"), ("x[all,redis]>=2", "dragonfly"), ("x[y]", "")]
)
def test_an_extra_names_a_server(project: Project, requirement: str, need: str) -> None:
    """Where the driver is named by nothing else."""
    found = servers.servers(add(project, {"requirements.txt": requirement}), {})

    assert list(found.needs) == ([need] if need else [])


def test_requirements_of_the_documentation_name_no_server(project: Project) -> None:
    """They hold whatever its examples import."""
    files = {"requirements/docs.txt": "celery", "requirements-doc.txt": "nats-py", "requirements/test.txt": "psycopg"}

    assert list(servers.servers(add(project, files), {}).needs) == ["postgres"]


@pytest.mark.parametrize(
    ("packages", "conftest", "said"),
    [
        ("x", "from testcontainers.postgres import P", f"tests/conftest.py: {OWN_CONTAINERS} (testcontainers)"),
        ("x", "subprocess.run(['docker', 'compose', 'up'])", f"tests/conftest.py:1: {OWN_CONTAINERS} (docker compose)"),
        ("x", "os.system(f'docker run -p {PORT}:5432 a')", f"tests/conftest.py:1: {OWN_CONTAINERS} (docker run)"),
        ("pytest-postgresql", "", "requirements.txt: pytest-postgresql starts a server of its own"),
        ("lovely-pytest-docker", "", "requirements.txt: lovely-pytest-docker starts a server of its own"),
    ],
)
def test_tests_with_servers_of_their_own_are_said(project: Project, packages: str, conftest: str, said: str) -> None:
    """They pass testbay's by, and may need Docker."""
    made = manifest.draft(add(project, {"requirements.txt": packages, "tests/conftest.py": conftest}), {})

    assert made.missing[-1] == f"a way past {said}; a fixture that gives DATABASE_URL instead needs none"


def test_containers_that_a_variable_makes_needless_are_not_said(project: Project) -> None:
    """The conftest starts them only where nobody gives it an address, and testbay does."""
    conftest = 'import os\nfrom testcontainers.postgres import P\nDSN = os.environ.get("EXTERNAL_POSTGRES_DSN") or P()'
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "tests/conftest.py": conftest}), {})

    assert [line.key for line in made.env] == ["EXTERNAL_POSTGRES_DSN"]
    assert not [line for line in made.missing if "containers" in line]


def test_a_field_of_a_model_in_settings_is_no_fixed_address(project: Project) -> None:
    """A variable with the delimiter reaches it."""
    model = "class Db(BaseModel):\n    host: str = 'localhost'\n    user: str = 'me'\n"
    settings = "class S(BaseSettings):\n    model_config = {}\n    db: Db = Db()\n    class Config:\n"
    test = "def test_it():\n    psycopg.connect(host=d.host, user=d.user)"
    files = {"a.py": f"{model}{settings}        env_nested_delimiter = '__'\n", "tests/test_a.py": test}
    made = manifest.draft(add(project, files | {"requirements.txt": "psycopg"}), {})

    assert [line.key for line in made.env] == ["DB__HOST", "DB__USER"]
    assert not [line for line in made.keys if line.key == "ports" and "names" in line.source]


@pytest.mark.parametrize("start", ["subprocess.Popen", "TestProcess", "TCPExecutor"])
def test_a_server_that_the_tests_start_keeps_its_port(project: Project, start: str) -> None:
    """With testbay's server there, their own could not take it."""
    helper = f'import os\n\ndef serve():\n    return {start}(["/opt/redis-server", "--port", "6379"])'
    files = {"requirements.txt": "redis", "shop.py": "x = 1", "tests/helper.py": helper, "tests/test_a.py": CONNECTS}
    made = manifest.draft(add(project, files), {})

    assert not [line for line in made.keys if line.key == "ports"]
    said = "tests/helper.py:4: it starts redis-server of its own; a fixture that gives REDIS_URL instead needs none"
    assert [line for line in made.missing if "redis" in line] == [f"a way past {said}"]


PARTS = 'U = "me"\nH = "localhost"\n'
DOTENV = "A=1\nURL='postgresql://localhost:5439/x'"
CONNECTS = "import redis\n\ndef test_it():\n    redis.from_url('redis://localhost:6379')"


@pytest.mark.parametrize(
    ("files", "ports"),
    [
        ({"conftest.py": PARTS + 'URL = f"postgresql://{U}:pw@{H}:5433/shop"'}, ["{ postgres = 5433 }"]),
        ({"conftest.py": PARTS + 'URL = "postgresql://%s:%s@%s/shop" % (U, "pw", H)'}, ["{ postgres = 5432 }"]),
        ({"conftest.py": PARTS + 'URL = "postgresql://{}@{h}:{p}/x".format(U, h=H, p=5455)'}, ["{ postgres = 5455 }"]),
        ({"conftest.py": PARTS + 'URL = "postgresql://" + U + "@" + H + ":5434/x"'}, ["{ postgres = 5434 }"]),
        ({"conftest.py": 'os.environ["DATABASE_URL"] = "postgresql://localhost:5435/x"'}, ["{ postgres = 5435 }"]),
        ({"conftest.py": 'os.environ.setdefault("DATABASE_URL", "postgresql://localhost:5435/x")'}, []),
        ({"conftest.py": 'URL = os.getenv("DATABASE_URL") or "postgresql://localhost:5435/x"'}, []),
        ({"config.py": 'class TestingConfig:\n    URL = "postgresql://localhost/x"'}, ["{ postgres = 5432 }"]),
        ({"config.py": 'class TestSettings(BaseSettings):\n    url: str = "postgresql://localhost/x"'}, []),
        ({"pytest.ini": "[pytest]\nenv =\n  DATABASE_URL=postgresql://localhost:5477/x"}, ["{ postgres = 5477 }"]),
        ({"pytest.ini": "[pytest]\nenv =\n  D:DATABASE_URL=postgresql://localhost:77/x"}, []),
        ({"conftest.py": 'load_dotenv("../.env.t", override=True)', ".env.t": DOTENV}, ["{ postgres = 5439 }"]),
        ({"conftest.py": 'load_dotenv("../.env.t")', ".env.t": DOTENV}, []),
    ],
)
def test_what_tests_insist_on_fixes_the_port(project: Project, files: dict[str, str], ports: list[str]) -> None:
    """They pass the variables by that the program reads; what the environment replaces does not."""
    program = {"requirements.txt": "psycopg\npytest-env", "app.py": 'u = os.environ["DATABASE_URL"]'}

    made = manifest.draft(add(project, program | files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports


@pytest.mark.parametrize(
    ("test", "ports"),
    [
        (CONNECTS, ["{ redis = 6379 }"]),
        ("import redis\nAT = 'redis://localhost:6381'\nclient = redis.from_url(AT)", ["{ redis = 6381 }"]),
        ("def setUp(self):\n    self.client = redis.Redis()", ["{ redis = 6379 }"]),
        ("import fakeredis\n" + CONNECTS, []),
        ("import pytest\n@pytest.mark.skip('slow')\ndef test_it():\n    RedisSettings('localhost', 7000)", []),
        (
            "import pytest\n@pytest.mark.skipif(X)\ndef test_it():\n    RedisSettings('localhost', 7000)",
            ["{ redis = 7000 }"],
        ),
        ('async def test_safe_redis_down():\n    Cache(address="redis://localhost:7000")', []),
        (CONNECTS + "\n\ndef test_patched():\n    with patch('app.redis.from_url'):\n        pass", []),
        ("def test_it():\n    assert parse('redis://localhost:6379').port == 6379", []),
        ("def test_it():\n    assert app.url == 'redis://localhost:6379'", []),
        ("async def test_it(nats):\n    await nats.connect()", []),
        ("@pytest.mark.parametrize('url', ['redis://localhost:6379'])\ndef test_it(url):\n    pass", []),
    ],
)
def test_an_address_that_tests_only_mention_fixes_no_port(project: Project, test: str, ports: list[str]) -> None:
    """A stand-in listens there itself, and a server of the developer's there would stop the run."""
    made = manifest.draft(
        add(project, {"requirements.txt": "redis\nnats-py", "app.py": "x = 1", "tests/test_x.py": test}), {}
    )

    assert [line.value for line in made.keys if line.key == "ports"] == ports


@pytest.mark.parametrize(
    "named",
    [
        'URL = f"postgresql://me:pw@{H}:5432/shop_test"',
        'os.getenv("DB_NAME")\nconfig.DB_NAME = "shop_test"',
        'os.getenv("DB_NAME", "shop_test")',
    ],
)
def test_a_database_that_only_the_tests_name_is_made(project: Project, named: str) -> None:
    """The variables lead to the server, and the name stands in conftest.py."""
    conftest = f'H = os.getenv("DB_HOST", "localhost")\n{named}'
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "tests/conftest.py": conftest}), {})

    assert '      POSTGRES_DB: "shop_test"' in servers.compose_text(made.servers, made.logins).splitlines()


@pytest.mark.parametrize(
    ("more", "laid"),
    [
        ("}", ("compose.yml", "docker-compose.test.yml")),
        (", command: postgres -c fsync=off}, cache: {image: redis}", ("compose.yml", "docker-compose.test.yml")),
        (", volumes: ['./x:/docker-entrypoint-initdb.d']}", ()),
    ],
)
def test_a_database_beside_that_of_the_compose_file_is_made(project: Project, more: str, laid: tuple[str, ...]) -> None:
    """By a file that is laid over the project's, unless scripts may make it."""
    compose = f"services: {{db: {{image: 'postgres:15', environment: {{POSTGRES_PASSWORD: x, POSTGRES_DB: app}}{more}}}"
    files = {"compose.yml": compose, "tests/conftest.py": 'URL = "postgresql://me:pw@localhost/app_test"'}

    made = manifest.draft(add(project, files | {"x/.keep": ""}), {})

    assert (made.servers.compose, made.servers.missing) == (laid, bool(laid))
    over = servers.compose_text(made.servers, made.logins).splitlines()[1:] if laid else []
    assert over[:2] + over[-1:] == (["services:", "  db:", '      POSTGRES_DB: "app_test"'] if laid else [])


@pytest.mark.parametrize(
    "text",
    [
        'URL = f"redis://localhost:{port}"',
        'URL = "redis://localhost:" + port',
        'URL = f"redis://localhost:63{port}"',
        'URL = "redis://localhost:%d" % port',
        'URL = "redis://localhost:{}".format(port)',
        'URL = f"redis://cache{number}:6379"',
        'Redis(host="localhost", port=port)',
        'Redis(host="localhost", port=6379 + shift)',
        'URL = "redis://localhost:99999"',
    ],
)
def test_an_address_of_which_a_part_is_unknown_is_not_guessed(project: Project, text: str) -> None:
    """Neither the server's usual port nor half a name stands in for it."""
    files = {"app.py": f"from where import port, number, shift\n{text}\n"}

    assert addresses.fixed(add(project, files), ["dragonfly"]) == {}


def test_an_unknown_login_leaves_the_address_known(project: Project) -> None:
    """The known part of a database's name is not the whole name."""
    text = 'URL = f"postgresql://{user}:{secret}@localhost:5433/shop_{stage}"'

    found = addresses.fixed(add(project, {"app.py": f"from x import user, secret, stage\n{text}\n"}), ["postgres"])

    assert found["postgres"] == FixedAddress(need="postgres", host="localhost", port=5433, where="app.py:2")


def test_a_field_of_settings_is_no_address_of_the_tests(project: Project) -> None:
    """Its variable says another one, so no port has to be free."""
    settings = 'class S(BaseSettings):\n    host: str = "localhost"\n    port: int = 5432\nsettings = S()\n'
    test = "connect(host=settings.host, port=settings.port, user='u', dbname='d')\n"

    assert insisted.insisted(add(project, {"app.py": settings, "tests/conftest.py": test}), ["postgres"]) == {}


def test_tests_that_connect_show_the_server_that_no_package_names(project: Project) -> None:
    """SQLAlchemy's projects leave the driver to their users; conftest.py has the address."""
    conftest = "url = f\"postgresql://{os.getenv('SHOP_TEST_USER', 'me')}@localhost/shop_test\""
    files = {"requirements.txt": "sqlalchemy", "a.py": "x = 1", "tests/conftest.py": conftest}

    made = manifest.draft(add(project, files), {})

    assert made.servers.needs == {"postgres": "tests/conftest.py:1 names postgres"}


@pytest.mark.parametrize(
    ("app", "ports"),
    [("store = Store()", ["{ redis = 6380 }"]), ('store = Store(os.environ["REDIS_URL"])', [])],
)
def test_where_nothing_leads_to_a_server_it_is_where_the_compose_file_has_it(
    project: Project, app: str, ports: list[str]
) -> None:
    """A library's own default is in no source; with a port of its own the server would have a password, too."""
    compose = 'services:\n  cache:\n    image: redis\n    ports: ["127.0.0.1:6380:6379"]\n'
    files = {"compose.yml": compose, "app.py": app, "tests/test_a.py": "def test_it(): pass"}

    made = manifest.draft(add(project, {"requirements.txt": "apscheduler"} | files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ('"postgresql://localhost/shop_test"', ["PGUSER", "PGPASSWORD"]),
        ('"postgresql://me@localhost/shop_test"', []),
        ('f"postgresql://{getuser()}@localhost/shop_test"', []),
    ],
)
def test_an_address_without_a_user_gets_one_from_libpqs_variables(
    project: Project, address: str, named: list[str]
) -> None:
    """Else it would be the name of who runs the tests, which only their own server knows."""
    conftest = f"engine = create_engine({address})"
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "tests/conftest.py": conftest}), {})

    assert [line.key for line in made.env] == named

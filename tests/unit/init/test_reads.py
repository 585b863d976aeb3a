"""Which variables `testbay init` sees a program read, whatever reads them for it."""

import pytest
from tests.unit.init.conftest import add

from testbay.init.project import Project
from testbay.init.reads import reads

SETTINGS = """
class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")
    database_url: PostgresDsn
    cache_url: str = "redis://localhost:6379/0"
    token: str | None = None
    key: str = Field(validation_alias="SIGNING_KEY")
"""


def test_every_way_to_read_the_environment_is_seen(project: Project) -> None:
    """The first one without a default, at import, is one that the program cannot start without."""
    text = 'import os\nA = os.environ["A_URL"]\nB = os.getenv("B", "1")\nC = env.str("C", default="2")\n'
    text += 'def f():\n    return os.environ["D"], environ.get("E"), {}.get("F"), config("G"), os.environ["A_URL"]\n'

    found = reads(add(project, {"app.py": text, "broken.py": "def", "deep.py": f"{text}x = {{1: ''{' + B' * 1500}}}"}))

    assert [(read.name, read.default, read.required) for read in found] == [
        ("A_URL", "", True),
        ("B", "1", False),
        ("C", "2", False),
        ("D", "", False),
        ("E", "", False),
        ("G", "", False),
    ]


def test_what_a_function_reads_that_runs_at_import_is_required(project: Project) -> None:
    """A test that says `config = load_config()` cannot be collected without it; one branch may not be taken."""
    config = "class Db:\n    def of(env):\n        return env.str('DB_NAME')\n\n\ndef load():\n    env = Env()\n"
    config += "    if env.str('MODE', ''):\n        env.str('KEY')\n    return env.str('TOKEN'), Db.of(env)\n"
    config += "class Own:\n    def __init__(self):\n        self.key = environ['OWN_KEY']\n\n\nown = Own()\n"
    lazy = "def later(env):\n    return env.str('LATER')\n"

    found = reads(add(project, {"conf.py": config + lazy, "tests/test_a.py": "from conf import load\nc = load()"}))

    assert {read.name for read in found if read.required} == {"TOKEN", "DB_NAME", "OWN_KEY"}
    assert {read.name for read in found if not read.required} == {"MODE", "KEY", "LATER"}


def test_fields_of_pydantic_settings_are_variables(project: Project) -> None:
    """With the prefix, unless they have an alias."""
    found = reads(add(project, {"settings.py": SETTINGS}))

    assert [(read.name, read.default, read.required) for read in found] == [
        ("SHOP_DATABASE_URL", "", True),
        ("SHOP_CACHE_URL", "redis://localhost:6379/0", False),
        ("SHOP_TOKEN", "", False),
        ("SIGNING_KEY", "", True),
    ]


@pytest.mark.parametrize(("beside", "needed"), [("settings/test.py", []), ("app.py", ["KEY"])])
def test_the_settings_of_a_deployment_are_not_required(project: Project, beside: str, needed: list[str]) -> None:
    """Where others are for tests, production.py is not loaded: its variables need no value."""
    files = {"settings/production.py": "import os\nKEY = os.environ['KEY']\n", beside: "x = 1"}

    assert [read.name for read in reads(add(project, files)) if read.required] == needed


NESTED = """
class Database(BaseModel):
    host: str
    port: int = 5432
class Base(BaseSettings):
    class Config:
        env_prefix = "SHOP_"
        env_nested_delimiter = "__"
class Settings(Base):
    db: Database
    cache: "CacheSettings" = None
    key: str = Field(validation_alias=AliasChoices("SHOP_KEY", "KEY"))
"""


def test_prefix_and_models_of_settings_classes(project: Project) -> None:
    """A class may take both from the class above it."""
    found = reads(add(project, {"settings.py": NESTED}))

    assert [(read.name, read.required) for read in found] == [
        ("SHOP_DB__HOST", True),
        ("SHOP_DB__PORT", False),
        ("SHOP_CACHE", False),
        ("SHOP_KEY", True),
    ]


def test_settings_classes_of_tests_build_on_each_other(project: Project) -> None:
    """tests/settings.py has classes of its own beside the program's."""
    text = "class Base(BaseSettings):\n    model_config = {}\nclass Settings(Base):\n    pg_dsn_test: str = ''\n"

    found = reads(add(project, {"tests/settings.py": text}))

    assert [(read.name, read.required) for read in found] == [("PG_DSN_TEST", False)]


TYPES = """
class Level(StrEnum):
    LOW = "low"
class Settings(BaseSettings):
    origins: list[AnyHttpUrl]
    stage: Literal["local", "live"]
    level: Level
    key: SecretStr = Field(min_length=10)
    wait: timedelta
    site: AnyHttpUrl
"""


def test_a_guess_has_the_fields_type(project: Project) -> None:
    """A program that checks its settings starts with it."""
    found = reads(add(project, {"settings.py": TYPES}))

    assert [read.sample for read in found] == ["[]", "local", "low", "testtesttest", "1", "http://localhost:9"]


def test_prefixes_of_environs_and_dynaconf(project: Project) -> None:
    """`with env.prefixed`, one in another; `envvar_prefix` with the keys of the settings file and of the code."""
    environs = (
        'with env.prefixed("A_"):\n    X = env("X")\n    with env.prefixed("B_"):\n        Y = env("Y")\nZ = env("Z")\n'
    )
    dynaconf = 'settings = Dynaconf(envvar_prefix="shop", settings_files=["settings.toml"], environments=True)\n'
    files = {"a.py": environs, "conf/b.py": dynaconf, "c.py": "settings.cache_url\nsettings['token']\n"}
    text = '[default]\ndatabase_url = "postgresql://a@b/c"\nport = 1\n[testing.redis]\nhost = "h"\n'

    found = reads(add(project, files | {"settings.toml": text}))

    assert {read.name for read in found} == {
        *("A_X", "A_B_Y", "Z", "SHOP_DATABASE_URL", "SHOP_PORT", "SHOP_REDIS__HOST", "SHOP_CACHE_URL", "SHOP_TOKEN"),
    }


def test_the_prefix_of_djangos_dynaconf(project: Project) -> None:
    """In the long form, which its older versions want."""
    text = 'settings = DjangoDynaconf(__name__, ENVVAR_PREFIX_FOR_DYNACONF="PULP")\nsettings.REDIS_URL\n'

    assert [read.name for read in reads(add(project, {"settings.py": text}))] == ["PULP_REDIS_URL"]


def test_functions_of_the_program_that_read_the_environment_are_known(project: Project) -> None:
    """One that raises makes its variables required."""
    helpers = "import os\n\ndef get_env(key, default=None):\n    return lambda: os.environ.get(key, default)\n"
    helpers += "def must(key):\n    return os.environ[key]\n"
    text = f"{helpers}\nURL = get_env('SHOP_URL', 'redis://x')\nA = get_env('A_WORD')\nKEY = must('SHOP_KEY')"
    found = reads(add(project, {"shop.py": text}))

    assert [(one.name, one.default, one.required) for one in found] == [
        ("SHOP_URL", "redis://x", False),
        ("A_WORD", "", False),
        ("SHOP_KEY", "", True),
    ]


GROUPS = """
import environ
@environ.config(prefix="shop")
class Config:
    @environ.config
    class Db:
        host = environ.var("localhost")
        port = environ.var(converter=int)
    db = environ.group(Db)
    cache = environ.var(name="CACHE_URL", default=None)
"""


def test_a_settings_file_of_dynaconf_may_be_yaml(project: Project) -> None:
    """Tables in tables are joined by two underlines."""
    maker = 'settings = Dynaconf(envvar_prefix="SHOP", settings_files=["settings.yaml"], environments=True)'
    found = reads(add(project, {"a.py": maker, "settings.yaml": "default:\n  db:\n    url: postgresql://x/shop\n"}))

    endless = reads(Project(root=add(project, {"settings.yaml": "default: &a\n  db: *a\n"}).root))

    assert [(read.name, read.default) for read in found] == [("SHOP_DB__URL", "postgresql://x/shop")]
    assert endless == []


def test_groups_of_environ_config_are_read(project: Project) -> None:
    """The names of the group and of its field follow the prefix."""
    found = reads(add(project, {"requirements.txt": "environ-config", "a.py": GROUPS}))

    assert [(read.name, read.default, read.required, read.sample) for read in found] == [
        ("SHOP_DB_HOST", "localhost", False, "test"),
        ("SHOP_DB_PORT", "", True, "1"),
        ("CACHE_URL", "", False, "test"),
    ]


V1 = "class S(BaseSettings):\n    dsn: str = 'x'\n    class Config:\n        "


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from decouple import Config, RepositoryEnv\ncfg = Config(RepositoryEnv('.env'))\nA = cfg('A_URL')", "A_URL"),
        ("from decouple import config as c\nA = c('A_URL')", "A_URL"),
        ("from starlette.config import Config\ncfg = Config('.env')\nA = cfg.get('A_URL')", "A_URL"),
        ("from environs import env as e\nA = e.str('A_URL')", "A_URL"),
        ("import environs\nreader = environs.Env(prefix='SHOP_')\nA = reader.str('A_URL')", "SHOP_A_URL"),
        (f"{V1}fields = {{'dsn': {{'env': 'A_URL'}}}}", "A_URL"),
        (f"{V1}fields = {{'dsn': {{'env': ['A_URL', 'B_URL']}}}}", "A_URL"),
        ("class S(BaseSettings):\n    dsn: str = Field('x', env=['A_URL', 'B_URL'])", "A_URL"),
        (
            "class S(BaseSettings):\n    model_config = {}\n    dsnOf: str = 'x'\ns = S(_env_prefix='SHOP_')",
            "SHOP_DSNOF",
        ),
        (f"{V1}case_sensitive = True\nclass T(S):\n    dsnOf: str = 'x'", "dsnOf"),
        ("class S(GoodConf):\n    DSN: str = 'x'", "DSN"),
    ],
)
def test_a_reader_is_known_by_whatever_name(project: Project, text: str, name: str) -> None:
    """A variable of another name would lead nowhere, and the program to its own default."""
    assert name in [read.name for read in reads(add(project, {"a.py": text}))]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (
            "from environs import Env\nenv = Env()\nA = env.str('A_URL')",
            "from environs import Env\njobs = Env(prefix='B_')",
        ),
        ("class S(BaseSettings):\n    a_url: str = 'x'\ns = S()", "from a import S\nseeds = S(_env_prefix='B_')"),
    ],
)
def test_the_prefix_of_another_reader_is_not_taken(project: Project, text: str, other: str) -> None:
    """The program's own would stay at its default."""
    assert "A_URL" in [read.name for read in reads(add(project, {"a.py": text, "b.py": other}))]

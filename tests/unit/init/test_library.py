"""A library's manifest: how its tests are led, and what is left to its users."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest
from testbay.init.project import Project


@pytest.mark.parametrize(
    ("setup", "default", "lines"),
    [
        ("", "", ["SHOP_DSN", "TEST_DSN"]),
        ("setup(classifiers=[])", "", ["TEST_DSN"]),
        ("setup(classifiers=[])", ', "postgresql://db/shop"', ["SHOP_DSN", "TEST_DSN"]),
    ],
)
def test_variables_of_a_librarys_users_are_left_to_them(
    project: Project, setup: str, default: str, lines: list[str]
) -> None:
    """The tests have one of their own; a default may lead the library to a server that is none of testbay's."""
    files = {
        "setup.py": setup,
        "shop.py": f'DSN = os.environ.get("SHOP_DSN"{default})',
        "tests/conftest.py": 'DSN = os.environ.get("TEST_DSN")',
    }
    made = manifest.draft(add(project, {"requirements.txt": "psycopg"} | files), {})

    assert [line.key for line in made.env] == lines


@pytest.mark.parametrize(
    ("read", "lines"),
    [
        ('OPTIONS = [click.option("--url", "-u", envvar="SHOP_REDIS_URL")]', []),
        ('URL = os.environ.get("REDIS_URL")', ["REDIS_URL = false"]),
        ('URL = os.environ["SHOP_REDIS_URL"]', ['SHOP_REDIS_URL = "{redis.url}"']),
    ],
)
def test_variables_of_a_librarys_users_are_left_out_where_tests_have_a_fixed_port(
    project: Project, read: str, lines: list[str]
) -> None:
    """An address in them would overrule the settings file that a test gives the library."""
    files = {"setup.py": "setup(classifiers=[])", "shop.py": read, "tests/test_shop.py": "client = Redis(db=3)"}

    made = manifest.draft(add(project, {"requirements.txt": "redis"} | files), {})

    assert [f"{line.key} = {line.value}" for line in made.env] == lines


def test_a_projects_prefix_names_the_server_of_its_tests(project: Project) -> None:
    """The tests' login is the server's, and the port of the program's own is not."""
    read = "getenv('POSTGRESQL_AUDIT_TEST_PASSWORD', '')\ngetenv('POSTGRESQL_AUDIT_PORT', '80')"
    files = {"pyproject.toml": '[project]\nname = "postgresql_audit"\ndependencies = ["psycopg"]', "a.py": read}

    made = manifest.draft(add(project, files), {})

    assert [f"{line.key} = {line.value}" for line in made.env] == [
        'POSTGRESQL_AUDIT_TEST_PASSWORD = "{postgres.password}"'
    ]


@pytest.mark.parametrize(
    ("call", "setup", "ports"),
    [
        ("Redis(db=db, **options)", "setup(classifiers=[])", ["{ redis = 6379 }"]),
        ("Redis(db=db, **options)", "", []),
        ("Redis(host, port)", "setup(classifiers=[])", []),
        ("Redis(unix_socket_path=path, **options)", "setup(classifiers=[])", []),
    ],
)
def test_tests_of_a_library_meet_its_clients_default(project: Project, call: str, setup: str, ports: list[str]) -> None:
    """Its users give the address; a program's own tests may have it from anywhere."""
    files = {"setup.py": setup, "store.py": f"client = {call}", "requirements.txt": "redis"}

    made = manifest.draft(add(project, files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports


def test_a_client_itself_is_tested_against_its_server(project: Project) -> None:
    """No file names it as a package, and a host in its own code is an example."""
    files = {
        "pyproject.toml": '[project]\nname = "redis"\nclassifiers = []',
        "redis/client.py": 'def connect(host):\n    """Like this."""\n    return URL("redis://unknown")',
        "tests/conftest.py": 'default_redis_url = "redis://localhost:6380/0"',
    }
    made = manifest.draft(add(project, files), {})

    assert [(line.key, line.value) for line in made.keys if line.key in ("needs", "ports")] == [
        ("needs", '["redis"]'),
        ("ports", "{ redis = 6380 }"),
    ]


READS = "settings = os.environ\nif settings.get('REDIS_URL'): pass\nclient = Redis()"


@pytest.mark.parametrize(
    ("setup", "test", "lines"),
    [
        ("setup(classifiers=[])", "", ["REDIS_URL = false"]),
        ("setup(classifiers=[])", 'os.environ["REDIS_URL"]', []),
        ("", "", []),
    ],
)
def test_an_address_that_a_librarys_tests_do_without_is_taken_back(
    project: Project, setup: str, test: str, lines: list[str]
) -> None:
    """They test how the library reads it, and meet the server at its usual port."""
    files = {"setup.py": setup, "store.py": READS, "tests/test_store.py": test, "requirements.txt": "redis"}

    made = manifest.draft(add(project, files), {})

    assert [f"{line.key} = {line.value}" for line in made.env] == lines

"""A program that connects to PostgreSQL without an address."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest
from testbay.init.project import Project


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("psycopg.connect()", True),
        ("psycopg2.connect('', cursor_factory=C)", True),
        ("asyncpg.create_pool(min_size=1)", True),
        ("psycopg.connect(**options)", False),
        ("psycopg.connect(dsn)", False),
        ("psycopg.connect(dbname='shop')", True),
        ("psycopg2.connect('dbname=shop user=me')", True),
        ("psycopg2.connect('', host=there)", False),
        ("run(['createdb', name], check=True)", True),
        ("run(['/usr/bin/psql', '-h', there, name])", False),
        ("system(f'pg_dump {name} > it')", True),
        ("PostgresqlDatabase('shop')", True),
        ("create_engine('postgresql+psycopg2://me:pw@/shop')", True),
        ("{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop', 'HOST': ''}", True),
        ("{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop', 'HOST': host}", False),
        ("nats.connect()", False),
    ],
)
def test_a_call_without_an_address_is_led_by_the_variables_of_libpq(
    project: Project, code: str, *, named: bool
) -> None:
    """The driver takes PGHOST and its like, else a socket of this machine."""
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "app.py": f"x = {code}"}), {})

    names = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] if named else []
    assert [line.key for line in made.env] == names
    assert bool([line for line in made.missing if "a variable that leads" in line]) != named


def test_a_call_without_an_address_is_led_beside_a_fixed_one(project: Project) -> None:
    """The driver would find a socket of the developer's server, where that listens at no port."""
    test = "def test_a():\n    psycopg.connect(dbname='shop')\n    psycopg.connect('postgres://localhost/shop')"
    files = {"requirements.txt": "psycopg", "shop.py": "x = 1", "tests/test_a.py": test}
    made = manifest.draft(add(project, files), {})

    names = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"]
    assert [line.key for line in made.env] == names
    assert [line.value for line in made.keys if line.key == "ports"] == ["{ postgres = 5432 }"]
    assert made.logins["postgres"].db == "shop"


@pytest.mark.parametrize(
    ("test", "login"),
    [
        ("psycopg.connect('dbname=shop user=me')", ("me", "shop")),
        ("psycopg.connect(dbname='postgres')\npsycopg.connect(database='shop')", ("", "shop")),
        ("create_engine('postgresql://me:pw@/shop')", ("me", "shop")),
        ("D = {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop', 'USER': 'me'}", ("me", "shop")),
        ("run(['createdb', 'shop'])\npsycopg.connect('dbname=shop user=me')", ("me", "")),
    ],
)
def test_the_login_of_such_a_call_is_made(project: Project, test: str, login: tuple[str, str]) -> None:
    """The database that it names is the run's own, unless the tests create it."""
    files = {"requirements.txt": "psycopg", "shop.py": "x = 1", "tests/test_a.py": f"def test_a():\n    {test!r}"}
    files["tests/conftest.py"] = test
    made = manifest.draft(add(project, files), {})

    assert (made.logins["postgres"].user, made.logins["postgres"].db) == login

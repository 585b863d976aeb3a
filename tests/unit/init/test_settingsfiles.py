"""Addresses in files of settings, and what becomes of a program whose way to its server is not known."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest
from testbay.init.project import Project

DATABASE = '{"KEY": "k", "DATABASE_HOST": "localhost", "DATABASE_PORT": 5433, "DATABASE_USER": "me"}'


@pytest.mark.parametrize(
    ("app", "files"),
    [
        ("json.loads(open('secrets.json').read())['DATABASE_HOST']", {"secrets.json": DATABASE}),
        ("SETTINGS = " + DATABASE, {}),
        ("dotenv_values('.env')['DB_HOST']", {".env": "DB_HOST=localhost\nDB_PORT=5433\n"}),
        (
            "open('config.yml')",
            {"src/app/config/config.yml": "postgres:\n  host: localhost\n  port: 5433\n  user: me\n"},
        ),
        (
            "",
            {
                "config.json": '{"url": "postgresql://db/a"}',
                "config.test.json": '{"url": "postgresql://localhost:5433"}',
            },
        ),
    ],
)
def test_an_address_in_a_settings_file_fixes_the_port(project: Project, app: str, files: dict[str, str]) -> None:
    """Under names with the server's, in the program's own folders, and one on this machine before another one."""
    found = add(project, {"requirements.txt": "psycopg", "src/app/main.py": app} | files)

    assert [line.value for line in manifest.draft(found, {}).keys if line.key == "ports"] == ["{ postgres = 5433 }"]


@pytest.mark.parametrize(("setup", "ports"), [("", ["{ postgres = 5432 }"]), ("classifiers=[]", [])])
def test_a_program_whose_way_is_not_known_meets_no_other_postgres(
    project: Project, setup: str, ports: list[str]
) -> None:
    """A green run on the developer's own data is worse than one that says its port is taken."""
    files = {
        "requirements.txt": "psycopg\nredis",
        "setup.py": setup,
        "app.py": "x",
        "test_a.py": "def test_a():\n    x",
    }

    made = manifest.draft(add(project, files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports
    assert [line.partition(" (`env`)")[0] for line in made.missing if "leads" in line] == [
        "a variable that leads the program to postgres",
        "a variable that leads the program to redis",
    ]

"""SQL that makes tables, beside SQL that only looks so."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, migrations
from testbay.init.project import Project

CI = ".github/workflows/t.yml|jobs: {a: {steps: [{uses: x}, {run: 'LINE'}, {run: pytest}]}}"
MAKE = "Makefile|db:\n\tdocker run -d postgres\n\t@LINE\n"
LOGIN = "$POSTGRES_USER:$POSTGRES_PASSWORD@$POSTGRES_HOST:$POSTGRES_PORT/$POSTGRES_DB"


@pytest.mark.parametrize(
    "files",
    [
        {"shop/__init__.py": "", "shop/sql/queries.sql": "SELECT * FROM t WHERE id = %(id)s;"},
        {"backup.sql": "CREATE TABLE teas ();"},
        {"sql/find.sql": "select *\nfrom teas where name = $1;"},
        {"sql/add.sql": "INSERT INTO teas (name) VALUES (:name);"},
        {
            "a/__init__.py": "",
            "a/migrations/1.sql": "CREATE TABLE a ();",
            "b/__init__.py": "",
            "b/migrations/1.sql": "CREATE TABLE b ();",
        },
        {"infra/a/001_a.sql": "CREATE TABLE a ();", "infra/b/001_b.sql": "CREATE TABLE b ();"},
        {"db/seed/001_teas.sql": "INSERT INTO teas VALUES (1);"},
        {"infra/ClickHouse/001_hits.sql": "CREATE TABLE hits () ENGINE = MergeTree;"},
        {"tests/sql/001_teas.sql": "CREATE TABLE teas ();", ".git/sql/001_teas.sql": "CREATE TABLE teas ();"},
        {"shop/reports/01_totals.sql": "CREATE TABLE totals ();", "shop/__init__.py": ""},
        {"shop/sheets/01_totals.sql": "CREATE TABLE totals AS SELECT 1;", "shop/__init__.py": ""},
        {"reports/sql/totals.sql": "CREATE TABLE totals ();", "reports/sql/1_all.sql": "CREATE TABLE a ();"},
    ],
)
def test_queries_and_parts_are_no_migrations(project: Project, files: dict[str, str]) -> None:
    """A query with gaps that the program fills; one of several folders."""
    assert migrations.migrations(add(project, files)) is None


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("sql/schema/001_teas.sql", 'migrations = "sql/schema"'),  # goose beside sqlc
        ("db/changelog.sql", 'migrations = "db"'),
        ("supabase/migrations/20260101_teas.sql", 'migrations = "supabase/migrations"'),
        ("sql/001_init.sql", 'migrations = "sql"'),
        ("db/init/001_init.sql", 'migrations = "db/init"'),
        ("src/shop/storage/V1__teas.sql", 'migrations = "src/shop/storage"'),
        ("infra/postgres/init.sql", 'migrations = "infra/postgres"'),
        ("sqitch.plan", f'migrate = "sqitch deploy db:pg://{LOGIN}"'),
    ],
)
def test_other_tools_have_folders_of_their_own(project: Project, file: str, line: str) -> None:
    """Each with the command of its tool, or applied by testbay itself."""
    found = migrations.migrations(add(project, {file: "CREATE TABLE teas ();"}))

    assert found
    assert f"{found.key} = {found.value}" == line


def test_sql_that_makes_functions_is_a_migration(project: Project) -> None:
    """Their `$1` and `%s` are gaps of their own; a cast is not a gap."""
    body = "CREATE FUNCTION f(int) RETURNS int AS $$ SELECT $1 WHERE $1 > 0 $$;"
    text = f"{body}\nINSERT INTO teas VALUES ('a'::text, '%s');\nSELECT format('%s', 1);"

    assert migrations.migrations(add(project, {"sql/1.sql": text})) is not None


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({}, "python -m alembic upgrade head"),
        ({"alembic.ini": "[alembic]\nprepend_sys_path = .\n"}, "alembic upgrade head"),
        ({"db/env.py": "from sqlalchemy import pool"}, "alembic upgrade head"),
    ],
)
def test_alembic_finds_the_project(project: Project, files: dict[str, str], command: str) -> None:
    """As a module, where nothing else puts the project's folder on Python's path and its script imports from there."""
    made = {"alembic.ini": "[alembic]\nscript_location = db\n", "db/env.py": "from app.db import x", "app/db.py": ""}

    found = migrations.migrations(add(project, made | files))

    assert found is not None
    assert found.value == f'"{command}"'


@pytest.mark.parametrize(
    ("file", "line", "command"),
    [
        (CI, "uv run alembic -x tenant=public upgrade head", "alembic -x tenant=public upgrade head"),
        (CI, "python scripts/init_db.py", "python scripts/init_db.py"),
        (CI, "python setup.py", ""),
        (CI, "pip install alembic", ""),
        (MAKE, "APP=a.app procrastinate schema --apply", "APP=a.app procrastinate schema --apply"),
        (MAKE, "python -m shop.create_tables $(ARGS)", ""),
        (MAKE, "flask --app shop init-db", "flask --app shop init-db"),
    ],
)
def test_what_ci_and_the_makefile_run_makes_the_tables(project: Project, file: str, line: str, command: str) -> None:
    """With the options that the project's own tool needs."""
    name, _, text = file.partition("|")

    found = migrations.migrations(add(project, {name: text.replace("LINE", line)}))

    assert (found.value.strip('"') if found else "") == command


def test_an_option_of_alembic_that_ci_gives_is_kept(project: Project) -> None:
    """Its plain call is made as the files say."""
    name, _, text = CI.partition("|")
    files = {"alembic.ini": "[alembic]\n", name: text.replace("LINE", "alembic -c alembic.ini upgrade heads")}

    found = migrations.migrations(add(project, files))

    assert found
    assert found.value == '"alembic -c alembic.ini upgrade heads"'


RUNNER = "def migrate(c):\n    for file in Path('migrations').glob('*.sql'):\n        c.execute(file.read_text())\n"


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"app/db.py": RUNNER, "app/main.py": "from app.db import connect, migrate"}, ""),
        ({"tests/conftest.py": RUNNER}, ""),
        ({"app/db.py": RUNNER + "migrate(connect())\n"}, '"migrations"'),
        ({"scripts/db.py": RUNNER, "scripts/a.py": "from scripts.db import migrate"}, '"migrations"'),
        ({"tests/conftest.py": RUNNER, "migrations/1.sql": "CREATE TABLE IF NOT EXISTS a ();"}, '"migrations"'),
    ],
)
def test_migrations_that_the_program_applies_are_left_to_it(
    project: Project, files: dict[str, str], value: str
) -> None:
    """Applied before, they would fail; a program that is called by hand applies none."""
    add(project, {"migrations/1.sql": "CREATE TABLE a ();"} | files)

    found = migrations.migrations(Project(root=project.root))

    assert (found.value if found else "") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "`migrate` or `migrations` names what makes them"),
        ("# create table a (\nBase.metadata.create_all(engine)", "tests/conftest.py:2 makes some"),
        ("connection.execute('CREATE TABLE IF NOT EXISTS teas (id int)')", "tests/conftest.py:1 makes some"),
        ("connection.execute('create table teas, I say')", "`migrate` or `migrations` names what makes them"),
    ],
)
def test_a_place_that_makes_the_tables_is_named(project: Project, text: str, said: str) -> None:
    """Such a project needs no migrations of testbay's."""
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "a.py": "", "tests/conftest.py": text}), {})

    told = f"migrations: the database starts without tables; {said}"
    assert [line for line in made.missing if line.startswith("migrations")] == [told]


def test_a_digest_in_a_comment_is_cut(project: Project) -> None:
    """The comment says where each server was found, of all of them."""
    digest = "@sha256:" + "ab" * 32
    compose = f"services: {{db: {{image: 'postgres:15{digest}'}}, q: {{image: 'nats:2{digest}'}}}}"
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "compose.yml": compose}), {})

    said = "# compose.yml: db (postgres:15@sha256:abababa…); compose.yml: q (nats:2@sha256:abababa…)"
    assert said in made.text

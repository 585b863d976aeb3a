"""SQL that makes tables, beside SQL that only looks so."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import migrations
from testbay.init.project import Project


@pytest.mark.parametrize(
    "files",
    [
        {"shop/__init__.py": "", "shop/sql/queries.sql": "SELECT * FROM t WHERE id = %(id)s;"},
        {"sql/find.sql": "select *\nfrom teas where name = $1;"},
        {"sql/add.sql": "INSERT INTO teas (name) VALUES (:name);"},
        {
            "a/__init__.py": "",
            "a/migrations/1.sql": "CREATE TABLE a ();",
            "b/__init__.py": "",
            "b/migrations/1.sql": "CREATE TABLE b ();",
        },
    ],
)
def test_queries_and_parts_are_no_migrations(project: Project, files: dict[str, str]) -> None:
    """A query with gaps that the program fills; one of several folders."""
    assert migrations.migrations(add(project, files)) is None


def test_sql_that_makes_functions_is_a_migration(project: Project) -> None:
    """Their `$1` and `%s` are gaps of their own; a cast is none."""
    body = "CREATE FUNCTION f(int) RETURNS int AS $$ SELECT $1 WHERE $1 > 0 $$;"
    text = f"{body}\nINSERT INTO teas VALUES ('a'::text, '%s');\nSELECT format('%s', 1);"

    assert migrations.migrations(add(project, {"sql/1.sql": text})) is not None

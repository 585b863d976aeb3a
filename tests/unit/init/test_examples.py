"""The files of a project as other tools wrote them: marks, comments, quotes."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import servers, variables
from testbay.init.project import Project

READ = "import os\nREAD = os.environ['READ_IT']\n"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("READ_IT=true  # never in production", "true"),
        ('READ_IT="a # b" # a key', "a # b"),
        ("READ_IT='a'", "a"),
        ("READ_IT=a#b", "a#b"),
        ("READ_IT= # nothing", "test"),
        ("\ufeffREAD_IT=a", "a"),
    ],
)
def test_the_value_of_an_example_file_has_no_comment(project: Project, line: str, value: str) -> None:
    """And no quotes, and no byte-order mark before its name."""
    project = add(project, {"app.py": READ, ".env.example": line})

    assert [found.value for found in variables.environment(project, {})] == [f'"{value}"']


def test_an_address_in_the_dockerfile_shows_what_a_variable_holds(project: Project) -> None:
    """Its other values are those of the deployment, and not for tests."""
    lines = "FROM python\nARG P=6379\nENV SHOP_STORE=redis://cache:${P}/0 \\\n  READ_IT=production\n"
    text = f"{READ}STORE = os.environ['SHOP_STORE']\n"
    project = add(project, {"app.py": text, "Dockerfile": lines})

    found = variables.environment(project, {"dragonfly": ""})

    assert {line.key: line.value for line in found} == {"SHOP_STORE": '"{dragonfly.url}"', "READ_IT": '"test"'}


def test_a_source_with_a_byte_order_mark_is_read(project: Project) -> None:
    """As Python reads it."""
    project = add(project, {"app.py": f"\ufeff{READ}"})

    assert [found.key for found in variables.environment(project, {})] == ["READ_IT"]


def test_an_env_file_that_compose_refuses_matters_only_to_a_compose_file(project: Project) -> None:
    """Other programs read it otherwise."""
    files = {".env": "PASSWORD='it's'\n", "requirements.txt": "psycopg"}
    without = servers.servers(add(project, files), {})
    beside = servers.servers(add(project, {"compose.yml": "services: {db: {image: postgres:16}}"}), {})

    assert (list(without.needs), without.refused) == (["postgres"], ())
    assert "unexpected character" in beside.refused[0]

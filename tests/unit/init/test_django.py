"""What Django's settings say of the servers."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, servers
from testbay.init.project import Project

DJANGO = 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "localhost"}}'
OF_DJANGO = "[pytest]\nDJANGO_SETTINGS_MODULE = conf.test"


def test_backends_of_django_speak_where_no_file_names_packages(project: Project) -> None:
    """The requirements lie above the folder of manage.py."""
    found = servers.servers(add(project, {"conf/test.py": DJANGO, "manage.py": "django"}), {})

    assert found.needs == {"postgres": "conf/test.py:1: django.db.backends.postgresql"}


@pytest.mark.parametrize(
    ("files", "ports"),
    [
        ({"pytest.ini": OF_DJANGO, "conf/test.py": DJANGO}, ["{ postgres = 5432 }"]),
        ({"a/b/manage.py": "django", "a/b/pytest.ini": OF_DJANGO, "a/b/conf/test.py": DJANGO}, ["{ postgres = 5432 }"]),
        ({"pytest.ini": OF_DJANGO, "conf/test/__init__.py": f'{DJANGO}\nDATABASES["default"] = db()'}, []),
        ({"pytest.ini": OF_DJANGO, "conf/ci.py": DJANGO}, []),
    ],
)
def test_the_settings_of_the_tests_fix_the_port(project: Project, files: dict[str, str], ports: list[str]) -> None:
    """What the module sets once stands above the variables that other modules read."""
    program = {"requirements.txt": "psycopg", "app.py": 'u = os.environ["DATABASE_URL"]'}

    made = manifest.draft(add(project, program | files), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ports

"""`testbay init`: the tests of a project, and what they need to be collected."""

import pytest
from tests.unit.init.conftest import add

from testbay.init import manifest, testfiles, testing
from testbay.init.project import Project


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ({"pytest.ini": "[pytest]\ntestpaths = missing checks", "checks/a.py": ""}, "checks"),
        ({"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = "checks"', "checks/a.py": ""}, "checks"),
        ({"demo/manage.py": "django", "shop/tests/test_a.py": ""}, "shop/tests"),
        ({"pytest.ini": "[pytest]\ntestpaths = a/t b/t", "a/t/x.py": "", "b/t/y.py": ""}, "."),
        ({"pytest.ini": "[pytest]\ntestpaths = a/t a/u", "a/t/x.py": "", "a/u/y.py": ""}, "a"),
        ({"setup.cfg": "no ini", "tests/test_a.py": "x = 1"}, "tests"),
        ({"tests/integration/test_a.py": "x = 1", "tests/test_b.py": "x = 1"}, "tests"),
        ({"tests/integration/test_a.py": "x = 1", "tests/unit/test_b.py": "x = 1"}, "tests/integration"),
        ({"shop/tests/test_a.py": "x = 1", "examples/a/tests.py": "x = 1"}, "shop/tests"),
        ({"shop/tests.py": "x = 1"}, "."),
        ({"setup.cfg": "[tool:pytest]\npython_files = check_*.py", "qa/check_a.py": "x = 1"}, "."),
        (
            {"shop/tests/cache.py": "class A(B):\n    def test_a(self): ...", "shop/tests/base.py": "x = 1"},
            "shop/tests",
        ),
        ({"app/manage.py": "import django", "app/core/tests/test_a.py": "x = 1"}, "app"),
        ({"tests/test_a.py": "x = 1", "shop/tests/test_b.py": "def test_b(): ..."}, "."),
        ({"tests/test_a.py": "x = 1", "shop/test_tools.py": "x = 1", "docs/test_b.py": "def test_b(): ..."}, "tests"),
        ({"tests/test_a.py": "x = 1", "shop/test_b.py": "def test_b(): ..."}, "tests"),
        (
            {"Makefile": "t:\n\tpytest -q tests/", "tests/test_a.py": "", "shop/tests/test_b.py": "def test_b(): ..."},
            "tests",
        ),
        ({"tests/test_a.py": "x = 1", "web/setup.py": "", "web/tests/test_b.py": "def test_b(): ..."}, "tests"),
        ({"manage.py": "django", "tests/test_a.py": "x = 1", "shop/tests.py": "def test_b(): ..."}, "."),
        (
            {"pytest.ini": "[pytest]\naddopts = --doctest-modules", "tests/test_a.py": "", "shop.py": "A = '>>> 1'"},
            ".",
        ),
        ({"shop/app.py": "x = 1"}, ""),
    ],
)
def test_tests_are_found(project: Project, files: dict[str, str], folder: str) -> None:
    """Where pytest's settings say, else in the usual places."""
    found = testing.tests(add(project, files))

    assert (found.value if found else "") == (f'"{folder}"' if folder else "")


def test_the_tests_that_are_left_out_are_said(project: Project) -> None:
    """Those without servers, beside tests/integration: whoever calls pytest by hand runs them, too."""
    found = testing.tests(add(project, {"tests/integration/test_a.py": "", "tests/unit/test_b.py": ""}))

    assert found
    assert found.source == 'tests/integration/; "tests" runs tests/unit/test_b.py, too'


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"shop/tests/cache.py": "class A(B):\n    def test_a(self): ...", "shop/tests/base.py": "x = 1"}, "cache.py"),
        ({"tests.py": "def test_a(): ..."}, "tests.py"),
        ({"qa/a.py": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): ..."}, "a.py"),
        ({"tests.py": "def test_a(): ...", "pytest.ini": "[pytest]\npython_files = tests.py"}, ""),
        ({"tests/a.py": "def test_a(): ...", "tests/test_b.py": "def test_b(): ..."}, ""),
        ({"manage.py": "django", "shop/tests.py": "x = 1"}, "tests.py test_*.py *_test.py *_tests.py"),
    ],
)
def test_tests_of_other_names_are_collected(project: Project, files: dict[str, str], names: str) -> None:
    """If pytest would collect none, or Django's own runner would collect more."""
    found = testfiles.option(add(project, files))

    assert (found.value if found else "") == (f"\"-o 'python_files={names}'\"" if names else "")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"features/steps/a.py": "from behave import given"}, "in features/steps/a.py: they are for behave"),
        ({"tests/test_a.py": "from ward import test"}, "in tests/test_a.py: they are for ward"),
        ({"requirements.txt": "robotframework", "qa/a.robot": ""}, "`testbay exec -- robot qa/a.robot`"),
        ({"qa/a.robot": "", "tests/steps.py": "from pytest_bdd import given"}, ""),
    ],
)
def test_what_pytest_does_not_run_is_said(project: Project, files: dict[str, str], said: str) -> None:
    """Else a run is green that ran another suite than the project's own."""
    lines = testfiles.of_other_runners(add(project, files))

    assert said in "".join(lines)
    assert len(lines) == bool(said)


@pytest.mark.parametrize(
    ("text", "module"),
    [("from core.settings import *", "core.tests"), ("from django.test import TestCase\n", "core.settings")],
)
def test_settings_for_tests_are_no_tests(project: Project, text: str, module: str) -> None:
    """A file tests.py beside settings.py may be either."""
    manage = 'django\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")'
    files = {"manage.py": manage, "core/settings.py": "A = 1", "core/tests.py": text}

    found = testing.django_settings(add(project, files))

    assert found is not None
    assert found.value == f'"{module}"'


def test_settings_beside_manage_count_as_those_in_the_root(project: Project) -> None:
    """The file pytest.ini that is nearest to the tests counts, and a variable would win over it."""
    manage = 'django\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")'
    found = add(project, {"app/manage.py": manage, "app/pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = core.quick"})

    assert testing.django_settings(found) is None


@pytest.mark.parametrize(
    ("test", "ini", "values"),
    [
        ("shop/tests/test_a.py", "", ['"demo"']),
        ("demo/core/tests/test_a.py", "", []),
        ("shop/tests/test_a.py", "[pytest]\npythonpath = demo", []),
    ],
)
def test_tests_beside_the_django_project_find_it(project: Project, test: str, ini: str, values: list[str]) -> None:
    """pytest-django looks for manage.py from the tests upwards."""
    manage = 'django\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")'
    files = {"demo/manage.py": manage, test: "x = 1", "pytest.ini": ini, "requirements.txt": "psycopg"}

    made = manifest.draft(add(project, files), {})

    assert [line.value for line in made.env if line.key == "PYTHONPATH"] == values


@pytest.mark.parametrize(
    ("files", "values"),
    [
        ({"src/python/shop/db.py": "import os"}, ['"src/python"']),
        ({"src/shop.py": "x = 1"}, ['"src"']),
        ({"src/shop.py": "x = 1", "tests/conftest.py": "import sys\nsys.path.insert(0, 'src')"}, []),
        ({"src/shop.py": "x = 1", "pyproject.toml": "[build-system]\nrequires = []\n[project]\nname = 'x'"}, []),
        ({"libs/a/pyproject.toml": "", "libs/a/src/shop.py": "x = 1"}, []),
        ({"shop/db.py": "x = 1"}, []),
        ({"app/shop.py": "x = 1", "app/main.py": "import app.shop"}, []),
        ({"app/shop.py": "x = 1", "requirements.txt": "shop"}, []),
        ({"a/shop.py": "x = 1", "b/shop.py": "x = 1"}, []),
    ],
)
def test_the_folder_from_which_the_tests_import_is_on_the_path(
    project: Project, files: dict[str, str], values: list[str]
) -> None:
    """Unless settings or an installation see to it, or a package of that name comes from elsewhere."""
    made = manifest.draft(add(project, {"tests/python/shop/test_a.py": "from shop import db"} | files), {})

    assert [line.value for line in made.env if line.key == "PYTHONPATH"] == values


@pytest.mark.parametrize(("conftest", "said"), [("x = 1", 1), ("db = factories.postgresql_noproc()", 0)])
def test_pytest_postgresql_without_a_process_starts_no_server(project: Project, conftest: str, said: int) -> None:
    """It goes to the one that its settings name."""
    files = {"requirements.txt": "pytest-postgresql", "tests/conftest.py": conftest, "shop.py": "x = 1"}
    made = manifest.draft(add(project, files), {})

    assert len([line for line in made.missing if "a server of its own" in line]) == said

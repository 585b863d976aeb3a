"""What the Python of the tests has of what the project imports."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
from tests.unit.init.conftest import add

from testbay.init import installed
from testbay.init.project import Project
from testbay.manifest.environments import installer

PIP = installer(Path(sys.executable))
SOURCES = {
    "app/main.py": "import os\nimport app.db\nimport notthere\ntry:\n    import northis\nexcept ImportError: ...\n"
}


EXTRAS = "[options]\nname = x\n[options.extras_require]\ntest = notthere"


@pytest.mark.parametrize(
    ("files", "names", "command"),
    [
        ({}, "notthere", f"{PIP} notthere"),
        ({"requirements.txt": "notthere"}, "notthere", f"{PIP} -r requirements.txt"),
        ({"setup.py": "setup(extras_require={'x': [], 'dev': ['notthere']})"}, "notthere", f"{PIP} -e '.[dev]'"),
        ({"setup.cfg": EXTRAS, "setup.py": ""}, "notthere", f"{PIP} -e '.[test]'"),
        (
            {
                "setup.cfg": EXTRAS,
                "pyproject.toml": "[build-system]\nrequires = []",
                "src/a/b.py": "",
                "b.py": "import a",
            },
            "a, notthere",
            f"{PIP} -e '.[test]'",
        ),
        (
            {"requirements.txt": "not[a,there]\nnotthere", "a.py": "import not_there"},
            "not_there, notthere",
            f"{PIP} -r requirements.txt",
        ),
        ({"uv.lock": ""}, "notthere", "uv sync"),
        ({"pyproject.toml": "[tool.uv.sources]\nx = {path = '../x'}"}, "notthere", "uv sync"),
        ({"poetry.lock": "", "pyproject.toml": "[tool.poetry]"}, "notthere", "poetry install"),
        ({"pyproject.toml": "[tool.pdm]\ndistribution = false"}, "notthere", "pdm install"),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = ["x"]\n[project]\nname = "x"',
                "src/mine/a.py": "",
                "b.py": "import mine",
            },
            "mine, notthere",
            f"{PIP} -e .",
        ),
        (
            {"requirements.txt": "notthere", "tox.ini": "[testenv]\ndeps = Not_Here", "a.py": "import not_here"},
            "not_here, notthere",
            f"{PIP} -r requirements.txt not-here",
        ),
    ],
)
def test_what_is_not_installed_is_said(project: Project, files: dict[str, str], names: str, command: str) -> None:
    """With the command that installs it; what may be missing, and what is the project's own, is left out."""
    said = installed.absent(add(project, SOURCES | files), {})

    assert said == [f"{names} in {sys.executable}: {command}"]


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"tool/uv-receipt.toml": "", "own/requirements.txt": "notthere"},
            "python3 -m venv .venv && .venv/bin/python -m pip install pytest pytest-cov -r requirements.txt",
        ),
        (
            {"CACHEDIR.TAG": "", "own/requirements.txt": "notthere"},
            "python3 -m venv .venv && .venv/bin/python -m pip install pytest pytest-cov -r requirements.txt",
        ),
        (
            {"tool/pipx_metadata.json": "", "own/pyproject.toml": "[tool.poetry]\nname = 'x'"},
            "poetry install && poetry run testbay run",
        ),
        ({"tool/uv-receipt.toml": "", "own/pyproject.toml": "[tool.pdm]\ndistribution = false"}, "pdm install"),
    ],
)
def test_the_environment_of_a_tool_gets_no_package_of_the_project(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], command: str
) -> None:
    """`uv tool install testbay`, `uvx`: the project gets an environment of its own, which testbay then uses."""
    add(project, {"tool/bin/x": "", **files})
    (tmp_path / "tool/bin/python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "tool/bin/python"))

    said = installed.absent(add(Project(root=tmp_path / "own"), SOURCES), {})

    assert said == [f"notthere in {tmp_path}/tool/bin/python: {command}"]


def test_a_complete_environment_says_nothing(project: Project) -> None:
    """The standard library, the project's own modules, and what is installed."""
    assert installed.absent(add(project, {"a.py": "import json\nimport b\nimport pytest", "b.py": ""}), {}) == []


def test_no_file_of_the_project_is_run(project: Project) -> None:
    """Also one that is called as a module of Python's own."""
    files = {"a.py": "import nowhere", "json.py": 'open("run", "w")', "importlib.py": 'open("run", "w")'}

    assert installed.absent(add(project, files), {})[0].startswith(f"nowhere in {sys.executable}: ")
    assert not (project.root / "run").exists()


def test_django_needs_its_plugin(project: Project) -> None:
    """Plain pytest does not set Django up."""
    files = {"manage.py": "import django", "requirements.txt": "Django", "django.py": ""}

    assert installed.absent(add(project, files), {}) == [f"pytest_django in {sys.executable}: {PIP} pytest-django"]


def test_an_environment_without_pytest_is_said(project: Project) -> None:
    """It would be passed over, and the tests would not find what is installed in it."""
    found = add(project, {".venv/bin/python": "", "a.py": "import flask"})

    command = f"{project.root}/.venv/bin/python -m pip install pytest pytest-cov"
    assert installed.absent(found, {}) == [f"pytest in {project.root}/.venv, the project's environment: {command}"]


def test_an_empty_environment_needs_all_packages(project: Project) -> None:
    """Not pytest alone: the project's own command installs the rest."""
    found = add(project, {"a.py": "import notthere, pytest", "requirements.txt": "notthere\npytest\npytest-cov\n"})
    (project.root / ".venv/bin").mkdir(parents=True)
    (project.root / ".venv/bin/python").symlink_to(sys.executable)
    command = f"{project.root}/.venv/bin/python -m pip install"

    assert installed.absent(found, {}) == [
        f"pytest and notthere in {project.root}/.venv, the project's environment: {command} -r requirements.txt"
    ]


def test_an_empty_environment_is_filled_by_the_projects_tool(project: Project) -> None:
    """Which takes no name of a package behind it."""
    found = add(project, {"a.py": "import notthere", "pyproject.toml": "[tool.pdm]\ndistribution = false"})
    (project.root / ".venv/bin").mkdir(parents=True)
    (project.root / ".venv/bin/python").symlink_to(sys.executable)
    command = f"pdm install && {project.root}/.venv/bin/python -m pip install pytest pytest-cov"

    assert installed.absent(found, {}) == [
        f"pytest and notthere in {project.root}/.venv, the project's environment: {command}"
    ]


def test_a_package_that_no_file_names_is_told_with_its_place(project: Project) -> None:
    """The project's own command would not bring it."""
    found = add(
        project,
        {
            "log.py": "import notthere",
            "b.py": "import nothere_jwt",
            "requirements.txt": "py-nothere-jwt\nnotthereparse",
        },
    )

    unnamed = "imported, and no file of the project names a package like it, unless those bring it"
    assert installed.absent(found, {}) == [
        f"nothere_jwt in {sys.executable}: {PIP} -r requirements.txt",
        f"notthere (log.py) in {sys.executable}: {unnamed}",
    ]


def test_a_module_that_protoc_makes_is_no_package(project: Project) -> None:
    """Nothing installs it: the message names what it is made of."""
    files = {"a.py": "import notthere_pb2", "requirements.txt": "json5x", "proto/notthere.proto": ""}

    assert installed.absent(add(project, files), {}) == [
        "notthere_pb2 (a.py): protoc makes it of proto/notthere.proto: let it do so before the tests, or in conftest.py"
    ]


def test_the_projects_own_package_is_installed_as_such(project: Project) -> None:
    """Below src/ it is importable when it is installed."""
    files = {"pyproject.toml": '[build-system]\nrequires = ["x"]\n[project]\nname = "q"\ndependencies = ["json5x"]'}
    files |= {"src/mine/a.py": "", "tests/test_a.py": "import mine"}

    assert installed.absent(add(project, files), {}) == [f"mine in {sys.executable}: {PIP} -e ."]


@pytest.mark.parametrize(
    ("line", "is_told"),
    [
        ("pydantic==1.10.13  # the old one", True),
        ("Pydantic[email]<2 \\", True),
        ("pydantic>=1.10", False),
        ("pydantic==1.10.13; python_version < '3'", False),
        ("apprise==0.1", False),  # an extra of testbay's brings it
        ("-r other.txt", False),
    ],
)
def test_a_version_that_testbay_brought_is_told(project: Project, line: str, *, is_told: bool) -> None:
    """The project's own imports may fail, and nothing else would say why."""
    said = installed.changed(add(project, {"requirements.txt": line}), {})

    wanted = line.partition(" ")[0].partition(";")[0].lower().replace("[email]", "")
    version = metadata.version("pydantic")
    assert [text.partition(";")[0] for text in said] == (
        [f"pydantic {version} in {sys.executable}, but requirements.txt wants {wanted}: testbay needs pydantic>=2.6"]
        if is_told
        else []
    )

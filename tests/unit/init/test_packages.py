"""What is installed of a project in CI: what its files name, by a pip that can."""

from pathlib import Path

import pytest

from testbay.init import workflow
from testbay.init.project import Project

APP = '[project]\nname = "a"\nversion = "1"\ndependencies = ["fastapi>=0.1"]\n'
EXTRA = '[project.optional-dependencies]\ntest = ["pytest"]\n'
BUILT = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
GROUPS = '[dependency-groups]\ndev = ["ruff", {include-group = "other"}]\nother = ["mypy", {include-group = "dev"}]\n'
UV = "python -m pip install uv && uv pip install --system"
PIP = "python -m pip install"


@pytest.mark.parametrize(
    ("text", "folders", "packages", "line"),
    [
        pytest.param(APP + EXTRA + BUILT, "a b", "-e '.[test]'", f"{PIP} -e '.[test]'", id="a-build-system"),
        pytest.param(APP, "a tests docs", "-e .", f"{PIP} -e .", id="one-package-beside-tests"),
        pytest.param(APP, "src", "-e .", f"{PIP} -e .", id="src"),
        pytest.param(
            APP + EXTRA,
            "a alembic",
            "'fastapi>=0.1' pytest",
            f"{UV} -r pyproject.toml --extra test",
            id="an-app-that-no-pip-builds",
        ),
        pytest.param(
            APP + "[tool.uv]\npackage = false\n",
            "a",
            "'fastapi>=0.1'",
            f"{UV} -r pyproject.toml",
            id="uv-says-no-package",
        ),
        pytest.param(APP + GROUPS, "a", "-e . ruff mypy", f"{UV} -e . --group dev", id="groups"),
        pytest.param("", "a b", "", PIP, id="nothing-is-named"),
    ],
)
def test_a_project_is_installed_as_its_files_say(
    tmp_path: Path, text: str, folders: str, packages: str, line: str
) -> None:
    """The packages of today for the action, and a line for a workflow that stays true."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    for name in folders.split():
        (tmp_path / name).mkdir()
    project = Project(root=tmp_path)

    assert workflow.packages(project) == packages
    assert f"run: {line} 'testbay[embedded]'\n" in workflow.text(project)


def test_a_file_with_a_strange_name_is_quoted(tmp_path: Path) -> None:
    """The line is read by a shell."""
    (tmp_path / "requirements dev;id.txt").touch()

    assert workflow.packages(Project(root=tmp_path)) == "-r 'requirements dev;id.txt'"

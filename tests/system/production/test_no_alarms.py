"""A healthy service is left alone: its own checks, asked again and again, find nothing and open no issue."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.served import await_answer
from tests.system.conftest import REPOSITORY, Bay
from tests.system.fakes.monitor import Monitor

from testbay import settings
from testbay.manifest.checkbase import Phase
from testbay.manifest.load import load_manifest
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.ports import hold
from testbay.production.checks.command import CheckOptions, execute
from testbay.production.checks.report import Report, Result

RUNS = int(os.environ.get("TESTBAY_HEALTHY_RUNS", "20"))


@pytest.fixture
def manifest(bay: Bay) -> Manifest:
    """Agent_executor's own; its target may be written to, so that the journey is asked as well, and not waited for."""
    home, unused = REPOSITORY / "services/agent_executor", shutil.ignore_patterns("__pycache__", ".*")
    folder = shutil.copytree(home, bay.project / "services/agent_executor", ignore=unused)
    file = folder / "pyproject.toml"
    target = "[tool.testbay.target.production]\n"
    text = file.read_text(encoding="utf-8").replace(target, f"{target}writes = true\n")
    file.write_text(
        text.replace('every = "10s", give_up = "10m"', 'every = "50ms", give_up = "100ms"'), encoding="utf-8"
    )
    return load_manifest(folder)


@pytest.fixture
def production(bay: Bay, manifest: Manifest) -> Iterator[subprocess.Popen[bytes]]:
    """The service itself, on real dependencies, as a process of its own."""
    port, lock = hold(18400, fixed=False, name="production")
    bay.environ |= {"GIT_COMMIT": "f00dfeed", "AGENT_EXECUTOR_URL": f"http://127.0.0.1:{port}"}
    argv = [sys.executable, "-m", "testbay", "exec", "agent_executor", "--"]
    argv += [sys.executable, "-m", "uvicorn", "agent_executor.app:app", "--port", str(port)]
    log = bay.project / "production.log"
    with lock, log.open("wb") as output:
        child = subprocess.Popen(argv, cwd=bay.project, env=bay.environ, stdout=output, stderr=output)
        try:
            await_answer(f"http://127.0.0.1:{port}/api/health", child, log)
            yield child
        finally:
            child.terminate()
            child.wait(30)


def ask(bay: Bay, manifest: Manifest, phase: Phase) -> Report:
    """One run, of the commit that answers."""
    options = CheckOptions(
        manifest=manifest,
        project=bay.project,
        settings=settings.load(environ=bay.environ),
        phase=phase,
        commit="f00dfeed",
    )
    report, _ = execute(options, Voice(io.StringIO()))
    return report


@pytest.mark.timeout(120 + 10 * RUNS)
def test_a_healthy_service_raises_no_alarm(
    bay: Bay, manifest: Manifest, production: subprocess.Popen[bytes], monitor: Monitor
) -> None:
    """Its routes, pool, queries, stream, journey and response time, after a deploy and on a schedule, run after run."""
    found: list[Result] = []
    for number in range(RUNS):
        report = ask(bay, manifest, "scheduled" if number % 2 else "post-deploy")
        monitor.hand_in(report, str(number))
        found += report.results
    issues = len(monitor.github.issues)
    production.terminate()  # or nobody knows whether there would have been one
    production.wait(30)
    monitor.hand_in(ask(bay, manifest, "scheduled"), str(RUNS))

    retried = sum(result.attempts > 1 for result in found)
    print(f"{RUNS} runs, {len(found)} results, {retried} of them after a retry, {issues} issues")  # noqa: T201 - for -s
    assert [result for result in found if result.verdict != "pass"] == []
    assert {result.kind for result in found} == {"live", "http", "latency", "websocket", "journey"}
    assert (issues, monitor.github.open_numbers()) == (0, [1])

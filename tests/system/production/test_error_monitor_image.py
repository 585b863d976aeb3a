"""The error monitor's image: built from its Dockerfile and its own lock, run beside a real database."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.served import await_answer
from tests.system.conftest import REPOSITORY
from tests.system.fakes.boxes import build, docker
from tests.system.fakes.wheels import wheels

from testbay.ports import hold

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(600)]
SERVICE = REPOSITORY / "services/error_monitor"
TOKEN = "only-for-tests-0123456789"
TRACE = 'Traceback (most recent call last):\n  File "/srv/shop/pay.py", line 7, in pay\n    pay()\nKeyError: 1\n'
VARIABLES = ("DATABASE_URL", "ERROR_MONITOR_TOKEN", "PORT", "LOG_FILES", "ERROR_MONITOR_SETTLE_S")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built as docs/error-monitor.md says, on the base image that this machine has."""
    name = f"error-monitor-test:{uuid4().hex[:8]}"
    context = tmp_path_factory.mktemp("context")
    unwanted = shutil.ignore_patterns("tests", "__pycache__", ".*")
    shutil.copytree(SERVICE, context / "services/error_monitor", ignore=unwanted)
    with wheels(tmp_path_factory.mktemp("wheels"), SERVICE / "requirements.lock") as url:
        arguments = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": url, "BASE": os.environ.get("PYTHON_IMAGE", "")}
        options = [part for key, value in arguments.items() if value for part in ("--build-arg", f"{key}={value}")]
        dockerfile = context / "services/error_monitor/Dockerfile"
        build("--network=host", *options, "--tag", name, "--file", str(dockerfile), str(context))
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture
def logs() -> Iterator[Path]:
    """A folder that the image's user, who is nobody, may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "shop.log").write_text(TRACE * 3, encoding="utf-8")
        yield Path(folder)


def test_the_image_migrates_serves_and_is_healthy(image: str, logs: Path, tmp_path: Path) -> None:
    """As its own user: tables are made, the log is read, Docker's health check passes, and SIGTERM ends it at once."""
    port, lock = hold(18800, fixed=False, name="error-monitor-image")
    name, said = f"error-monitor-{uuid4().hex[:8]}", tmp_path / "run.out"
    flags = ["--rm", "--name", name, "--network=host", "--volume", f"{logs}:/logs:ro", "--health-interval=500ms"]
    argv = [sys.executable, "-m", "testbay", "exec", "error_monitor", "--", "docker", "run", *flags]
    argv += [*(part for variable in VARIABLES for part in ("--env", variable)), image]
    env = {**os.environ, "TESTBAY_ENGINE": "embedded", "TESTBAY_CACHE_DIR": str(tmp_path / "cache")}
    env |= {"ERROR_MONITOR_TOKEN": TOKEN, "PORT": str(port), "LOG_FILES": "/logs/*.log", "ERROR_MONITOR_SETTLE_S": "0"}
    with lock, said.open("wb") as output:
        child = subprocess.Popen(argv, cwd=REPOSITORY, env=env, stdout=output, stderr=output)
        try:
            await_answer(f"http://127.0.0.1:{port}/error-monitor/health", child, said)
            counts = counted(port)
            health = healthy(name)
            user = docker("exec", name, "id", "-un").strip()
        finally:
            docker("stop", "--time=30", name)
            code = child.wait(60)

    assert (counts, health, user) == ({"KeyError": 3}, "healthy", "nobody")
    assert code in {0, 143}, said.read_text(encoding="utf-8")


def counted(port: int) -> dict[str, int]:
    """The patterns after a scan."""
    url, headers = f"http://127.0.0.1:{port}/error-monitor", {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(200):
        if httpx.post(f"{url}/monitor/scan", headers=headers, timeout=60).status_code == 200:
            break
    patterns = httpx.get(f"{url}/errors/patterns", headers=headers, timeout=60).json()["patterns"]
    return {one["type"]: one["events"] for one in patterns}


def healthy(name: str) -> str:
    """What Docker's own health check comes to."""
    for _ in range(600):
        status = json.loads(docker("inspect", "--format", "{{json .State.Health}}", name))["Status"]
        if status != "starting":
            return str(status)
        threading.Event().wait(0.1)
    return "starting"

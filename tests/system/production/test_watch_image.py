"""The watcher's image as Railway builds it: from the Dockerfile that railway.json names, run, asked and ended."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx
import pytest
from tests.system.conftest import REPOSITORY
from tests.system.fakes.boxes import build, docker
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.watched import soon
from tests.system.fakes.wheels import wheels

from testbay.ports import hold

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]
RAILWAY = json.loads((REPOSITORY / "deploy/watch/railway.json").read_text(encoding="utf-8"))
MANIFEST = """
service = "shop"
[target.production]
base_url = "http://127.0.0.1:%d"
[[check]]
id = "health"
kind = "http"
get = "/api/health"
every = "5s"
expect = ["json.status == 'healthy'"]
"""


class Box(NamedTuple):
    """A container of the image, and where its page is."""

    name: str
    url: str


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of what is committed, or would be, on the base image that this machine has."""
    name, context = f"testbay-watch-test:{uuid4().hex[:8]}", tmp_path_factory.mktemp("context")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    argv = ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read", f"--file={context}.tar"]
    subprocess.run(argv, cwd=REPOSITORY, check=True, input=listed)
    subprocess.run(["tar", "--extract", f"--file={context}.tar", f"--directory={context}"], check=True)
    with wheels(tmp_path_factory.mktemp("wheels"), REPOSITORY / "requirements-run.lock") as url:
        arguments = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": url, "BASE": os.environ.get("PYTHON_IMAGE", "")}
        options = [part for key, value in arguments.items() if value for part in ("--build-arg", f"{key}={value}")]
        file = context / RAILWAY["build"]["dockerfilePath"]
        build("--network=host", *options, "--tag", name, "--file", str(file), str(context))
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture
def shop() -> Iterator[Deployment]:
    """What it watches."""
    with deployed() as made:
        yield made


@pytest.fixture
def box(image: str, shop: Deployment, tmp_path: Path) -> Iterator[Box]:
    """Run as docs/watch.md says, with a port as Railway gives one."""
    (tmp_path / "testbay.toml").write_text(MANIFEST % shop.port, encoding="utf-8")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # its user is not we
    port, lock = hold(18850, fixed=False, name="watch-image")
    name = f"testbay-watch-{uuid4().hex[:8]}"
    flags = ["--detach", "--name", name, "--network=host", "--health-interval=1s", "--env", f"PORT={port}"]
    mounts = ["--volume", f"{tmp_path}:/project:ro", "--volume", f"{name}:/history"]
    with lock:
        docker("run", *flags, *mounts, image)
        try:
            yield Box(name, f"http://127.0.0.1:{port}")
        finally:
            docker("rm", "--force", name)
            docker("volume", "rm", "--force", name)


def test_the_image_watches_is_healthy_and_ends(box: Box, shop: Deployment) -> None:
    """Its check passes, both health checks do, it runs as an ordinary user, and a stop leaves a history behind."""
    soon(lambda: answered(box.url + RAILWAY["deploy"]["healthcheckPath"]) == 200)
    soon(lambda: [one["state"] for one in httpx.get(f"{box.url}/api/checks").json()["checks"]] == ["pass"])
    soon(lambda: inspected(box, "{{.State.Health.Status}}") == "healthy")
    user = docker("exec", box.name, "id", "-u").strip()
    docker("stop", "--time=60", box.name)
    said = subprocess.run(["docker", "logs", box.name], capture_output=True, text=True, check=True)

    assert (user, inspected(box, "{{.State.ExitCode}}")) == ("65534", "0")
    assert "1 round, 0 skipped" in said.stdout + said.stderr


def answered(url: str) -> int:
    """The status, or nothing while no one listens there."""
    try:
        return httpx.get(url, timeout=10, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


def inspected(box: Box, form: str) -> str:
    return docker("inspect", "--format", form, box.name).strip()

"""Containers of a real Docker engine: both outputs, each line once, through restarts of the container."""

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from harness.instance import Make

IMAGE = os.environ.get("POSTGRES_IMAGE", "postgres:15")
TRACE = 'Traceback (most recent call last):\\n  File "/srv/shop/pay.py", line 7, in pay\\n    pay()\\nKeyError: 1\\n'


def docker(*argv: str) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def why_not() -> str:
    try:
        docker("image", "inspect", "--format", "{{.Id}}", IMAGE)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as exc:
        return f"no Docker engine with {IMAGE}: {str(exc)[:100]}"
    return ""


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """A real engine; where one is required, its absence is an error."""
    if reason := why_not():
        assert os.environ.get("TESTBAY_ENGINE") != "compose", reason
        pytest.skip(reason)


@pytest.fixture
def shop() -> Iterator[str]:
    """A container that writes a traceback to each output at every start, with one that nobody asked for beside it."""
    name = f"error-monitor-shop-{uuid.uuid4().hex[:8]}"
    script = f"printf '{TRACE}'; printf '{TRACE}' >&2"
    names = [name, name.replace("shop", "other")]
    for one in names:
        docker("run", "--detach", "--name", one, "--network", "none", "--entrypoint", "sh", IMAGE, "-c", script)
    for one in names:
        docker("wait", one)
    yield name
    docker("rm", "--force", *names)


def test_both_outputs_are_read_once(monitor: Make, shop: str) -> None:
    """Two tracebacks at each start; a scan in between counts none of them twice."""
    one = monitor(LOG_FILES="", LOG_CONTAINERS=f"{shop[:-3]}*", **engine_environ())
    first = one.scan()
    docker("start", shop)
    docker("wait", shop)
    one.scan()
    one.scan()

    services = {service for pattern in one.patterns() for service in pattern["services"]}
    assert (first["errors"], one.counts(), services) == ({}, {"KeyError: 1": 4}, {shop})


def test_an_engine_that_is_away_is_an_error_of_the_source(monitor: Make) -> None:
    """Health is degraded, and the words say Docker."""
    one = monitor(LOG_CONTAINERS="shop-*", DOCKER_HOST="unix:///no/such/docker.sock")

    errors = one.scan()["errors"]

    assert "Docker gives no answer" in errors["containers"]


def engine_environ() -> dict[str, str]:
    """What leads a client to the engine that the tests' own command line speaks to."""
    return {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}

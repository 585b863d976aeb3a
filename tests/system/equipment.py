"""What some tests need and not every machine has: Docker, a browser, Memcached, Prometheus' programs."""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from testbay.errors import EngineUnavailableError
from testbay.harness.engines import docker
from testbay.manifest.compose import reader

_REPOSITORY = Path(__file__).parents[2]


@functools.cache
def docker_engine() -> docker.Daemon | str:
    """The Docker engine of this machine with the images of the compose half, or why there is none."""
    try:
        found = docker.find(os.environ)
        services = reader.read([_REPOSITORY / "docker-compose.test.yml"], os.environ).services
        for image in docker.missing_images(found, [service.image for service in services]):
            docker.pull(found, image, lambda _: None)
    except EngineUnavailableError as error:
        return error.what
    return found


def why_no_docker() -> str:
    """Why the compose half cannot run on this machine; empty when it can."""
    found = docker_engine()
    return found if isinstance(found, str) else ""


def docker_things() -> set[str]:
    """Every container and network of a testbay project on this machine's Docker engine, if there is one.

    Asked of the engine itself: each test asks several times, and the program `docker` takes longer than the answer.
    """
    engine = docker_engine()
    if isinstance(engine, str):
        return set()
    with engine.client() as client:
        named = [("container", name.lstrip("/")) for one in client.api.containers(all=True) for name in one["Names"]]
        named += [("network", one["Name"]) for one in client.api.networks()]
    return {f"{kind} {name}" for kind, name in named if name.startswith("testbay-")}


def docker_volumes() -> set[str]:
    """Every volume, anonymous ones too: those carry nobody's name."""
    if why_no_docker():
        return set()
    done = subprocess.run(["docker", "volume", "ls", "-q"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def why_no_browser() -> str:
    """Why the tests in a browser cannot run on this machine; empty when they can."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(missing)} on the PATH (scripts/dev/browser.sh installs both)" if missing else ""


def why_no_prometheus() -> str:
    """Why Prometheus' own programs cannot be asked on this machine; empty when they can."""
    missing = [name for name in ("promtool", "prometheus-pushgateway") if shutil.which(name) is None]
    return f"no {' and no '.join(missing)} on the PATH (scripts/dev/programs.sh fetches both)" if missing else ""


def why_no_memcached() -> str:
    """Why there is no real Memcached on this machine; empty when there is."""
    return "" if shutil.which("memcached") else "no memcached on the PATH (scripts/dev/programs.sh fetches it)"


# By marker: what the tests are, what they need, and the variable that turns its absence into an error.
NEEDS: dict[str, tuple[str, Callable[[], str], str]] = {
    "compose": ("compose half", why_no_docker, "TESTBAY_REQUIRE_DOCKER"),
    "browser": ("tests in a browser", why_no_browser, "TESTBAY_REQUIRE_BROWSER"),
    "memcached": ("tests with Memcached", why_no_memcached, "TESTBAY_REQUIRE_MEMCACHED"),
    "prometheus": ("tests with Prometheus' own programs", why_no_prometheus, "TESTBAY_REQUIRE_PROMETHEUS"),
}

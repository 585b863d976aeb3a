"""Containers on the machine's Docker engine, of the image of the tests' own PostgreSQL, without a network."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.system.conftest import REPOSITORY

from testbay.fixtures import eventually
from testbay.manifest.compose import reader

_WITHIN_S = 30.0
HEALTHCHECK = ("--health-interval=100ms", "--health-retries=1")


class Boxes:
    """Starts them under names that nobody else uses, and removes them with all that is theirs."""

    def __init__(self) -> None:
        self.prefix = f"testbay-box-{uuid4().hex[:8]}"
        services = reader.read([REPOSITORY / "docker-compose.test.yml"], os.environ).services
        self.image = next(service.image for service in services if service.key == "postgres")
        self._made: list[str] = []

    def name(self, word: str) -> str:
        """What a container of ours is called."""
        return f"{self.prefix}-{word}"

    def start(self, word: str, script: str, *options: str) -> str:
        """One that runs this; its name."""
        name = self.name(word)
        self._made.append(name)
        flags = ["--detach", "--network=none", f"--name={name}", "--entrypoint=sh"]
        docker("run", *flags, *options, self.image, "-c", script)
        return name

    def wait(self, name: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Until Docker says so of it."""
        eventually(lambda: is_so(json.loads(docker("container", "inspect", name))[0]), name, _WITHIN_S)

    def remove(self) -> None:
        """With the volumes that the image asks for."""
        for name in self._made:
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


def docker(*arguments: str) -> str:
    """What it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(reversed(done.stderr.splitlines()))  # the first line is what is seen of it
    return done.stdout


def build(*arguments: str) -> None:
    """An image without the builder's cache: who removes an image takes the layers that a build beside it reuses."""
    docker("build", "--quiet", "--no-cache", *arguments)


def health_is(word: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the healthcheck has come to that."""
    return lambda found: found["State"]["Health"]["Status"] == word


@contextmanager
def boxes() -> Iterator[Boxes]:
    """Until the block ends."""
    made = Boxes()
    try:
        yield made
    finally:
        made.remove()

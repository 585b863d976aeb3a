"""The choice of an engine, and its reason for the output, run.json and the summary."""

from collections.abc import Callable
from typing import NamedTuple

from testbay.errors import EngineUnavailableError
from testbay.harness.engines import docker
from testbay.harness.engines.docker import Daemon
from testbay.manifest.compose.reading import ComposeService
from testbay.settings import Settings


class Choice(NamedTuple):
    """The engine, the reason, and for compose the Docker engine."""

    engine: str
    reason: str
    daemon: Daemon | None


def choose(settings: Settings, services: list[ComposeService], progress: Callable[[str], None]) -> Choice:
    """Choose the engine; for compose, also pull the images that are missing.

    An engine asked for by name is never exchanged for another. `auto` takes compose where an engine answers and the
    images are there or can be pulled, else embedded.

    Raises:
        EngineUnavailableError: compose was asked for by name and cannot be had.
    """
    if settings.engine == "embedded":
        return Choice("embedded", "asked for", None)
    try:
        found = docker.find(settings.environ)
        pulled = _have_images(found, [service.image for service in services if not service.build], progress)
    except EngineUnavailableError as error:
        if settings.engine == "compose":
            raise
        return Choice("embedded", f"auto: {error.what}", None)
    rootless = ", rootless" if found.rootless else ""
    fetched = f"; pulled {', '.join(pulled)}" if pulled else ""
    answers = f"Docker {found.version}{rootless} answers{fetched}"
    return Choice("compose", f"{'asked for' if settings.engine == 'compose' else 'auto'}: {answers}", found)


def _have_images(found: Daemon, images: list[str], progress: Callable[[str], None]) -> list[str]:
    missing = docker.missing_images(found, images)
    for image in missing:
        docker.pull(found, image, progress)
    return missing

"""The packages of the extra `checks`, which a project that only runs tests need not install."""

from importlib.util import find_spec

from testbay.errors import EngineUnavailableError
from testbay.manifest import environments

CHECKS = ("aiohttp", "certifi", "dotenv", "websockets", "dns", "apprise")
METRICS = ("prometheus_client",)


def demand(command: str, modules: tuple[str, ...]) -> None:
    """Refuse a command if a package that it imports is not installed.

    Raises:
        EngineUnavailableError: One of the modules cannot be imported.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise EngineUnavailableError(
            f"{command} needs packages that are not installed: {', '.join(missing)}",
            why="they come with testbay's extra `checks`",
            todo=environments.adding("checks"),
        )

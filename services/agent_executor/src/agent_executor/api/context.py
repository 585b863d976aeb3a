"""How a route reaches the running service."""

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from agent_executor.services import Services


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


Context = Annotated[Services, Depends(_services)]

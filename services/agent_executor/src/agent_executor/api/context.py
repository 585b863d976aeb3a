"""Access of a route to the running service."""

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from agent_executor.wiring import Wiring


def _services(connection: HTTPConnection) -> Wiring:
    services: Wiring = connection.app.state.services
    return services


Context = Annotated[Wiring, Depends(_services)]

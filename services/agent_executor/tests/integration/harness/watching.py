"""A job's progress as a browser sees it."""

import json
from typing import Any

from websockets.sync.client import ClientConnection, connect

from testbay.fixtures import Service


def watch(service: Service, job_id: str) -> ClientConnection:
    """An open WebSocket to a job's stream."""
    return connect(f"{service.url.replace('http', 'ws', 1)}/api/tasks/{job_id}/stream")


def events(connection: ClientConnection) -> list[dict[str, Any]]:
    """Every event until the server closes the connection normally."""
    return [json.loads(message) for message in connection]


def read_on(connection: ClientConnection) -> None:
    """Read until the connection ends, which raises."""
    while True:
        connection.recv()

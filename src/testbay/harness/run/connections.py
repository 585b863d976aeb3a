"""Servers that no test connected to: their tests may have met another server, a developer's own say."""

from collections.abc import Iterable, Mapping

from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint

_PATIENCE_S = 5.0


def count(endpoints: Iterable[Endpoint]) -> dict[str, int]:
    """Count the connections that each server has accepted, by dependency; leave out those that do not say."""
    found = {endpoint.name: _accepted(endpoint) for endpoint in endpoints if endpoint.name in ROOMS}
    return {name: number for name, number in found.items() if number is not None}


def missed(endpoints: Iterable[Endpoint], before: Mapping[str, int]) -> list[str]:
    """Return a line for each server that has accepted no connection but the question's own since the count `before`."""
    counted = [endpoint for endpoint in endpoints if endpoint.name in before]
    now = count(counted)
    return [_line(endpoint) for endpoint in counted if now.get(endpoint.name) == before[endpoint.name] + 1]


def _accepted(endpoint: Endpoint) -> int | None:
    try:
        return ROOMS[endpoint.name].probe(endpoint, _PATIENCE_S).connections
    except OSError:
        return None


def _line(endpoint: Endpoint) -> str:
    room = ROOMS[endpoint.name]
    url = room.url(endpoint)
    name = next((name for name, value in room.environment(endpoint).items() if value == url), "the run's environment")
    return (
        f"no test connected to {endpoint.title} on port {endpoint.port}: the tests do without it, or settings of the "
        f"project lead them to another server ({name} has this one's address)"
    )

"""The variables that a stack, or a lease on it, exports, by which a service and its tests find their dependencies."""

import re
from collections.abc import Mapping

from testbay.errors import ManifestError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.manifest.needs import ALIASES

_ATTRIBUTES = ("url", "host", "port", "user", "password", "db")


def exports(endpoints: Mapping[str, Endpoint], mapped: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
    """The variables that docs/reference/commands.md promises: each dependency's, the manifest's `env`, fixed ones.

    Raises:
        ManifestError: The manifest's `env` names something that is not there.
    """
    env = {"DISABLE_VAULT_AUTH": "true", "TESTING": "true"}
    for name, endpoint in endpoints.items():
        if name in ROOMS:
            env |= ROOMS[name].environment(endpoint)
    return env | {name: _fill(text, endpoints, name) for name, text in mapped.items()} | dict(fixed)


def _fill(template: str, endpoints: Mapping[str, Endpoint], name: str) -> str:
    """Replace placeholders such as `{postgres.url}` and `{nats.port}` in a value of the manifest's `env`."""

    def one(match: re.Match[str]) -> str:
        dependency, _, attribute = match[1].partition(".")
        dependency = ALIASES.get(dependency, dependency)
        if dependency not in ROOMS or dependency not in endpoints or attribute not in _ATTRIBUTES:
            raise ManifestError(
                f"env.{name}: {match[0]} is nothing testbay can fill in",
                todo="write {postgres|dragonfly|nats.url|host|port|user|password|db}",
            )
        endpoint = endpoints[dependency]
        return ROOMS[dependency].url(endpoint) if attribute == "url" else str(getattr(endpoint, attribute))

    return re.sub(r"\{([a-z]+\.[a-z]+)\}", one, template)


def placeholders(endpoints: Mapping[str, Endpoint], exported: Mapping[str, str]) -> dict[str, str]:
    """List the names in braces for the manifest's commands: `postgres.url`, and every exported name."""
    found = dict(exported)
    for name, endpoint in endpoints.items():
        if name in ROOMS:
            found |= {f"{name}.{attribute}": str(getattr(endpoint, attribute)) for attribute in _ATTRIBUTES[1:]}
            found[f"{name}.url"] = ROOMS[name].url(endpoint)
    for alias, name in ALIASES.items():
        found |= {f"{alias}.{key}": found[f"{name}.{key}"] for key in _ATTRIBUTES if f"{name}.{key}" in found}
    return found

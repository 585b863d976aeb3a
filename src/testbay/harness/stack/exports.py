"""The variables by which a service and its tests find the dependencies of a stack or a lease."""

import re
from collections.abc import Mapping
from typing import Literal

from testbay.errors import ManifestError
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.manifest import conventions
from testbay.manifest.needs import ALIASES
from testbay.text import nearest

_ATTRIBUTES = ("url", "host", "port", "user", "password", "db")


def exports(
    endpoints: Mapping[str, Endpoint], mapped: Mapping[str, str | Literal[False]], fixed: Mapping[str, str]
) -> dict[str, str]:
    """The variables promised in docs/reference/commands.md: each dependency's, the manifest's `env`, fixed ones.

    Raises:
        ManifestError: The manifest's `env` names something that is not there.
    """
    env = {"DISABLE_VAULT_AUTH": "true", "TESTING": "true"}
    for name, endpoint in endpoints.items():
        if name in ROOMS:
            env |= ROOMS[name].environment(endpoint)
    for name in [name for name, text in mapped.items() if text is False]:
        if name not in env and name not in conventions.mapped(conventions.SETS):
            raise ManifestError(
                f"env.{name} = false: testbay exports no {name}{nearest(name, env)}",
                todo=f'false takes back what testbay exports by itself; a text is written {name} = "false"',
            )
        env.pop(name, None)
    texts = {name: _fill(text, endpoints, name) for name, text in mapped.items() if text is not False}
    return env | texts | dict(fixed)


def _fill(template: str, endpoints: Mapping[str, Endpoint], name: str) -> str:
    """Replace placeholders such as `{postgres.url}` and `{nats.port}` in a value of the manifest's `env`."""

    def one(match: re.Match[str]) -> str:
        dependency, _, attribute = match[1].partition(".")
        dependency = ALIASES.get(dependency, dependency)
        if dependency not in ROOMS or dependency not in endpoints or attribute not in _ATTRIBUTES:
            known = f"`needs` names {', '.join(name for name in endpoints if name in ROOMS) or 'none'}"
            raise ManifestError(
                f"env.{name}: {match[0]} is nothing testbay can fill in",
                why=f"a dependency has {', '.join(_ATTRIBUTES)}" if dependency in endpoints else known,
                todo="correct it, or add the dependency to `needs`",
            )
        return _part(dependency, endpoints[dependency], attribute)

    return re.sub(r"\{([a-z]+\.[a-z]+)\}", one, template)


def _part(name: str, endpoint: Endpoint, attribute: str) -> str:
    return ROOMS[name].url(endpoint) if attribute == "url" else str(getattr(endpoint, attribute))


def placeholders(endpoints: Mapping[str, Endpoint], exported: Mapping[str, str]) -> dict[str, str]:
    """The values for names in braces in the manifest's commands: `postgres.url`, and every exported name."""
    found = dict(exported)
    for name, endpoint in endpoints.items():
        if name in ROOMS:
            found |= {f"{name}.{attribute}": _part(name, endpoint, attribute) for attribute in _ATTRIBUTES}
    for alias, name in ALIASES.items():
        found |= {f"{alias}.{key}": found[f"{name}.{key}"] for key in _ATTRIBUTES if f"{name}.{key}" in found}
    return found

"""The passwords of a stack's servers: random ones of the stack's own where the compose file sets none.

Rooms read the password from the service (`stack_password`), configure their server with it and export it in URLs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from testbay.harness.dependencies import ROOMS, called
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.needs import ALIASES
from testbay.manifest.service import Manifest

_PLACEHOLDER = re.compile(r"\{([a-z]+)\.(url|host|port|password)\}")
_ANY = "x"  # stands for a password, to see whether a room would use one


def given(
    manifest: Manifest,
    services: Mapping[str, ComposeService],
    helpers: Sequence[ComposeService],
    engine: str,
    password: str,
) -> dict[str, ComposeService]:
    """The services, with a password set for each server that can have one and whose clients learn it."""
    can = {name for name in services if _is_ours_to_configure(name, services[name], engine)}
    closed = {name for name in can if not _why_open(manifest, helpers, engine, name)}
    return {
        name: replace(service, stack_password=password) if name in closed else service
        for name, service in services.items()
    }


def notes(
    manifest: Manifest, services: Mapping[str, ComposeService], helpers: Sequence[ComposeService], engine: str
) -> Iterator[str]:
    """Yield a note for each server that stays without a password because its clients would not learn it."""
    for name, service in services.items():
        why = _why_open(manifest, helpers, engine, name)
        if why and _is_ours_to_configure(name, service, engine) and _takes_one(name, service):
            who = called(service, ROOMS[name])
            yield f"{who} asks for no password, since {why}: other users of this machine can log in"


def _is_ours_to_configure(name: str, service: ComposeService, engine: str) -> bool:
    """Return whether testbay configures the server: every embedded one, and containers with a file of ours."""
    return engine == "embedded" or ROOMS[name].configured(replace(service, stack_password=_ANY)) is not None


def _takes_one(name: str, service: ComposeService) -> bool:
    with_one = ROOMS[name].endpoint(replace(service, stack_password=_ANY), 1)
    return with_one != ROOMS[name].endpoint(service, 1)


def _why_open(manifest: Manifest, helpers: Sequence[ComposeService], engine: str, name: str) -> str:
    """Say why clients would not learn the server's password from testbay; empty if they would."""
    if helpers and engine == "compose":
        return f"the container of {helpers[0].key!r} runs beside it"
    if name in manifest.ports:
        return f"the manifest fixes its port ({manifest.ports[name]})"
    handed = _handed_on(manifest, name)
    if not handed or "password" in handed or ("url" in handed and not {"host", "port"} <= handed):
        return ""
    return "the manifest hands on its host and port without it"


def _handed_on(manifest: Manifest, name: str) -> set[str]:
    """Collect the parts of a server's address that the manifest names, such as `host` by `{postgres.host}`."""
    texts = (*(text or "" for text in manifest.env.values()), manifest.start or "", manifest.migrate or "")
    found = (match.groups() for text in texts for match in _PLACEHOLDER.finditer(text))
    return {attribute for dependency, attribute in found if ALIASES.get(dependency, dependency) == name}

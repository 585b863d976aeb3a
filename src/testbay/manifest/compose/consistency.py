"""Consistency of a compose file: names that one part uses and another must define."""

from typing import Any

from testbay.errors import ManifestError


class IncompleteError(ManifestError):
    """A service lacks something that the file below this layer may define."""


def misfit(name: str, service: dict[str, Any], model: dict[str, Any]) -> ManifestError | None:
    """The error for a service that uses something undefined, or depends on itself; None if it is consistent."""
    where = f"services.{name}"
    if not service.get("image") and not service.get("build") and not service.get("provider"):
        return IncompleteError(
            f"{where} has neither an image nor a build", why="there is nothing to start", todo="give it an image"
        )
    for kind, named in _named(service):
        if named not in (model.get(kind) or {}) and not (kind == "networks" and named == "default"):
            return IncompleteError(
                f"{where} uses {named!r}, which {kind} does not define",
                todo=f"fix the name, or define it at the end of the file: {kind}: {{{named}: {{}}}}",
            )
    for other, how in (service.get("depends_on") or {}).items():
        if other not in model["services"] and how.get("required", True):
            return IncompleteError(f"{where} depends on {other!r}, which does not exist", todo="fix the name")
    if way := _circle(name, model["services"]):
        return ManifestError(f"depends_on goes in a circle: {' → '.join(way)}", todo="take one of them out")
    return None


def _named(service: dict[str, Any]) -> list[tuple[str, str]]:
    volumes = [volume for volume in service.get("volumes") or [] if volume.get("type") == "volume"]
    found = [("volumes", volume["source"]) for volume in volumes if volume.get("source")]
    found += [("networks", name) for name in service.get("networks") or {}]
    for kind in ("secrets", "configs"):
        found += [(kind, grant["source"]) for grant in service.get(kind) or [] if grant.get("source")]
    return found


def _circle(name: str, services: dict[str, Any]) -> list[str]:
    """Find a path of `depends_on` from a service back to itself; empty without one."""
    seen: set[str] = set()
    open_ways = [[name]]
    while open_ways:
        way = open_ways.pop()
        for other in (services.get(way[-1]) or {}).get("depends_on") or {}:
            if other == name:
                return [*way, name]
            if other not in seen:
                seen.add(other)
                open_ways.append([*way, other])
    return []

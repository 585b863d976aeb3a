"""The services of a compose file that a run starts: the needed ones, their dependencies, and those in `also`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from testbay.errors import ManifestError
from testbay.manifest.compose.reading import ComposeFile, ComposeService
from testbay.manifest.compose.recognition import TITLES, is_replica, room_of, room_of_image
from testbay.text import nearest

_IMAGES = {"postgres": "postgres:17", "dragonfly": "redis:8", "nats": "nats:2"}
_OTHERS = re.compile(
    r"mysql|mariadb|mongo|mssql|cassandra|elastic|opensearch|clickhouse|rabbitmq|kafka|memcached|minio"
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The part of a compose file that is started.

    `servers` are by the name of the dependency; `helpers` are in start order; `left_out` has a line for every other
    service, with the reason.
    """

    servers: dict[str, ComposeService]
    helpers: tuple[ComposeService, ...] = ()
    left_out: tuple[str, ...] = ()


def select(
    reading: ComposeFile,
    needs: Sequence[str],
    *,
    named: Mapping[str, str] | None = None,
    also: Sequence[str] = (),
    foreign: Mapping[str, tuple[str, ...]] | None = None,
) -> Selection:
    """Choose the services of a run.

    `named` maps dependencies to services; `also` starts more services. `foreign` maps dependencies that other packages
    bring to the beginnings of their images.

    Raises:
        ManifestError: A dependency has no service, or several; a service named does not exist or is another server;
            a service that is needed demands an unset variable, or has neither image nor build.
    """
    choice = _Choice(reading, named or {}, foreign or {})
    servers = {need: choice.server(need) for need in needs}
    helpers = choice.helpers(list(servers.values()), also)
    for service in (*servers.values(), *helpers):
        _check(reading, service)
    return Selection(servers=servers, helpers=helpers, left_out=tuple(choice.left_out(servers, helpers)))


def found(reading: ComposeFile, *, named: Mapping[str, str] | None = None) -> list[str]:
    """The dependencies in a compose file. Inactive profiles count only if every server is in one."""
    servers = [service for service in reading.services if room_of(service)]
    servers = [service for service in servers if reading.is_active(service)] or servers
    return [room for room in TITLES if room in (named or {}) or any(room_of(service) == room for service in servers)]


def candidates(reading: ComposeFile, need: str) -> list[ComposeService]:
    """The services among which `select` would not choose, if they are several."""
    return _Choice(reading, {}, {}).candidates(need)


def _check(reading: ComposeFile, service: ComposeService) -> None:
    if service.problem is not None:
        raise service.problem
    given = (*service.environment, *service.environment.values(), *service.command, *(service.entrypoint or ()))
    if any("\0" in text for text in given):
        raise ManifestError(
            f"{reading.path}: services.{service.key} has a NUL character in its environment or command",
            why="no program can be given one",
            todo="take it out",
        )
    if not service.image and not service.build:
        raise ManifestError(
            f"{reading.path}: services.{service.key} has neither an image nor a build",
            why="there is nothing to start",
            todo="give it an image",
        )


class _Choice:
    """One choice among the services of a reading."""

    def __init__(self, reading: ComposeFile, named: Mapping[str, str], foreign: Mapping[str, tuple[str, ...]]) -> None:
        self._reading = reading
        self._services = {service.key: service for service in reading.services}
        self._named = named
        self._foreign = foreign

    def server(self, need: str) -> ComposeService:
        """The service for a dependency."""
        if need in self._named:
            return self._service_called(need, self._named[need])
        candidates = self.candidates(need)
        if len(candidates) == 1:
            return candidates[0]
        raise self._several(need, candidates) if candidates else self._none(need)

    def candidates(self, need: str) -> list[ComposeService]:
        """The services that may be meant by a dependency: the likeliest kind that there is."""
        matching = [service for service in self._reading.services if self._room(service) == need]
        candidates = [service for service in matching if service.key not in self._named.values()]
        for is_likely in (self._reading.is_active, lambda one: not is_replica(one), lambda one: not one.build):
            candidates = [service for service in candidates if is_likely(service)] or candidates
        return candidates

    def _room(self, service: ComposeService) -> str:
        for name, images in self._foreign.items():
            if service.repository.startswith(images):
                return name
        return room_of(service)

    def _service_called(self, need: str, key: str) -> ComposeService:
        if key not in self._services:
            raise ManifestError(
                f"[services] {need} = {key!r}: {self._reading.path} has no such service{nearest(key, self._services)}",
                why=f"its services: {', '.join(self._services)}",
                todo="fix the name",
            )
        service = self._services[key]
        other = room_of_image(service.based_on)
        if other and need in TITLES and other != need:
            raise ManifestError(
                f"[services] {need} = {key!r}: its image {service.based_on} is {TITLES[other]}, not {TITLES[need]}",
                todo="name the service that is",
            )
        return service

    def _several(self, need: str, candidates: list[ComposeService]) -> ManifestError:
        keys = [service.key for service in candidates]
        return ManifestError(
            f"{self._reading.path}: {len(keys)} services are {TITLES.get(need, need)}: {_and(keys)}",
            why="testbay does not guess which one the tests are for",
            todo=f'say which in the manifest: [services] {need} = "{keys[0]}"',
        )

    def _none(self, need: str) -> ManifestError:
        own = [service for service in self._reading.services if service.build or not room_of_image(service.image)]
        likely = _likeliest(need, [service.key for service in own if not _OTHERS.search(service.image)])
        named = f'say which service it is in the manifest: [services] {need} = "{likely}"; or ' if likely else ""
        return ManifestError(
            f"{self._reading.path}: no service is {TITLES.get(need, need)}, which is needed",
            why="testbay knows a server by the whole name of its image; services: "
            + (
                ", ".join(f"{service.key} ({service.image or 'build'})" for service in self._reading.services)
                or "(none)"
            ),
            todo=f"{named}add the service, such as image: {_IMAGES.get(need, need)}; or take {need} out of needs",
        )

    def helpers(self, servers: list[ComposeService], also: Sequence[str]) -> tuple[ComposeService, ...]:
        """The services started beside the servers, each after those it depends on."""
        order: dict[str, ComposeService] = {}
        for service in servers:
            self._before(service, order, (), asked=False)
        for key in also:
            if key not in self._services:
                raise ManifestError(
                    f"also: {self._reading.path} has no service {key!r}{nearest(key, self._services)}",
                    why=f"its services: {', '.join(self._services)}",
                    todo="fix the name",
                )
            self._before(self._services[key], order, (), asked=True)
            order.setdefault(key, self._services[key])
        chosen = {service.key for service in servers}
        return tuple(service for key, service in order.items() if key not in chosen)

    def _before(
        self, service: ComposeService, order: dict[str, ComposeService], chain: tuple[str, ...], *, asked: bool
    ) -> None:
        if service.key in chain:
            way = " → ".join((*chain[chain.index(service.key) :], service.key))
            raise ManifestError(f"{self._reading.path}: depends_on goes in a circle: {way}", todo="take one out")
        for wanted in service.depends_on:
            other = self._services.get(wanted.service)
            if other is None:
                if not wanted.required:
                    continue
                raise ManifestError(
                    f"{self._reading.path}: services.{service.key} depends on {wanted.service!r}, which does not exist",
                    todo="fix the name",
                )
            if not self._startable(other) and not asked:
                continue
            self._before(other, order, (*chain, service.key), asked=asked)
            order.setdefault(other.key, other)

    def _startable(self, service: ComposeService) -> bool:
        return self._reading.is_active(service) and (bool(service.image) or not service.build)

    def left_out(self, servers: Mapping[str, ComposeService], helpers: Sequence[ComposeService]) -> Iterator[str]:
        """A line for every service that is not started, with the reason."""
        started = {service.key for service in (*servers.values(), *helpers)}
        for service in self._reading.services:
            if service.key not in started:
                yield f"{service.key} ({self._why_not(service)})"

    def _why_not(self, service: ComposeService) -> str:
        if not self._reading.is_active(service):
            return f"its profile {service.profiles[0]} is not active"
        if service.build and not service.image:
            return "it would have to be built"
        room = room_of_image(service.image)
        return f"{service.image}: not a server" if room and not room_of(service) else service.image or "not needed"


def _likeliest(need: str, keys: list[str]) -> str:
    words = {"postgres": ("postgres", "pg", "db", "database"), "dragonfly": ("redis", "valkey", "cache")}
    for word in words.get(need, (need,)):
        for key in keys:
            if word in key.lower():
                return key
    return keys[0] if len(keys) == 1 else ""


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"

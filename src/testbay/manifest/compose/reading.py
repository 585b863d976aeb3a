"""A project's compose files as both engines use them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError


@dataclass(frozen=True, kw_only=True)
class Port:
    """One published port: `host` is 0 if the file leaves the choice open, and the first of a range."""

    host: int
    container: int
    protocol: str = "tcp"
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One mount: `type` is bind, volume, tmpfs, image or npipe; `source` is absolute for a bind, a key for a volume."""

    type: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Granted:
    """One config or secret that a service is granted, resolved: exactly one of `file`, `content`, `missing` is set.

    `target` is the absolute path inside the container; `content` comes from the file's `content:` or `environment:`.
    `missing` says in words why there is no value.
    """

    name: str
    target: str
    file: Path | None = None
    content: str | None = field(default=None, repr=False)
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Prerequisite:
    """One entry of `depends_on`: the service, and whether it must have started, be healthy or have succeeded."""

    service: str
    condition: str = "service_started"
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Built:
    """The readable parts of a Dockerfile: base, variables and copied files; `left_out` are other lines."""

    base: str = ""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    copied: tuple[Volume, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComposeService:
    """One service of the compose file, interpolated, merged and resolved: what its container would get.

    `environment` has `env_file` in it; `origins` says for each name where its value came from, in words. `command` and
    `entrypoint` are words as Compose hands them over (it runs no shell by itself); None is the image's own, an empty
    tuple clears the image's. `problem` refuses a service that demands an unset variable or a missing file.
    `definition` is the whole service as `docker compose config` prints it, for the keys that have no field here.
    `built` is the Dockerfile of one that is built; `environment`, `command`, `entrypoint` and `user` have what it sets.
    `stack_password` is not of the file: a random one of the stack's, for a server whose file sets none.
    """

    key: str
    image: str
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[str, ...] = ()
    configs: tuple[Granted, ...] = ()
    secrets: tuple[Granted, ...] = ()
    depends_on: tuple[Prerequisite, ...] = ()
    profiles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    container_name: str = ""
    build: bool = False
    built: Built = field(default_factory=Built)
    problem: ManifestError | None = None
    definition: dict[str, Any] = field(default_factory=dict, repr=False)
    stack_password: str = field(default="", repr=False)

    @property
    def based_on(self) -> str:
        """The image by which the server is known: the Dockerfile's base if the image is built."""
        return self.built.base or self.image

    @property
    def repository(self) -> str:
        """The name of `based_on` without registry, tag and digest: `docker.io/library/postgres:15` is `postgres`."""
        return self.based_on.partition("@")[0].rpartition("/")[2].partition(":")[0]

    @property
    def tag(self) -> str:
        """The tag of `based_on`, empty when it names none."""
        return self.based_on.partition("@")[0].rpartition("/")[2].partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class ComposeFile:
    """The reading of a project's compose files, its services in the file's order.

    `path` is the first file, whose folder relative paths start from; `files` are all that were named (an `include` is
    not). `reader` says who read it: `Docker Compose 2.26.1` or `testbay`. `definition` has the top-level keys beside
    `services` as `docker compose config` prints them: networks, volumes, configs, secrets.
    """

    path: Path
    services: tuple[ComposeService, ...]
    variables: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    reader: str = "testbay"
    active_profiles: frozenset[str] = frozenset()
    definition: dict[str, Any] = field(default_factory=dict, repr=False)

    def is_active(self, service: ComposeService) -> bool:
        """Return whether a service belongs to no profile, or to one that is active."""
        active = self.active_profiles
        return not service.profiles or "*" in active or bool(active & set(service.profiles))

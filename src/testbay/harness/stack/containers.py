"""The compose file for the compose engine, made from the project's compose file.

Everything that could reach the developer's own stack is left out: names, fixed ports, networks, named and external
volumes, bind mounts of data. What configures a server stays, read-only.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from testbay.harness.dependencies import ROOMS
from testbay.harness.engines.compose import BUILT
from testbay.manifest.compose.reading import ComposeFile, ComposeService, Volume
from testbay.manifest.compose.recognition import POSTGRES

# Kept by Compose for itself, or a way out of the stack: to another container, to the developer's proxy, to the machine.
_DROPPED = (
    *("container_name", "ports", "networks", "network_mode", "profiles", "restart", "deploy", "scale", "pull_policy"),
    *("volumes", "volumes_from", "external_links", "links", "labels", "logging", "develop", "attach", "depends_on"),
    *("extends", "env_file", "label_file"),
)
# Folders that a configuration is mounted into; a server's data never lies there.
_CONFIGURATION = (
    *("/docker-entrypoint-initdb.d", "/docker-entrypoint-preinitdb.d", "/etc", "/usr/local", "/run/secrets"),
    *("/certs", "/ssl", "/opt/bitnami", "/bitnami/postgresql/conf"),
)
_WRITTEN = (".rdb", ".aof", ".db", ".sqlite", ".sqlite3", ".log", ".pid")  # files that a server keeps by itself
_CLUSTER = PurePosixPath("/var/lib/postgresql/data")  # initdb refuses a folder in which a file lies
# Their entrypoints begin as root and take a RAM disk over; in other images a fresh volume gets the folder's owner.
_BEGIN_AS_ROOT = (
    *("postgres", "postgis", "pgvector", "timescaledb", "citus", "redis", "valkey", "keydb", "dragonfly", "nats"),
    *("redis-stack", "redis-stack-server", "dragonfly-standin"),
)
_ANYBODY = 0o1777
_NUMBERS = re.compile(r"([0-9]+)(?::([0-9]+))?")
_WITH_AN_OWNER = ("/var/log/postgresql",)  # folders of an image whose owner a volume keeps, and a RAM disk does not


def document(
    compose: ComposeFile, servers: Mapping[str, ComposeService], helpers: Sequence[ComposeService]
) -> dict[str, Any]:
    """Make the document for Compose, without ports, which only the guard knows."""
    everyone = (*servers.values(), *helpers)
    chosen = {service.key for service in everyone}
    shared = _shared_volumes(everyone)
    services = {}
    for name, service in servers.items():
        services[service.key] = _mounted(service, chosen, [*_server_mounts(name, service, shared)])
    for service in helpers:
        services[service.key] = _mounted(service, chosen, [*_helper_mounts(service, shared)])
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    document: dict[str, Any] = {"services": services}
    volumes: dict[str, Any] = {mount["source"]: {} for mount in mounts if mount["type"] == "volume"}
    if volumes:
        document["volumes"] = volumes
    document |= _granted(compose, everyone)
    for name, service in servers.items():
        _configure(document, name, service)
    return document


def _granted(compose: ComposeFile, services: Sequence[ComposeService]) -> dict[str, Any]:
    """The definitions of the configs and secrets that are granted to these services."""
    found = {}
    for kind in ("configs", "secrets"):
        granted = {grant.name for service in services for grant in getattr(service, kind)}
        defined = compose.definition.get(kind) or {}
        if own := {key: _own_name(key, defined[key]) for key in sorted(granted & defined.keys())}:
            found[kind] = own
    return found


def _shared_volumes(services: Sequence[ComposeService]) -> set[str]:
    """The named volumes by which one service hands files to another, such as certificates that a helper makes."""
    users = [{volume.source for volume in service.volumes if volume.type == "volume"} for service in services]
    return {name for one in users for name in one if name and sum(name in other for other in users) > 1}


def _mounted(service: ComposeService, chosen: set[str], mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The service with its mounts; a RAM disk that belongs to a user is one of `tmpfs`, which alone can say so."""
    made = _plain(service, chosen)
    owned = [mount["owned"] for mount in mounts if "owned" in mount]
    targets = {mount["target"] for mount in mounts} | {entry.partition(":")[0] for entry in service.tmpfs}
    targets |= {granted.target for granted in (*service.configs, *service.secrets)}
    others = [part for mount in mounts if "owned" not in mount for part in _with_places(mount, targets)]
    more = {"tmpfs": [*made.get("tmpfs", ()), *owned]} if owned else {}
    return made | more | ({"volumes": others} if others else {})


def _with_places(mount: dict[str, Any], targets: set[str]) -> Iterator[dict[str, Any]]:
    """Mount a folder entry by entry if it lacks the place of another mount: Docker cannot make one in it, read-only."""
    source, target = Path(mount.get("source", "")), PurePosixPath(mount["target"])
    inside = [PurePosixPath(other).relative_to(target) for other in targets if _is_below(other, target)]
    if mount["type"] != "bind" or not source.is_dir() or all((source / place).exists() for place in inside):
        yield mount
        return
    for entry in sorted(source.iterdir()):
        own = str(target / entry.name)
        if own not in targets and entry.exists():
            yield from _with_places(mount | {"source": str(entry), "target": own}, targets)


def _is_below(path: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(path) != folder and PurePosixPath(path).is_relative_to(folder)


def variables(services: Sequence[ComposeService]) -> dict[str, str]:
    """Map the variables of the file's secrets and configs, which Compose reads from the environment, to values."""
    found = {}
    for service in services:
        for granted in (*service.secrets, *service.configs):
            if granted.file is None and granted.content is not None:
                found[_variable(granted.name)] = granted.content
    return found


def left_out(servers: Mapping[str, ComposeService], helpers: Sequence[ComposeService]) -> Iterator[str]:
    """Yield a line for each service with mounts that testbay does not use."""
    shared = _shared_volumes((*servers.values(), *helpers))
    for name, service in servers.items():
        own = (volume for volume in service.volumes if volume.source not in shared)
        dropped = [_mount(volume) for volume in own if _is_data(name, service, volume)]
        if dropped:
            yield f"service {service.key!r} begins with empty data in memory: {', '.join(dropped)} is not used"
    for service in helpers:
        dropped = [_mount(volume) for volume in service.volumes if volume.type == "volume" and volume.source]
        if dropped:
            yield f"service {service.key!r} begins with empty volumes: {', '.join(dropped)} is not used"


def image_of(service: ComposeService) -> str:
    """The image of a service; testbay chooses the name of an image that it builds."""
    if service.image:
        return service.image
    digest = hashlib.sha256(json.dumps(service.definition.get("build"), sort_keys=True).encode()).hexdigest()
    return f"{BUILT}{digest[:16]}"


def _mount(volume: Volume) -> str:
    source = volume.source or "an unnamed volume"
    return f"{source}:{volume.target}"


def _plain(service: ComposeService, chosen: set[str]) -> dict[str, Any]:
    made = {key: value for key, value in service.definition.items() if key not in _DROPPED and not key.startswith("x-")}
    made["image"] = image_of(service)
    waits = {
        wanted.service: {"condition": wanted.condition, "required": True}
        for wanted in service.depends_on
        if wanted.service in chosen
    }
    links = [link for link in service.definition.get("links") or () if link.partition(":")[0] in chosen]
    # Docker finds a container by its name too; the name itself may be that of the developer's own container.
    aliases = {alias for network in _networks(service) for alias in network.get("aliases") or ()}
    aliases |= {service.container_name} - {""}
    return {
        **made,
        **({"links": links} if links else {}),
        **({"depends_on": waits} if waits else {}),
        **({"networks": {"default": {"aliases": sorted(aliases)}}} if aliases else {}),
    }


def _networks(service: ComposeService) -> list[dict[str, Any]]:
    networks = service.definition.get("networks")
    return [network for network in networks.values() if network] if isinstance(networks, dict) else []


def _own_name(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Define a config or secret for the stack; a value from the environment is passed in a variable of ours."""
    kept = {key: value for key, value in given.items() if key in ("file", "content")}
    return kept or {"environment": _variable(name)}


def _variable(name: str) -> str:
    return "GRANTED_" + re.sub(r"\W", "_", name).upper()


def _server_mounts(name: str, service: ComposeService, shared: set[str]) -> Iterator[dict[str, Any]]:
    """Yield a server's mounts: configuration read-only, every other mount and the data folder new and empty."""
    targets = []
    for number, volume in enumerate(service.volumes):
        if volume.type == "tmpfs":
            targets.append(volume.target)
            yield {"type": "tmpfs", "target": volume.target}
        elif volume.type == "volume" and volume.source in shared:
            targets.append(volume.target)
            yield _handed_over(volume)
        elif _is_data(name, service, volume):
            if not _is_a_file(volume):
                targets.append(volume.target)
                yield _fresh(service, volume.target, f"{service.key}-{number}")
        else:
            yield {"type": "bind", "source": volume.source, "target": volume.target, "read_only": True}
    covered = [*targets, *(str(entry).partition(":")[0] for entry in service.tmpfs)]
    brought = [PurePosixPath(one.target) for one in service.built.copied]  # which a mount would hide
    for folder in ROOMS[name].described(service).data:
        is_covered = any(PurePosixPath(folder).is_relative_to(target) for target in covered)
        if _begins_as_root(service) and not is_covered and not any(one.is_relative_to(folder) for one in brought):
            yield _fresh(service, folder, f"{service.key}-data")


def _is_data(name: str, service: ComposeService, volume: Volume) -> bool:
    """Return whether a server's mount could hold data: every mount but a single file or a configuration folder."""
    if volume.type != "bind":
        return volume.type != "tmpfs"
    target, source = PurePosixPath(volume.target), Path(volume.source)
    described = ROOMS[name].described(service)
    data = [PurePosixPath(folder) for folder in described.data]
    if source.is_file():
        return source.name.endswith(_WRITTEN) or (name == POSTGRES and target.parent in (*data, _CLUSTER))
    if any(folder.is_relative_to(target) or target.is_relative_to(folder) for folder in data):
        return True
    configures = volume.read_only or volume.target in described.named or _names_a_file_of(service, volume)
    configures = configures or any(target.is_relative_to(folder) for folder in _CONFIGURATION)
    return not source.is_dir() or not configures


def _is_a_file(volume: Volume) -> bool:
    """Return whether a mount is a single file; a missing source counts as one if its target has a suffix."""
    is_folder = volume.type != "bind" or Path(volume.source).is_dir()
    return not is_folder and bool(Path(volume.source).is_file() or PurePosixPath(volume.target).suffix)


def _names_a_file_of(service: ComposeService, volume: Volume) -> bool:
    """Return whether the service's command names a file in the mounted folder; the folder's own name does not count."""
    inside = re.compile(rf"{re.escape(volume.target.rstrip('/'))}/([^\s'\"=:,;]+)")
    words = (*(service.entrypoint or ()), *service.command, *service.environment.values())
    found = (Path(volume.source) / name for word in words for name in inside.findall(word))
    return any(file.is_file() and not file.name.endswith(_WRITTEN) for file in found)


def _fresh(service: ComposeService, target: str, name: str) -> dict[str, Any]:
    if _begins_as_root(service) and target not in _WITH_AN_OWNER:
        return {"type": "tmpfs", "target": target, "tmpfs": {"mode": _ANYBODY}}
    if user := _NUMBERS.fullmatch(service.user):  # a bind mount that is replaced would be this user's own
        return {"type": "tmpfs", "target": target, "owned": f"{target}:uid={user[1]},gid={user[2] or 0},mode=0700"}
    return {"type": "volume", "source": name, "target": target}


def _handed_over(volume: Volume) -> dict[str, Any]:
    made = {"type": "volume", "source": f"{volume.source}-shared", "target": volume.target}
    return made | ({"read_only": True} if volume.read_only else {})


def _begins_as_root(service: ComposeService) -> bool:
    return service.repository in _BEGIN_AS_ROOT and not service.user


def _helper_mounts(service: ComposeService, shared: set[str]) -> Iterator[dict[str, Any]]:
    """Yield a helper's mounts: the project's files read-only, and new volumes for what it writes."""
    for number, volume in enumerate(service.volumes):
        if volume.type == "bind" and Path(volume.source).exists():
            yield {"type": "bind", "source": volume.source, "target": volume.target, "read_only": True}
        elif volume.type == "tmpfs":
            yield {"type": "tmpfs", "target": volume.target}
        elif volume.type == "volume" and volume.source in shared:
            yield _handed_over(volume)
        else:
            yield {"type": "volume", "source": f"{service.key}-{number}", "target": volume.target}


def _configure(made: dict[str, Any], name: str, service: ComposeService) -> None:
    """Start a server's container with a configuration file of ours, if its room has one."""
    configured = ROOMS[name].configured(service)
    if configured is None:
        return
    config = f"testbay-{service.key}"
    server = made["services"][service.key]
    server.pop("entrypoint", None)
    server.pop("read_only", None)  # Compose copies a configuration into the container, which Docker refuses then
    server["command"] = configured["command"]
    server["environment"] = {**server.get("environment", {}), **configured["environment"]}
    server["configs"] = [*server.get("configs", []), {"source": config, "target": configured["target"]}]
    made.setdefault("configs", {})[config] = {"content": configured["content"]}

"""Expanding a service's short spellings to the long ones that `docker compose config` prints."""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from testbay.manifest.compose.merging import depends_on, listed, mapped, pairs
from testbay.text import nearest

# What a service may say, by the specification of Compose.
KEYS = frozenset(
    {
        *("annotations", "attach", "blkio_config", "build", "cap_add", "cap_drop", "cgroup", "cgroup_parent"),
        *("command", "configs", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota"),
        *("cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "credential_spec", "depends_on"),
        *("deploy", "develop", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname"),
        *("entrypoint", "env_file", "environment", "expose", "extends", "external_links", "extra_hosts", "gpus"),
        *("group_add", "healthcheck", "hostname", "image", "init", "ipc", "isolation", "label_file", "labels"),
        *("links", "logging", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit"),
        *("models", "network_mode", "networks", "oom_kill_disable", "oom_score_adj", "pid", "pids_limit"),
        *("platform", "ports", "post_start", "pre_start", "pre_stop", "privileged", "profiles", "provider"),
        *("pull_policy", "pull_refresh_after", "read_only", "restart", "runtime", "scale", "secrets"),
        *("security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls"),
        *("tmpfs", "tty", "ulimits", "use_api_socket", "user", "userns_mode", "uts", "volumes", "volumes_from"),
        "working_dir",
    }
)
_PROTOCOLS = ("tcp", "udp", "sctp")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class MisshapenError(ValueError):
    """A value has a type or form that its key does not accept."""


def canonical(service: dict[str, Any]) -> dict[str, Any]:
    """Return a service with every short spelling expanded. Idempotent.

    Raises:
        MisshapenError: A value is not what its key takes.
    """
    for key in service:
        if key not in KEYS and not key.startswith("x-"):
            raise MisshapenError(f"unknown key {key!r}{nearest(key, KEYS)}")
    return {key: _LONG[key](value) if key in _LONG and value is not None else value for key, value in service.items()}


def _environment(value: Any) -> dict[str, Any]:
    _expect(value, (dict, list), "environment")
    for item in listed(value) if isinstance(value, list) else value.values():
        if isinstance(item, (dict, list)) or (isinstance(value, list) and not isinstance(item, str)):
            raise MisshapenError("environment: a value is not a text, a number, a boolean or nothing")
    return pairs(value)


def _env_files(value: Any) -> list[Any]:
    files = []
    for entry in listed([value] if isinstance(value, dict) else value):
        made = {"path": entry} if isinstance(entry, str) else entry
        _expect(made, dict, "env_file")
        if not isinstance(made.get("path"), str):
            raise MisshapenError("env_file: an entry names no path")
        files.append({"required": True} | made)
    return _unique(files, lambda file: file["path"])


def _ports(value: Any) -> list[dict[str, Any]]:
    _expect(value, list, "ports")
    made = [port for entry in value for port in _port(entry)]
    return _unique(made, lambda p: (p.get("host_ip"), p.get("published"), p.get("target"), p.get("protocol")))


def _port(entry: Any) -> Iterator[dict[str, Any]]:
    if isinstance(entry, dict):
        yield _long_port(entry)
        return
    if isinstance(entry, (list, bool, float)):
        raise MisshapenError(f"ports: {str(entry)[:80]!r} is not a port")
    *before, last = str(entry).rsplit(":", 2)
    published = before.pop() if before else ""
    address = before[0].removeprefix("[").removesuffix("]") if before else ""
    target, _, protocol = last.partition("/")
    container, host = _range(target), _range(published or target)
    protocol = protocol.lower() or "tcp"
    if container is None or host is None or not container[0] or protocol not in _PROTOCOLS or not _is_address(address):
        raise MisshapenError(f"ports: {str(entry)[:80]!r} is not a port")
    few, many = container[1] - container[0], host[1] - host[0]
    if published and few not in (0, many):
        raise MisshapenError(f"ports: {entry!r}: the two ranges are of different lengths")
    common = {"mode": "ingress", "protocol": protocol} | ({"host_ip": address} if address else {})
    for step in range(few + 1):
        port = common | {"target": container[0] + step}
        if published:
            port["published"] = str(host[0] + step) if many == few else published
        yield port


def _long_port(entry: dict[str, Any]) -> dict[str, Any]:
    target = str(entry.get("target"))
    if not re.fullmatch("[0-9]{1,5}", target):
        raise MisshapenError(f"ports: {target[:80]!r} is not a container's port")
    published = entry.get("published")
    rest = {key: value for key, value in entry.items() if key != "published"} | {"target": int(target)}
    given = {"published": str(published)} if published not in (None, "") else {}
    return {"mode": "ingress", "protocol": "tcp"} | rest | given


def _is_address(text: str) -> bool:
    if text:
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(text))
    return not text


def _range(text: str) -> tuple[int, int] | None:
    """The first and the last port; None when it is not a range of ports."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if first <= last < 65536 else None


def _volumes(value: Any) -> list[dict[str, Any]]:
    _expect(value, list, "volumes")
    made = [_volume(entry) if isinstance(entry, str) else entry for entry in value]
    for volume in made:
        _expect(volume, dict, "volumes")
        if not isinstance(volume.get("target"), str):
            raise MisshapenError("volumes: an entry has no target")
    return _unique(made, lambda volume: volume["target"])


def _volume(text: str) -> dict[str, Any]:
    """Parse `source:target:options`; a single letter before a colon is a drive of Windows."""
    if len(text) < 3:
        if not text:
            raise MisshapenError("volumes: an empty entry")
        return {"type": "volume", "target": text}
    parts = _colons(text)
    if len(parts) > 3 or not all(parts):
        raise MisshapenError(f"volumes: {text[:80]!r} is not source:target:options")
    if len(parts) == 1:
        return {"type": "volume", "target": parts[0], "volume": {}}
    source, target = parts[:2]
    options = parts[2].split(",") if len(parts) == 3 else []
    bind = source[0] in "./~" or source.startswith("\\\\") or re.match("[A-Za-z]:", source)
    made: dict[str, Any] = {"type": "bind" if bind else "volume", "source": source, "target": target}
    if [option for option in options if option in ("ro", "rw")][-1:] == ["ro"]:
        made["read_only"] = True
    if bind:
        made["bind"] = {"create_host_path": True} | _bind_options(options)
    else:
        made["volume"] = {"nocopy": True} if "nocopy" in options else {}
    return made


def _bind_options(options: list[str]) -> dict[str, str]:
    ways = [option for option in options if re.fullmatch("r?(private|shared|slave)", option)]
    labels = [option for option in options if option in ("z", "Z")]
    return ({"propagation": ways[-1]} if ways else {}) | ({"selinux": labels[-1]} if labels else {})


def _colons(text: str) -> list[str]:
    parts = [""]
    for char in text:
        if char != ":" or (len(parts[-1]) == 1 and parts[-1].isalpha()):
            parts[-1] += char
        else:
            parts.append("")
    return parts


def _granted(folder: str) -> Callable[[Any], list[dict[str, Any]]]:
    def grants(value: Any) -> list[dict[str, Any]]:
        _expect(value, list, "configs and secrets")
        made = [{"source": entry} if isinstance(entry, str) else entry for entry in value]
        for grant in made:
            _expect(grant, dict, "configs and secrets")
        return _unique(made, lambda grant: grant.get("target") or f"{folder}/{grant.get('source')}")

    return grants


def _depends_on(value: Any) -> dict[str, Any]:
    _expect(value, (dict, list), "depends_on")
    return {
        name: {"condition": "service_started", "required": True} | (given or {})
        for name, given in depends_on(value).items()
    }


def _texts(value: Any) -> list[str]:
    return list(dict.fromkeys(str(item) for item in listed(value)))


def _build(value: Any) -> Any:
    return {"context": value} if isinstance(value, str) else value


def _networks(value: Any) -> dict[str, Any]:
    _expect(value, (dict, list), "networks")
    return mapped(value, lambda: None)


def _expect(value: Any, kinds: type | tuple[type, ...], name: str) -> None:
    if not isinstance(value, kinds):
        raise MisshapenError(f"{name}: {str(value)[:80]!r} is not of the right kind")


def _unique(entries: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    """Keep the last entry for each key, in the order of the first."""
    found: dict[Any, Any] = {}
    for entry in entries:
        found[key(entry)] = entry
    return list(found.values())


def _text(name: str) -> Callable[[Any], Any]:
    def text(value: Any) -> Any:
        if not isinstance(value, str):
            raise MisshapenError(f"{name}: a text is expected")
        return value

    return text


def _command(name: str) -> Callable[[Any], Any]:
    def command(value: Any) -> Any:
        _expect(value, (str, list), name)
        for word in listed(value):
            _expect(word, str, name)
        return value

    return command


_LONG: dict[str, Callable[[Any], Any]] = {
    "environment": _environment,
    "env_file": _env_files,
    "ports": _ports,
    "expose": _texts,
    "volumes": _volumes,
    "tmpfs": _texts,
    "dns": _texts,
    "dns_search": _texts,
    "dns_opt": _texts,
    "profiles": _texts,
    "configs": _granted(""),
    "secrets": _granted("/run/secrets"),
    "depends_on": _depends_on,
    "networks": _networks,
    "build": _build,
    "image": _text("image"),
    "container_name": _text("container_name"),
    "user": _text("user"),
    "command": _command("command"),
    "entrypoint": _command("entrypoint"),
}

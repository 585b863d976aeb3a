"""Shapes of variables, such as `int 1..65535` or `postgres-url`. Messages never contain any part of a value."""

import ipaddress
import re
from collections.abc import Callable

from testbay.text import nearest

# A host in a URL: a name, or an address that stands in brackets where it has colons; then perhaps a port.
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_SCHEMES = {
    "url": ("http", "https"),
    "postgres-url": ("postgresql", "postgres"),
    "redis-url": ("redis", "rediss"),
    "nats-url": ("nats", "tls", "ws", "wss"),
}
_BOOL = {"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"}
_INT = re.compile(r"int(?: (-?\d{1,15})\.\.(-?\d{1,15}))?")
_SECRET = re.compile(r"secret>=([1-9]\d{0,3})")
KNOWN = (*_SCHEMES, "host", "bool", "int", "int 1..65535", "secret>=32")


def shape(text: str) -> str:
    """A shape as a manifest names it.

    Raises:
        ValueError: Unknown name, or no number is within its limits.
    """
    limits = _INT.fullmatch(text)
    if limits and limits[1] and int(limits[1]) > int(limits[2]):
        raise ValueError(f"{text!r}: no number is within {limits[1]}..{limits[2]}")
    if not (limits or _SECRET.fullmatch(text) or text in KNOWN):
        raise ValueError(f"unknown shape {text!r}{nearest(text, KNOWN)}; known: {', '.join(KNOWN)}")
    return text


def fault(shape: str, value: str) -> str:
    """Say why a value does not have a shape, without quoting the value; empty if it has."""
    if value != value.strip():
        return "it begins or ends with white space"
    if secret := _SECRET.fullmatch(shape):
        return "" if len(value) >= int(secret[1]) else f"it has {len(value)} characters"
    if "${" in value:
        return "it holds ${…}, which nothing here fills in"
    if limits := _INT.fullmatch(shape):
        return _int(value, *(int(limit) for limit in limits.groups() if limit))
    return _OTHERS[shape](value)


def _int(value: str, least: int | None = None, most: int | None = None) -> str:
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", value):
        return "it is not a whole number"
    inside = least is None or most is None or least <= int(value) <= most
    return "" if inside else f"it is not within {least}..{most}"


def _bool(value: str) -> str:
    return "" if value.lower() in _BOOL else "it is neither true nor false"


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "" if _NAME.fullmatch(value) else "it is not a name or address"
    return ""


def _url(schemes: tuple[str, ...], value: str) -> str:
    """Validate a database URL.

    Hosts may be several, and the scheme may name a driver: postgresql+asyncpg://user:password@a,b:5433/name.
    """
    scheme, found, rest = value.partition("://")
    if not found or scheme.partition("+")[0].lower() not in schemes:
        return f"it does not begin with {' or '.join(f'{known}://' for known in schemes)}"
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return next(filter(None, map(_host_and_port, hosts.split(","))), "")


def _host_and_port(text: str) -> str:
    if not text:
        return "it has no host"
    found = _HOST.fullmatch(text)
    if not found:
        return "its host or port is missing"
    if found[2] and not 0 < int(found[2]) < 65536:
        return "its port is not within 1..65535"
    name = found[1]
    is_known = not _host(name[1:-1]) and ":" in name if name.startswith("[") else _NAME.fullmatch(name)
    return "" if is_known else "its host is not a name or address"


def _nats_url(value: str) -> str:
    """Validate NATS URLs; a cluster has several."""
    return next(filter(None, (_url(_SCHEMES["nats-url"], one.strip()) for one in value.split(","))), "")


_OTHERS: dict[str, Callable[[str], str]] = {
    "url": lambda value: _url(_SCHEMES["url"], value),
    "postgres-url": lambda value: _url(_SCHEMES["postgres-url"], value),
    "redis-url": lambda value: _url(_SCHEMES["redis-url"], value),
    "nats-url": _nats_url,
    "host": _host,
    "bool": _bool,
}

"""Merging one compose file over another, by Compose's rule for each key."""

from collections.abc import Callable
from typing import Any

from testbay.manifest.compose.document import Replaced, Reset, like, text_of

Path = tuple[str, ...]


class UnmergeableError(ValueError):
    """Two values of one key cannot be merged; the text is the key."""


_REPLACED = {("command",), ("entrypoint",), ("healthcheck", "test"), ("provider",)}
# Lists and mappings of names: an entry of the later file takes the place of the earlier one of its name.
_NAMED = {
    *(("annotations",), ("environment",), ("labels",), ("sysctls",)),
    *(("build", "args"), ("build", "additional_contexts"), ("build", "labels")),
    ("deploy", "labels"),
}
# Lists that may be written as one text.
_LISTED = {
    ("dns",),
    ("dns_opt",),
    ("dns_search",),
    ("env_file",),
    ("label_file",),
    ("tmpfs",),
    ("extra_hosts",),
    ("build", "extra_hosts"),
}
# Lists of names that stand for a mapping, and the value of a bare name.
_MAPPED: dict[Path, Callable[[], Any]] = {
    ("depends_on",): lambda: {"condition": "service_started", "required": True},
    ("networks",): lambda: None,
    ("models",): lambda: None,
}


def merge(base: Any, over: Any, path: Path = ()) -> Any:  # noqa: PLR0911 - one line for each rule of Compose
    """Lay `over` over `base`. Neither is changed.

    Raises:
        UnmergeableError: One is a mapping or a list and the other is not.
    """
    if isinstance(over, Reset):
        return None
    if isinstance(over, Replaced):
        return untagged(over.value)
    inside = path[2:] if path[:1] == ("services",) and len(path) > 2 else ()
    if inside:
        special = _special(base, over, inside, path)
        if special is not _ORDINARY:
            return special
    if over is None:
        return base
    if isinstance(base, dict) and isinstance(over, dict):
        return _mappings(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *untagged(over)]
    if isinstance(base, (dict, list)):
        raise UnmergeableError(".".join(path))
    return untagged(over)


_ORDINARY = object()


def _special(base: Any, over: Any, inside: Path, path: Path) -> Any:  # noqa: PLR0911 - as above
    """Merge a key of a service that has its own rule; `_ORDINARY` if it has none."""
    if inside in _REPLACED or (inside[0] == "ulimits" and len(inside) == 2):
        return untagged(over)
    if inside in _NAMED:
        return _mappings(pairs(base), pairs(over), path)
    if inside in _LISTED:
        return [*listed(base), *untagged(listed(over))]
    if inside in _MAPPED:
        return _mappings(mapped(base, _MAPPED[inside]), mapped(over, _MAPPED[inside]), path)
    if inside == ("build",):
        return _mappings(_build(base), _build(over), path)
    if inside == ("logging",) and isinstance(base, dict) and isinstance(over, dict):
        drivers = base.get("driver"), over.get("driver")
        return _mappings(base, over, path) if None in drivers or drivers[0] == drivers[1] else untagged(over)
    return _ORDINARY


def _mappings(base: dict[str, Any], over: dict[str, Any], path: Path) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Reset):
            merged.pop(key, None)
        elif key not in merged or key.startswith("x-"):
            merged[key] = untagged(value)
        else:
            merged[key] = merge(merged[key], value, (*path, key))
    return merged


def untagged(value: Any) -> Any:
    """Remove tags from a value that is merged with nothing."""
    if isinstance(value, Replaced):
        return untagged(value.value)
    if isinstance(value, dict):
        return {key: untagged(item) for key, item in value.items() if not isinstance(item, Reset)}
    if isinstance(value, list):
        return [untagged(item) for item in value if not isinstance(item, Reset)]
    return value


def pairs(value: Any) -> dict[str, Any]:
    """Convert a mapping or a list of NAME=value to a mapping; a bare NAME has the value None."""
    if isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for entry in listed(value):
        name, assigned, text = str(entry).partition("=")
        found[name] = like(entry, text) if assigned else None
    return found


def listed(value: Any) -> list[Any]:
    """Convert a list, a single entry or a mapping to a list."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [f"{name}={text_of(item)}" for name, item in value.items()]
    return [] if value is None else [value]


def mapped(value: Any, of_a_name: Callable[[], Any]) -> dict[str, Any]:
    """Convert a mapping or a list of its keys to a mapping; `of_a_name` makes the value of a key."""
    if isinstance(value, dict):
        return value
    return {str(name): of_a_name() for name in listed(value)}


def depends_on(value: Any) -> dict[str, Any]:
    """The services in `depends_on`, with their conditions."""
    return mapped(value, _MAPPED["depends_on",])


def _build(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {} if value is None else {"context": value}

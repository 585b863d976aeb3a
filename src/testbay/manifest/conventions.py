"""Sets of variables that programs expect by convention, each exported as a whole by one word in the manifest."""

from collections.abc import Iterable, Mapping

# By the word in `exports`: the dependency, and what each variable stands for.
SETS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "PG": ("postgres", {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "DATABASE": "db"}),
    "DB": ("postgres", {"_HOST": "host", "_PORT": "port", "_USER": "user", "_PASSWORD": "password", "_NAME": "db"}),
    "REDIS": ("dragonfly", {"_HOST": "host", "_PORT": "port", "_PASSWORD": "password", "_DB": "db"}),
    "VALKEY": ("dragonfly", {"_URL": "url", "_HOST": "host", "_PORT": "port", "_PASSWORD": "password", "_DB": "db"}),
    "NATS": ("nats", {"_HOST": "host", "_PORT": "port"}),
}


def mapped(words: Iterable[str]) -> dict[str, str]:
    """Return what `env` would say of these sets: `REDIS_HOST = "{dragonfly.host}"`."""
    found: dict[str, str] = {}
    for word in words:
        dependency, endings = SETS[word]
        found |= {f"{word}{ending}": f"{{{dependency}.{attribute}}}" for ending, attribute in endings.items()}
    return found

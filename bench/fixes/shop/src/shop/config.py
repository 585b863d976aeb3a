"""What the shop is told."""

from collections.abc import Mapping


def currency(env: Mapping) -> str:
    """The currency of all prices."""
    return env.get("SHOP_CURRENCY", "EUR").upper()


def port(env: Mapping) -> int:
    """Where the shop listens."""
    return int(env.get("SHOP_PORT", "8080"))

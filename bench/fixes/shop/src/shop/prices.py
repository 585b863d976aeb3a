"""Prices as people write them."""

from decimal import Decimal


def cents(text: str) -> int:
    """The cents of a price such as 12.50 or 12,50."""
    plain = text.strip().replace(",", ".")
    value = Decimal(plain)
    return int(value * 100)


def shown(amount: int) -> str:
    """A price for people."""
    return f"{amount // 100},{amount % 100:02} EUR"

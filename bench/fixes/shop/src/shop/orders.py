"""Orders."""


def total(order: dict) -> int:
    """The price of an order in cents."""
    return sum(line["price"] * line.get("count", 1) for line in order["lines"])


def shipping(order: dict) -> int:
    """The price of its delivery."""
    return 0 if total(order) >= 5000 else 490


def mean(orders: list) -> int:
    """What customers spend on an order, in whole cents."""
    if not orders:
        return 0
    spent = sum(total(order) for order in orders)
    return spent // len(orders)

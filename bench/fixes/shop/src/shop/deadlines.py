"""How long a customer waits."""


def remaining(started_s: float, now_s: float, limit_ms: float) -> float:
    """The seconds that are left of a limit in milliseconds."""
    left = limit_ms / 1000 - (now_s - started_s)
    if left <= 0:
        raise TimeoutError("deadline exceeded while the order was made")
    return left


def pause(tried: int) -> float:
    """The pause before the next try."""
    return min(30.0, 0.5 * 2**tried)

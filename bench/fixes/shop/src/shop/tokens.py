"""Tokens of customers."""


def check(token: dict, now: float) -> str:
    """The customer of a token that is still good."""
    if token["expires"] <= now:
        raise PermissionError("the token has expired")
    return token["customer"]


def issue(customer: str, now: float, lifetime: float = 3600.0) -> dict:
    """A token for a customer."""
    return {"customer": customer, "expires": now + lifetime}

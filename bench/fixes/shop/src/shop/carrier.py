"""What the carrier answers."""


class CarrierError(Exception):
    """The carrier's answer is of no use."""


def tracking(answer: dict) -> str:
    """The number of a parcel. The carrier calls it `tracking` since its version 2."""
    number = answer.get("tracking") or answer.get("tracking_no")
    if number is None:
        raise CarrierError("upstream answered without a number of the parcel")
    return number


def is_there(answer: dict) -> bool:
    """Whether the parcel was delivered."""
    return answer.get("state") == "delivered"

"""A job's token: it can be told from it what it may do, as GitHub can."""

import json
from collections.abc import Mapping

PREFIX = "ghs_"


def token(permissions: Mapping[str, str]) -> str:
    """The token of a job with these permissions."""
    return PREFIX + json.dumps(permissions, sort_keys=True).encode().hex()


def may(bearer: str, right: str, level: str) -> bool:
    """Whether it is a job's token with that permission; who may write may read."""
    try:
        granted = json.loads(bytes.fromhex(bearer.removeprefix(PREFIX)))
    except ValueError:  # another kind of token, or none
        return False
    return granted.get(right) in (level, "write")

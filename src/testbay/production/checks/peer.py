"""The other end of a connection: its address and its certificate."""

import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from testbay.manifest.expressions.evaluate import Missing

_DAY_S = 86400.0


def address(peer: Any) -> Any:
    """The other side's IP address."""
    return peer[0] if isinstance(peer, tuple) and peer else Missing("the address of the server is not known")


def certificate(tls: Any) -> Any:
    """List the facts of a verified certificate, for conditions."""
    found: Mapping[str, Any] = {}
    with suppress(ValueError, AttributeError):
        found = tls.getpeercert() or {}
    if not found:
        return Missing("there is no certificate that was verified: it is not asked over TLS")
    ends_s = ssl.cert_time_to_seconds(str(found["notAfter"]))
    return {
        "days_left": round((ends_s - time.time()) / _DAY_S, 3),
        "not_after": str(found["notAfter"]),
        "subject": _name(found.get("subject", ())),
        "issuer": _name(found.get("issuer", ())),
        "names": [value for kind, value in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address")],
        "serial": str(found.get("serialNumber", "")),
    }


def _name(parts: Any) -> str:
    flat = [f"{key}={value}" for part in parts for key, value in part]
    return ", ".join(flat)

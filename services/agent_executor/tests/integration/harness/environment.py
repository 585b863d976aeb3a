"""What the service is told: quick time limits, its lease's addresses through the proxies, and the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from harness.proxy import Proxy
    from testbay.pool import Lease

SERVICE_FOLDER = Path(__file__).parents[3]

# Short, so that an outage, a redelivery or a shutdown takes a test seconds at most.
QUICK = {
    "NATS_ACK_WAIT_S": "1",
    "NATS_FETCH_TIMEOUT_S": "0.2",
    "NATS_TIMEOUT_S": "1",
    "DB_TIMEOUT_S": "0.25",
    "DRAGONFLY_TIMEOUT_S": "0.3",
    "HEALTH_TIMEOUT_S": "0.3",
    "SWEEP_INTERVAL_S": "0.2",
    "RETRY_PAUSE_S": "0.1",
    "SHUTDOWN_GRACE_S": "0.6",
    "MODEL_MAX_RETRIES": "0",
    "SLOW_QUERY_MS": "0.001",
    "GIT_COMMIT": "0123456789abcdef0123456789abcdef01234567",
}


def through(proxies: "Mapping[str, Proxy]", lease: "Lease") -> dict[str, str]:
    """The lease's parts, each behind its proxy."""
    return {
        "DATABASE_URL": _with_port(lease.postgres.dsn, proxies["postgres"].port),
        "REDIS_URL": _with_port(lease.dragonfly.url, proxies["dragonfly"].port),
        "NATS_URL": _with_port(lease.nats.url, proxies["nats"].port),
    }


def live_model(env: Mapping[str, str]) -> dict[str, str]:
    """The real model's variables as they were given to us; empty without a key: the replay server needs none."""
    if not env.get("OPENAI_API_KEY"):
        return {}
    return {name: env[name] for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL") if env.get(name)}


def _with_port(url: str, port: int) -> str:
    """The same URL on another port of this machine."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

"""The environment the tests are given, and the one the service gets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

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


@dataclass(frozen=True)
class Contract:
    """Addresses of the real dependencies, and how the model is reached."""

    database_url: str
    redis_url: str
    nats_url: str
    openai_api_key: str | None
    openai_base_url: str | None

    @property
    def is_live(self) -> bool:
        """A key means the real model; the local replay server needs none."""
        return self.openai_api_key is not None

    def live_model(self) -> dict[str, str]:
        """The model variables exactly as we were given them."""
        given = {"OPENAI_API_KEY": self.openai_api_key, "OPENAI_BASE_URL": self.openai_base_url}
        return {name: value for name, value in given.items() if value is not None}


def read(env: Mapping[str, str] = os.environ) -> Contract:
    """The contract, or one clear error naming every variable that is missing."""
    missing = [name for name in ("DATABASE_URL", "REDIS_URL", "NATS_URL") if not env.get(name)]
    if not env.get("OPENAI_API_KEY") and not env.get("OPENAI_BASE_URL"):
        missing.append("OPENAI_API_KEY (or OPENAI_BASE_URL)")
    if missing:
        text = (
            f"not set: {', '.join(missing)}. These tests need running dependencies: "
            "use `testbay run agent_executor`, or `testbay exec agent_executor -- python -m pytest`."
        )
        raise pytest.UsageError(text)
    return Contract(
        database_url=env["DATABASE_URL"],
        redis_url=env["REDIS_URL"],
        nats_url=env["NATS_URL"],
        openai_api_key=env.get("OPENAI_API_KEY") or None,
        openai_base_url=env.get("OPENAI_BASE_URL") or None,
    )


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None, url
    assert parts.port is not None, url
    return parts.hostname, parts.port


def with_port(url: str, port: int) -> str:
    """The same URL on another port of this machine."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

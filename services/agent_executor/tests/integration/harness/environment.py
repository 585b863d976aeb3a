"""What the service is told beside its lease's addresses: quick time limits, and the model."""

from collections.abc import Mapping

REPLAY = "python tests/replay_server.py --port {port}"

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
    "SHUTDOWN_GRACE_S": "1",
    "MODEL_MAX_RETRIES": "0",
    "SLOW_QUERY_MS": "0.001",
    "GIT_COMMIT": "0123456789abcdef0123456789abcdef01234567",
}


def live_model(env: Mapping[str, str]) -> dict[str, str]:
    """The real model's variables as they were given to us; empty without a key: the replay server needs none."""
    if not env.get("OPENAI_API_KEY"):
        return {}
    return {name: env[name] for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL") if env.get(name)}

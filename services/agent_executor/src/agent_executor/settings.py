"""All configuration, read once from the environment. No other module reads it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

T = TypeVar("T")

MAX_DELIVER = 3


class SettingsError(ValueError):
    """A variable that is set to something we cannot use."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The service's settings; secrets stay out of its repr."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    openai_api_key: str | None = field(repr=False)
    openai_base_url: str | None
    default_model: str
    model_timeout_s: float
    model_max_retries: int
    ack_wait_s: float
    fetch_timeout_s: float
    concurrency: int
    job_timeout_s: float
    shutdown_grace_s: float
    sweep_interval_s: float
    retry_pause_s: float
    db_pool_min: int
    db_pool_max: int
    db_timeout_s: float
    dragonfly_timeout_s: float
    nats_timeout_s: float
    health_timeout_s: float
    slow_query_ms: float
    max_event_bytes: int
    log_level: str
    git_commit: str | None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read every variable; a bad value is refused by name."""
        number = _reader(env, float, "a positive number")
        count = _reader(env, int, "a positive whole number")
        return cls(
            database_url=env.get("DATABASE_URL") or _database_url(env),
            redis_url=env.get("REDIS_URL")
            or f"redis://{env.get('DRAGONFLY_HOST', 'localhost')}:{env.get('DRAGONFLY_PORT', '6379')}/0",
            nats_url=env.get("NATS_URL") or "nats://localhost:4222",
            openai_api_key=env.get("OPENAI_API_KEY") or None,
            openai_base_url=env.get("OPENAI_BASE_URL") or None,
            default_model=env.get("DEFAULT_MODEL") or "gpt-4o-mini",
            model_timeout_s=number("MODEL_TIMEOUT_S", 60.0),
            model_max_retries=_reader(env, int, "a whole number, 0 or more", least=0)("MODEL_MAX_RETRIES", 2),
            ack_wait_s=number("NATS_ACK_WAIT_S", 30.0),
            fetch_timeout_s=number("NATS_FETCH_TIMEOUT_S", 2.0),
            concurrency=count("JOB_CONCURRENCY", 4),
            job_timeout_s=number("JOB_TIMEOUT_S", 600.0),
            shutdown_grace_s=number("SHUTDOWN_GRACE_S", 20.0),
            sweep_interval_s=number("SWEEP_INTERVAL_S", 10.0),
            retry_pause_s=number("RETRY_PAUSE_S", 5.0),
            db_pool_min=count("DB_POOL_MIN", 1),
            db_pool_max=count("DB_POOL_MAX", 10),
            db_timeout_s=number("DB_TIMEOUT_S", 2.0),
            dragonfly_timeout_s=number("DRAGONFLY_TIMEOUT_S", 1.0),
            nats_timeout_s=number("NATS_TIMEOUT_S", 2.0),
            health_timeout_s=number("HEALTH_TIMEOUT_S", 1.0),
            slow_query_ms=number("SLOW_QUERY_MS", 200.0),
            max_event_bytes=count("MAX_EVENT_BYTES", 256 * 1024),
            log_level=env.get("LOG_LEVEL") or "INFO",
            git_commit=env.get("GIT_COMMIT") or None,
        )

    @property
    def heartbeat_s(self) -> float:
        """Four beats per ack_wait: two may be lost without a needless redelivery."""
        return self.ack_wait_s / 4


def _reader(
    env: Mapping[str, str], convert: Callable[[str], T], what: str, *, least: float | None = None
) -> Callable[[str, T], T]:
    def read(name: str, default: T) -> T:
        text = env.get(name)
        if not text:
            return default
        try:
            value: Any = convert(text)
        except ValueError:
            raise SettingsError(f"{name} must be {what}, but is {text!r}") from None
        if not (value > 0 if least is None else value >= least):
            raise SettingsError(f"{name} must be {what}, but is {text!r}")
        return value  # type: ignore[no-any-return]  # compared above, which mypy cannot do for a bare T

    return read


def _database_url(env: Mapping[str, str]) -> str:
    user, password = (quote(env.get(name, ""), safe="") for name in ("POSTGRES_USER", "POSTGRES_PASSWORD"))
    host, port = env.get("POSTGRES_HOST", "localhost"), env.get("POSTGRES_PORT", "5432")
    return f"postgresql://{user}:{password}@{host}:{port}/{env.get('POSTGRES_DB', '')}"

"""The counters of this process, for Prometheus and for /metrics/summary."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One registry per process, handed to whoever counts; no module-level state."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.jobs = Counter("agent_jobs_finished", "Jobs finished by this process", ["state"], registry=r)
        self.job_seconds = Histogram("agent_job_seconds", "Run time of a job", registry=r, buckets=SECONDS)
        self.jobs_active = Gauge("agent_jobs_active", "Deliveries being handled now", registry=r)
        self.deliveries = Counter("agent_deliveries", "Messages received", ["outcome"], registry=r)
        self.redeliveries = Counter("agent_redeliveries", "Messages received more than once", registry=r)
        self.queries = Counter("agent_db_queries", "Statements sent to PostgreSQL", registry=r)
        self.slow_queries = Counter("agent_db_slow_queries", "Statements over the slow limit", registry=r)
        self.pool_used = Gauge("agent_db_pool_used", "Connections in use", registry=r)
        self.pool_size = Gauge("agent_db_pool_size", "Connections the pool may open", registry=r)
        self.stream_lost = Counter("agent_stream_events_lost", "Events Dragonfly did not take", registry=r)
        self.model_calls = Counter("agent_model_calls", "Model calls", ["outcome"], registry=r)
        self.model_tokens = Counter("agent_model_tokens", "Tokens the model reported", ["kind"], registry=r)
        self.http = Histogram(
            "agent_http_request_seconds", "HTTP requests", ["method", "route", "status"], registry=r, buckets=SECONDS
        )


@dataclass
class QueryLog:
    """Counts statements and keeps the latest slow ones."""

    metrics: Metrics
    slow_ms: float
    count: int = 0
    slow_count: int = 0
    slowest_kept: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20))

    def record(self, statement: str, elapsed_ms: float) -> None:
        """Note one statement; only its text is kept, never its parameters."""
        self.count += 1
        self.metrics.queries.inc()
        if elapsed_ms >= self.slow_ms:
            self.slow_count += 1
            self.metrics.slow_queries.inc()
            text = " ".join(statement.split())[:200]
            self.slowest_kept.append({"statement": text, "ms": round(elapsed_ms, 1)})

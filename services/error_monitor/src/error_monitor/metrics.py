"""The counters of this process and of the database, for Prometheus."""

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)


class Metrics:
    """One registry per process, handed to whoever counts; no module-level state."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self._lines = Counter("error_monitor_lines", "Lines read by this process", registry=r)
        self._events = Counter("error_monitor_events", "Events stored by this process", registry=r)
        self._scans = Histogram("error_monitor_scan_seconds", "Scans of this process", registry=r, buckets=SECONDS)
        self._failures = Counter("error_monitor_source_failures", "Scans without a source", ["source"], registry=r)
        self._restarts = Counter("error_monitor_loop_restarts", "Starts of the loop after a failure", registry=r)
        self._leader = Gauge("error_monitor_leader", "1 while this process scans", registry=r)
        self._patterns = Gauge("error_monitor_patterns", "Patterns by state", ["state", "severity"], registry=r)
        self._stored = Gauge("error_monitor_stored_events", "Events in the database", ["category"], registry=r)
        self._gaps = Gauge("error_monitor_gaps", "Gaps in what was read", registry=r)
        self._scan_age = Gauge("error_monitor_last_scan_age_seconds", "Since the last scan ended", registry=r)

    def scanned(self, lines: int, events: int, seconds: float, errors: Mapping[str, str]) -> None:
        """Count a scan."""
        self._lines.inc(lines)
        self._events.inc(events)
        self._scans.observe(seconds)
        for source in errors:
            self._failures.labels(source).inc()

    def restarted(self) -> None:
        self._restarts.inc()

    def text(
        self, patterns: Sequence[Mapping[str, Any]], gaps: int, scan_age_s: float | None, *, is_leader: bool
    ) -> bytes:
        """Everything in Prometheus' format. No label is a text from a log."""
        self._leader.set(int(is_leader))
        self._patterns.clear()
        self._stored.clear()
        for row in patterns:
            self._patterns.labels(row["state"], row["severity"]).inc(row["patterns"])
            self._stored.labels(row["category"]).inc(row["events"])
        self._gaps.set(gaps)
        self._scan_age.set(scan_age_s if scan_age_s is not None else float("nan"))
        return generate_latest(self.registry)

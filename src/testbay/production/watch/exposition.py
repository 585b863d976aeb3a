"""`/metrics`: the state of every check and of the watcher itself, for Prometheus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from testbay.production.watch.facts import CheckState, check_states
from testbay.production.watch.recorder import BUCKETS_S, Tally
from testbay.production.watch.watcher import Watcher

if TYPE_CHECKING:
    from prometheus_client import Metric

_CHECK = ("service", "target", "phase", "check", "each")


def exposition(watcher: Watcher, now: float) -> bytes:
    """Write the metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    class Collector:
        def collect(self) -> "Iterator[Metric]":
            yield from _checks(list(check_states(watcher, now)))
            yield from _watcher(watcher.recorder.tally, now)

    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)


def _checks(every: list[CheckState]) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    asked = [one for one in every if one.state not in ("skip", "unknown")]
    success = GaugeMetricFamily(
        "testbay_check_success", "1: the check passes, 0: it does not; absent if skipped.", labels=_CHECK
    )
    latency = GaugeMetricFamily("testbay_check_latency_seconds", "Response time in the last round.", labels=_CHECK)
    last = GaugeMetricFamily("testbay_check_asked_timestamp_seconds", "Time of the last round.", labels=_CHECK)
    for one in asked:
        labels = (one.series.service, one.series.target, "scheduled", one.series.check, one.series.instance)
        success.add_metric(labels, float(one.state == "pass"))
        last.add_metric(labels, one.standing.at)
        if one.standing.took_s is not None:
            latency.add_metric(labels, one.standing.took_s)
    yield from (success, latency, last)


def _watcher(tally: Tally, now: float) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    whole, buckets = 0, []
    for most_s, count in zip((*(str(one) for one in BUCKETS_S), "+Inf"), tally.lateness, strict=True):
        whole += count
        buckets.append((most_s, float(whole)))
    yield HistogramMetricFamily(
        "testbay_watch_lateness_seconds",
        "Delay of rounds after the time at which they were due.",
        buckets=buckets,
        sum_value=tally.late_s,
    )
    counts = {"skipped": tally.skipped, "lost": tally.lost, "clock_jumps": tally.clock_jumps}
    for name, value in counts.items():
        yield CounterMetricFamily(f"testbay_watch_{name}", f"Rounds, or times, of the watcher: {name}.", value=value)
    yield GaugeMetricFamily("testbay_watch_untold", "Messages that could not be delivered yet.", value=tally.untold)
    broken = float(bool(tally.store_trouble))
    yield GaugeMetricFamily("testbay_watch_store_broken", "1: the history cannot be written.", value=broken)
    yield GaugeMetricFamily("testbay_watch_timestamp_seconds", "The watcher's clock.", value=now)

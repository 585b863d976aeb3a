"""`/metrics`: the state of every check and of the watcher itself, for Prometheus."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from testbay.production.metrics import CHECK, collected, gauge
from testbay.production.watch.facts import CheckState, check_states
from testbay.production.watch.recorder import BUCKETS_S, Tally
from testbay.production.watch.watcher import Watcher

if TYPE_CHECKING:
    from prometheus_client import Metric


def exposition(watcher: Watcher, now: float) -> bytes:
    """Write the metrics in Prometheus' text format."""
    from prometheus_client import generate_latest

    metrics = [*_checks(check_states(watcher, now)), *_watcher(watcher.recorder.tally, now, watcher.unended)]
    return generate_latest(collected(metrics))


def _checks(every: Iterable[CheckState]) -> "Iterator[Metric]":
    asked: dict[tuple[str, ...], CheckState] = {
        (one.series.service, one.series.target, "scheduled", one.series.check, one.series.instance): one
        for one in every
        if one.state not in ("skip", "unknown")
    }
    success = {key: float(one.state == "pass") for key, one in asked.items()}
    latencies = {key: took_s for key, one in asked.items() if (took_s := one.standing.took_s) is not None}
    times = {key: one.standing.at for key, one in asked.items()}
    yield gauge("testbay_check_success", "1: the check passes, 0: it does not; absent if skipped.", CHECK, success)
    yield gauge("testbay_check_latency_seconds", "Response time in the last round.", CHECK, latencies)
    yield gauge("testbay_check_asked_timestamp_seconds", "Time of the last round.", CHECK, times)


def _watcher(tally: Tally, now: float, unended: int) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    counts = map(float, itertools.accumulate(tally.lateness))
    yield HistogramMetricFamily(
        "testbay_watch_lateness_seconds",
        "Delay of rounds after the time at which they were due.",
        buckets=list(zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True)),
        sum_value=tally.late_s,
    )
    for name in ("skipped", "lost", "clock_jumps"):
        text = f"Rounds, or times, of the watcher: {name}."
        yield CounterMetricFamily(f"testbay_watch_{name}", text, value=getattr(tally, name))
    yield gauge("testbay_watch_untold", "Messages that could not be delivered yet.", (), {(): tally.untold})
    yield gauge("testbay_watch_store_broken", "1: the history cannot be written.", (), {(): bool(tally.store_trouble)})
    yield gauge("testbay_watch_unended", "Checks that did not end, even when cancelled.", (), {(): unended})
    yield gauge("testbay_watch_timestamp_seconds", "The watcher's clock.", (), {(): now})
    judged = now - tally.unjudged_s
    yield gauge("testbay_watch_judged_timestamp_seconds", "Time at which rounds were last judged.", (), {(): judged})

"""The alerts for what Prometheus scrapes from `testbay watch`, evaluated by promtool."""

import subprocess
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY

ALERTS = REPOSITORY / "deploy/watch/prometheus-alerts.yml"
TEST = """
rule_files: [ALERTS]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: testbay_check_success{service="shop", target="production", check="docs", each="/docs", instance="w"}
        values: 1x5 0x5 stale
      - series: testbay_watch_timestamp_seconds{instance="w"}
        values: 0+60x11 stale
      - series: testbay_watch_judged_timestamp_seconds{instance="w"}
        values: -1+60x11 stale
      - series: testbay_watch_untold{instance="w"}
        values: 0x11
      - series: testbay_watch_store_broken{instance="w"}
        values: 0x11
    alert_rule_test:
      - {eval_time: 5m, alertname: CheckFails, exp_alerts: []}
      - {eval_time: 11m, alertname: WatcherGone, exp_alerts: []}
      - {eval_time: 11m, alertname: NothingAsked, exp_alerts: []}
      - {eval_time: 11m, alertname: MessagesNotSent, exp_alerts: []}
      - {eval_time: 11m, alertname: HistoryNotWritten, exp_alerts: []}
      - {eval_time: 11m, alertname: NothingJudged, exp_alerts: []}
      - eval_time: 20m
        alertname: CheckFails
        exp_alerts:
          - exp_labels: {severity: page, service: shop, target: production, check: docs, each: /docs, instance: w}
            exp_annotations: {summary: "shop on production: docs /docs"}
      - eval_time: 20m
        alertname: WatcherGone
        exp_alerts:
          - exp_labels: {severity: page}
            exp_annotations: {summary: "testbay watch cannot be scraped: nothing is known of any check"}
  - interval: 1m
    input_series:
      - series: testbay_watch_timestamp_seconds{instance="w"}
        values: 0+60x30
      - series: testbay_watch_judged_timestamp_seconds{instance="w"}
        values: 0x30
      - series: testbay_watch_untold{instance="w"}
        values: 2x30
      - series: testbay_watch_store_broken{instance="w"}
        values: 1x30
    alert_rule_test:
      - eval_time: 16m
        alertname: NothingAsked
        exp_alerts:
          - exp_labels: {severity: page, instance: w}
            exp_annotations: {summary: "testbay watch at w knows the state of no check"}
      - eval_time: 16m
        alertname: NothingJudged
        exp_alerts:
          - exp_labels: {severity: page, instance: w}
            exp_annotations: {summary: "testbay watch at w has judged nothing for 16m 0s"}
      - eval_time: 16m
        alertname: MessagesNotSent
        exp_alerts:
          - exp_labels: {severity: page, instance: w}
            exp_annotations: {summary: "testbay watch at w could not send 2 messages"}
      - eval_time: 16m
        alertname: HistoryNotWritten
        exp_alerts:
          - exp_labels: {severity: page, instance: w}
            exp_annotations:
              summary: "testbay watch at w cannot write its history: its rounds wait in memory"
"""


@pytest.mark.prometheus
def test_the_alerts_of_the_watcher_ring(tmp_path: Path) -> None:
    """An outage goes on when the watcher is gone, which rings, too; a watcher that is well rings nothing."""
    (tmp_path / "test.yml").write_text(TEST.replace("ALERTS", str(ALERTS)))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.split()) == (0, ["Unit", "Testing:", "test.yml", "SUCCESS"]), done.stderr

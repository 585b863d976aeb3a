"""Settings: what is unknown, unusable or contradictory is named, all at once, before anything is served."""

from harness.instance import Make


def test_every_problem_is_named_at_once(monitor: Make) -> None:
    """Three things are wrong: exit code 2 before the port is opened, and three lines."""
    one = monitor(start=False, ERROR_MONITOR_INTERVAL="x", LOKI_ENABLED="true", LOKI_QERY="{}").start()

    code = one.exit_code()

    lines = [line for line in one.logs().splitlines() if line.startswith("error-monitor: ")]
    assert (code, len(lines)) == (2, 3)


def test_disabled_answers_and_never_scans(monitor: Make) -> None:
    """ERROR_MONITORING_ENABLED=false: the page is there, the loop is not."""
    one = monitor(ERROR_MONITORING_ENABLED="false")

    answer = one.client.post("/monitor/scan")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "disabled")
    assert one.status()["running"] is False


def test_no_source_is_a_problem_that_is_shown(monitor: Make) -> None:
    """A monitor that reads nothing is not healthy."""
    one = monitor(LOG_FILES="")

    assert one.get("/health")["status"] == "degraded"
    assert one.status()["problems"] == ["no source is set up: set LOG_FILES, LOG_CONTAINERS, LOKI_URL or RAILWAY_TOKEN"]

"""Settings: what is unknown, unusable or contradictory is named, all at once, before anything is served."""

import pytest
from harness.instance import Make

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        pytest.param({"ERROR_MONITOR_INTERVALL": "60"}, "did you mean ERROR_MONITOR_INTERVAL?", id="unknown"),
        pytest.param(
            {"ERROR_MONITOR_INTERVAL": "5"}, "ERROR_MONITOR_INTERVAL must be a number, 10 or more", id="small"
        ),
        pytest.param({"ERROR_MONITOR_INTERVAL": "nan"}, "must be a number", id="nan"),
        pytest.param({"ERROR_MONITORING_ENABLED": "perhaps"}, "must be true or false", id="flag"),
        pytest.param({"LOKI_ENABLED": "true"}, "LOKI_ENABLED is true, but LOKI_URL is not set", id="loki-url"),
        pytest.param({"LOKI_URL": URL}, "LOKI_URL is set, but LOKI_ENABLED is not true", id="loki-off"),
        pytest.param({"LOKI_ENABLED": "true", "LOKI_URL": "loki:3100"}, "LOKI_URL must be an http", id="loki-shape"),
        pytest.param({"RAILWAY_TOKEN": "t"}, "RAILWAY_ENVIRONMENT_ID is not", id="railway"),
        pytest.param({"LOG_FILES": "logs/*.log"}, "LOG_FILES must name absolute paths", id="relative"),
        pytest.param({"DATABASE_URL": ""}, "DATABASE_URL is not set", id="no-database"),
        pytest.param({"DATABASE_URL": "mysql://u:pw-in-url@h/d"}, "DATABASE_URL must be a URL such as", id="database"),
        pytest.param({"ERROR_MONITOR_TOKEN": "short"}, "ERROR_MONITOR_TOKEN must be 16 or more", id="short-token"),
        pytest.param({"ERROR_MONITOR_TOKEN": ""}, "ERROR_MONITOR_TOKEN is not set", id="no-token"),
        pytest.param({"AUTO_FIX_ENABLED": "true"}, "this version only finds errors", id="fixes"),
        pytest.param({"ERROR_MONITOR_NAME": "Ünïcode"}, "ERROR_MONITOR_NAME must be a name", id="name"),
    ],
)
def test_wrong_settings_are_refused(monitor: Make, env: dict[str, str], said: str) -> None:
    """Exit code 2 before the port is opened; the words name the variable, and never a value that may be secret."""
    one = monitor(start=False, **env).start()

    code = one.exit_code()

    assert (code, said in one.logs(), "pw-in-url" in one.logs()) == (2, True, False)


def test_every_problem_is_named_at_once(monitor: Make) -> None:
    """Three things are wrong: three lines."""
    one = monitor(start=False, ERROR_MONITOR_INTERVAL="x", LOKI_ENABLED="true", LOKI_QERY="{}").start()
    one.exit_code()

    lines = [line for line in one.logs().splitlines() if line.startswith("error-monitor: ")]
    assert len(lines) == 3


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

"""Settings: what is unknown, unusable or contradictory is named, and never with a value that may be secret."""

import pytest

from error_monitor.settings import Settings, SettingsError

URL = "http://127.0.0.1:9"
GOOD = {
    "DATABASE_URL": "postgresql://app@127.0.0.1:5432/shop",
    "ERROR_MONITOR_TOKEN": "only-for-tests-0123456789",
    "LOG_FILES": "/var/log/shop/*.log",
}


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
        pytest.param({"LOKI_TOKEN": "pw-in-url"}, "LOKI_TOKEN is set, but LOKI_ENABLED is not true", id="loki-token"),
        pytest.param({"AUTOFIX_ENABLED": "true"}, "did you mean AUTO_FIX_ENABLED?", id="fixes-misspelt"),
        pytest.param({"LOKI_ENABLED": "true", "LOKI_URL": "loki:3100"}, "LOKI_URL must be an http", id="loki-shape"),
        pytest.param({"RAILWAY_TOKEN": "t"}, "RAILWAY_ENVIRONMENT_ID is not", id="railway"),
        pytest.param({"LOG_FILES": "logs/*.log"}, "LOG_FILES must name absolute paths", id="relative"),
        pytest.param({"DATABASE_URL": ""}, "DATABASE_URL is not set", id="no-database"),
        pytest.param({"DATABASE_URL": "mysql://u:pw-in-url@h/d"}, "DATABASE_URL must be a URL such as", id="database"),
        pytest.param({"ERROR_MONITOR_TOKEN": "short"}, "ERROR_MONITOR_TOKEN must be 16 or more", id="short-token"),
        pytest.param({"ERROR_MONITOR_TOKEN": ""}, "ERROR_MONITOR_TOKEN is not set", id="no-token"),
        pytest.param({"AUTO_FIX_ENABLED": "true"}, "but ANTHROPIC_API_KEY is not set", id="fixes"),
        pytest.param({"ERROR_MONITOR_NAME": "Ünïcode"}, "ERROR_MONITOR_NAME must be a name", id="name"),
    ],
)
def test_wrong_settings_are_refused(env: dict[str, str], said: str) -> None:
    """The words name the variable, and never a value that may be secret."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(GOOD | env).check_serving()

    assert (said in str(refused.value), "pw-in-url" in str(refused.value)) == (True, False)


def test_good_settings_are_taken() -> None:
    """Nothing is refused that is right, and the repr holds no secret."""
    settings = Settings.from_env(GOOD)
    settings.check_serving()
    settings.check_scanning()

    assert (settings.log_files, GOOD["ERROR_MONITOR_TOKEN"] in repr(settings)) == (("/var/log/shop/*.log",), False)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("LOG_FILE", "LOG_FILES"), ("LOG_CONTAINER", "LOG_CONTAINERS"), ("RAILWAY_TOKENS", "RAILWAY_TOKEN")],
)
def test_a_source_that_is_misspelt_is_named(variable: str, meant: str) -> None:
    """Another program's variable is no error, but where no source is set up it is what was probably meant."""
    env = {name: value for name, value in GOOD.items() if name != "LOG_FILES"}
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(env | {variable: "/x"}).check_scanning()

    assert f"{variable} is set: did you mean {meant}?" in str(refused.value)
    assert Settings.from_env(GOOD | {variable: "/x"}).without_source() == ""

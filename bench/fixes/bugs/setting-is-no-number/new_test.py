import pytest
from agent_executor.settings import Settings, SettingsError


def test_a_number_that_is_none_is_refused_by_name() -> None:
    """The reader of the error knows what to change."""
    with pytest.raises(SettingsError, match="DB_POOL_MAX"):
        Settings.from_env({"DB_POOL_MAX": "many"})

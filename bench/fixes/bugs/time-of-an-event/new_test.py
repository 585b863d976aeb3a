import pytest
from agent_executor.errors import InvalidEventError
from agent_executor.messaging.events import _time


def test_a_time_that_is_none_is_refused_by_name() -> None:
    """The sender reads why."""
    with pytest.raises(InvalidEventError, match="RFC 3339"):
        _time("yesterday", {})

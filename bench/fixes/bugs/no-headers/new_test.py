import pytest
from agent_executor.errors import InvalidEventError
from agent_executor.messaging.events import read_execute


def test_a_message_without_headers_is_judged_by_its_body() -> None:
    """NATS gives None where there are none."""
    with pytest.raises(InvalidEventError):
        read_execute(None, b"[]", max_bytes=100)

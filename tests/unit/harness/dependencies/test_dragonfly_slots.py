import socket
from pathlib import Path

import pytest
from tests.unit.conftest import Listen

from testbay.harness.dependencies.dragonfly.slots import Databases, _clients, _lasting
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.slots import SlotContext


@pytest.mark.parametrize(
    ("number", "command", "error", "told"),
    [
        pytest.param(
            40,
            b"SELECT",
            "ERR DB index is out of range",
            "Redis has no database 40 (ERR DB index is out of range): give it more in the compose file "
            "(redis: --databases 64, Dragonfly: --dbnum=64), or use fewer workers",
            id="too few databases",
        ),
        pytest.param(
            1,
            b"FLUSHDB",
            "ERR unknown command 'FLUSHDB'",
            "Redis refuses FLUSHDB (ERR unknown command 'FLUSHDB'): its configuration renames the command "
            "(rename-command); give the tests one that does not",
            id="a renamed command",
        ),
    ],
)
def test_the_remedy_for_a_refused_command_is_named(
    *, number: int, command: bytes, error: str, told: str, listen: Listen, tmp_path: Path
) -> None:
    """A flag that gives more databases; a configuration for production may switch off what empties one."""

    def talk(connection: socket.socket) -> None:
        while said := connection.recv(4096):
            connection.sendall(f"-{error}\r\n".encode() if command in said else b"+OK\r\n")

    endpoint = Endpoint(name="dragonfly", title="Redis", host="127.0.0.1", port=listen(talk))
    context = SlotContext(endpoint, tmp_path, [], None, lambda _: None, lambda number: number)
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the whole text follows
        Databases(context).slot(number)

    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("statistics", "changed"),
    [
        ("cmdstat_set:calls=3\ncmdstat_client|list:calls=1", False),
        ("cmdstat_config:calls=1", False),
        ("cmdstat_config:calls=2", True),
        ("cmdstat_config|get:calls=2", False),
        ("cmdstat_config|set:calls=1", True),
        ("cmdstat_function|load:calls=1", True),
        ("cmdstat_acl:calls=1", True),
        ("nonsense", False),
    ],
)
def test_a_server_that_was_changed_is_recognised(statistics: str, changed: bool) -> None:  # noqa: FBT001
    """By the commands it counted; Redis 6 counts `config` as one, and our own reset is among them."""
    assert _lasting(statistics) is changed


def test_a_client_can_call_itself_anything() -> None:
    """The list is read by fields; a name without them belongs to no client."""
    listed = b"id=3 addr=1:2 name= db=1 sub=0 psub=0 cmd=get\nhostile\nid=4 name=testbay db=0\n\xff\n"

    assert [client.get("id") for client in _clients(listed)] == ["3", None, None]

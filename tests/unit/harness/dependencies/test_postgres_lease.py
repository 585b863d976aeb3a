import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.conftest import Listen

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import cloning
from testbay.harness.dependencies.postgres.changes import connect
from testbay.harness.dependencies.postgres.cloning import Strategies, Strategy


def test_each_way_of_cloning_is_tried_once_and_the_quickest_stays() -> None:
    """Measured on clones that are wanted anyway."""
    ways = Strategies(180_001)
    tried = []
    for seconds in (0.010, 0.030, 0.008):
        tried.append(ways.next())
        ways.note(tried[-1], seconds)

    assert tried == [
        Strategy("STRATEGY file_copy", "copy"),
        Strategy("STRATEGY wal_log"),
        Strategy("STRATEGY file_copy", "clone"),
    ]
    assert ways.next() == tried[2]


def test_a_way_that_is_refused_is_not_tried_again() -> None:
    """Nor when it was the quickest until then; with none left the server decides."""
    ways = Strategies(150_018)
    first = ways.next()
    ways.refuse(first)
    second = ways.next()
    ways.note(second, 0.01)
    ways.refuse(second)

    assert [first.clause, second.clause, ways.next().clause] == ["STRATEGY file_copy", "STRATEGY wal_log", ""]


def test_old_servers_know_one_way() -> None:
    """Without a clause."""
    assert Strategies(140_010).next() == Strategy()


@pytest.mark.parametrize(("version", "statements"), [(120022, 3), (130000, 1)])
def test_a_server_that_cannot_end_sessions_by_itself_is_helped(version: int, statements: int) -> None:
    """PostgreSQL 12 and older know no DROP DATABASE … WITH (FORCE): first all others are sent away."""
    said: list[str] = []
    session: Any = SimpleNamespace(
        info=SimpleNamespace(server_version=version), execute=lambda query, *_: said.append(str(query))
    )
    cloning.drop(session, "shop")

    assert len(said) == statements
    assert ("FORCE" in said[-1]) == (statements == 1)


def test_a_session_that_does_not_come_leaves_nothing_open(listen: Listen) -> None:
    """The server would wait for half a session: with DROP DATABASE, until its login has timed out after a minute."""
    gone = threading.Event()

    def silence(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        gone.set()

    at = Endpoint(name="postgres", title="PostgreSQL", host="127.0.0.1", port=listen(silence), user="u", db="d")
    with pytest.raises(OSError, match=r"^no session on database d: no answer within 0\.1 s$") as refused:
        connect(at, connect_timeout=0.1)

    assert (gone.wait(10), refused.value.__context__) == (True, None)

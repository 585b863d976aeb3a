import os
import socket
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from testbay import ports
from testbay.errors import EngineUnavailableError


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago, with room above it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            found = int(server.getsockname()[1])
        if found < 65000:
            return found


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1"])  # noqa: S104  who listens everywhere, listens on loopback
def listener(request: pytest.FixtureRequest) -> Iterator[int]:
    """Somebody else's server, on each address that `localhost` can mean."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        server = socket.create_server((request.param, 0), family=family)
    except OSError:  # a machine without IPv6: the case cannot arise there
        server = socket.create_server(("127.0.0.1", 0))
    with server:
        yield server.getsockname()[1]


def test_a_free_port_is_given(port: int) -> None:
    """The one asked for when nobody has it, and no other stack gets the same while it is held."""
    held, lock = ports.hold(port, fixed=False, name="nats")
    with closing(lock):
        next_one, next_lock = ports.hold(port, fixed=False, name="nats")
        next_lock.close()

        assert held == port < next_one


def test_a_port_that_was_given_back_is_free_again(port: int) -> None:
    """Closing the lock is all it takes."""
    ports.hold(port, fixed=True, name="nats")[1].close()
    again, lock = ports.hold(port, fixed=True, name="nats")
    lock.close()

    assert again == port


def test_the_next_free_port_is_given_when_one_is_taken(listener: int) -> None:
    """A taken port is news, never a failure."""
    assert not ports.is_free(listener)

    held, lock = ports.hold(listener, fixed=False, name="nats")
    lock.close()

    assert held > listener


def test_a_fixed_port_that_is_taken_is_refused(listener: int) -> None:
    """The manifest insists on it, so another one would be wrong."""
    with pytest.raises(EngineUnavailableError) as refused:
        ports.hold(listener, fixed=True, name="nats")

    assert str(refused.value) == (
        f"nats: port {listener}, which the manifest asks for, is taken\n"
        "  why:      held by another program or stack\n"
        "  do:       end that program; or let yours read its port from the environment, "
        "and take `ports` out of the manifest"
    )


def test_the_end_of_all_ports_is_an_error() -> None:
    """65535 is the last one."""
    lock = ports._lock(65535)
    try:
        with pytest.raises(EngineUnavailableError) as refused:
            ports.hold(65535, fixed=False, name="nats")
    finally:
        if lock is not None:
            lock.close()

    assert str(refused.value) == "nats: no free port from 65535 to 65535\n  do:       end what holds them"


def test_whoever_holds_a_port_is_named() -> None:
    """Program, pid and user, as far as this user may see."""
    me = psutil.Process()
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = ports.holder(server.getsockname()[1])

    assert said == f"{me.name()} (pid {os.getpid()}, user {me.username()})"


def test_a_port_nobody_listens_on_has_no_known_holder(port: int) -> None:
    """The system may also hide other users' programs."""
    assert ports.holder(port) == "another program (the system does not say which)"
    assert ports._describe(None) == "another user's program"


def test_a_holder_that_just_ended_is_no_error() -> None:
    """Between two looks everything may change."""
    assert ports._describe(2**22 + 1) == f"pid {2**22 + 1}, which just ended"

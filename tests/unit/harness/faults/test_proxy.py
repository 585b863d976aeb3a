"""The proxy process between real sockets: what goes in comes out, bounded, in order, or breaks as it was told to."""

import contextlib
import hashlib
import random
import resource
import select
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.conftest import Listen

from testbay import ports
from testbay.errors import EngineUnavailableError
from testbay.fixtures import eventually
from testbay.harness.faults import proxy
from testbay.harness.faults.inject import Faults, Link, Proxies, ProxyGoneError
from testbay.harness.faults.relay import Flow, Treatment

MB = 1_000_000
Way = Callable[..., Link]


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxies]:
    """One for all, as in a test process; it must have nothing to say about itself."""
    log: Path = tmp_path_factory.mktemp("proxy") / "proxy.log"
    owned: list[int] = []
    made = Proxies(log, owned.append)
    yield made
    assert (made.is_alive, len(owned)) == (True, 1)
    made.close()
    assert (made.is_alive, log.read_text()) == (False, "")


def test_a_system_without_a_limit_of_files_is_asked_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac reports an unlimited number of files, and refuses to set it."""
    most, found = resource.RLIM_INFINITY, []

    def limit(_: int, limits: tuple[int, int]) -> None:
        if limits[0] == most:
            raise ValueError("current limit exceeds maximum limit")
        found.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, most))
    monkeypatch.setattr(resource, "setrlimit", limit)
    proxy._allow_many_files()

    assert found == [(10240, most)]


@pytest.fixture
def way(proxies: Proxies) -> Iterator[Way]:
    """Makes a way to a port; closed with the test."""
    opened: list[Faults] = []

    def make(target: int) -> Link:
        opened.append(Faults(proxies, {"server": target}, seed=1))
        return opened[-1].of("server")

    yield make
    for faults in opened:
        faults.close()


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def say(client: socket.socket, data: bytes) -> None:
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), 10)


def read_all(client: socket.socket) -> bytes:
    """Up to the end."""
    with client.makefile("rb") as stream:
        return stream.read()


def test_what_goes_in_comes_out(way: Way, listen: Listen) -> None:
    """Whole, in both directions, and so does the end of what a client says."""
    data = random.Random(1).randbytes(5 * MB)
    with connect(way(listen(echo))) as client:
        sending = threading.Thread(target=say, args=(client, data))
        sending.start()
        answer = read_all(client)
        sending.join()

    assert hashlib.sha256(answer).digest() == hashlib.sha256(data).digest()


def test_the_servers_end_comes_out_too(way: Way, listen: Listen) -> None:
    """While the client may still speak."""
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        heard.append(read_all(connection))

    with connect(way(listen(talk))) as client:
        said = read_all(client)
        client.sendall(b"but")
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: heard)

    assert (said, heard) == (b"bye", [b"but"])


def memory_kb(proxies: Proxies) -> int:
    status = Path(f"/proc/{proxies._child.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])


@pytest.mark.parametrize("fault", ["none", "latency", "bandwidth", "freeze"])
def test_a_slow_reader_costs_no_memory(proxies: Proxies, way: Way, listen: Listen, fault: str) -> None:
    """Whoever sends waits, as for any server that does not read."""
    may_read = threading.Event()

    def wait(_: socket.socket) -> None:
        may_read.wait(30)

    link = way(listen(wait))
    set_up = {"latency": lambda: link.latency(ms=5), "bandwidth": lambda: link.bandwidth(kb_per_s=5000)}
    (set_up | {"freeze": link.freeze, "none": link.heal})[fault]()
    before_kb = memory_kb(proxies)
    with connect(link) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(500 * MB))
        grown_kb = memory_kb(proxies) - before_kb
        may_read.set()
        link.heal()

    assert grown_kb < 8000


def test_latency_keeps_the_order(way: Way, listen: Listen) -> None:
    """However much chance there is in it; the end comes last."""
    link = way(listen(echo))
    link.latency(ms=20, jitter_ms=20)
    lines = b"".join(b"%d\n" % number for number in range(1000))
    with connect(link) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(1000):
            client.sendall(b"%d\n" % number)
        client.shutdown(socket.SHUT_WR)

        assert read_all(client) == lines


def test_chance_repeats_itself() -> None:
    """The same seed, the same delays."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        shape = Treatment(latency_s=0.2, jitter_s=0.05)
        first, again = (Flow(ours, theirs, random.Random("7 nats 1")) for _ in range(2))
        delays = [first._due(1, shape, 0.0) for _ in range(100)]

        assert delays == [again._due(1, shape, 0.0) for _ in range(100)]
    assert 0.15 <= min(delays) < max(delays) <= 0.25


def test_what_was_held_arrives_after_healing(way: Way, listen: Listen) -> None:
    """Also on a connection that was made in the meantime, and also the end."""
    link = way(listen(echo))
    with connect(link) as old, link.freeze(), connect(link) as new:
        for client in (old, new):
            client.sendall(b"held")
            client.shutdown(socket.SHUT_WR)
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        link.heal()
        old.settimeout(10)
        new.settimeout(10)

        assert (read_all(old), read_all(new)) == (b"held", b"held")


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_drop_after_is_exact(way: Way, listen: Listen, count: int) -> None:
    """The client gets so many bytes of an answer, and then no end but a break."""
    link = way(listen(lambda connection: connection.sendall(connection.recv(1) * 100_000)))
    link.drop_after(bytes=count)
    with connect(link) as client:
        client.sendall(b"x")
        received = client.recv(count, socket.MSG_WAITALL)
        with pytest.raises(ConnectionResetError):
            client.recv(1)

    assert len(received) == count


def test_faults_add_up(way: Way, listen: Listen) -> None:
    """And each is healed by itself; healing one lets go what it held."""
    link = way(listen(echo))
    slow = link.latency(ms=60_000)
    with connect(link) as client:
        client.sendall(b"one")
        with link.refuse(), pytest.raises(ConnectionRefusedError):
            connect(link)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(10)
        slow.heal()
        client.settimeout(10)

        assert client.recv(10) == b"one"


def test_a_server_that_is_not_there(way: Way) -> None:
    """Breaks the connection: that is what a client can be told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        link = way(taken.getsockname()[1])
        with pytest.raises(ConnectionResetError), connect(link) as client:
            client.recv(1)


def test_both_sides_hear_of_a_cut(way: Way, listen: Listen) -> None:
    """The server too: nothing of a client stays behind in it."""
    heard: list[type[OSError]] = []

    def talk(connection: socket.socket) -> None:
        try:
            echo(connection)
        except OSError as error:
            heard.append(type(error))

    link = way(listen(talk))
    with connect(link) as client:
        client.sendall(b"x")
        client.recv(1)
        link.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        eventually(lambda: heard)

    assert heard == [ConnectionResetError]


def test_a_restart_is_over_by_itself(way: Way, listen: Listen) -> None:
    """Refused meanwhile."""
    link = way(listen(echo))
    with link.restart(down_ms=60_000), pytest.raises(ConnectionRefusedError):
        connect(link)
    connect(link).close()
    link.restart(down_ms=50)
    with pytest.raises(ConnectionRefusedError):
        connect(link)
    eventually(lambda: _is_open(link))

    assert _is_open(link)


def _is_open(link: Link) -> bool:
    try:
        connect(link).close()
    except OSError:
        return False
    return True


def test_a_port_that_is_taken_meanwhile_is_said(way: Way, listen: Listen) -> None:
    """Healing cannot be done then; it can once the port is free."""
    link = way(listen(echo))
    link.cut()
    with socket.create_server(("127.0.0.1", link.port)):
        with pytest.raises(EngineUnavailableError) as refused:
            link.heal()
        link.restart(down_ms=0)

    assert str(refused.value) == (
        "the proxy could not heal: [Errno 98] Address already in use"
        f" (while attempting to bind on address ('127.0.0.1', {link.port}))\n"
        "  why:      another program took a port while the proxy did not listen there, or no port is left\n"
        "  do:       end that program, or run the test again"
    )
    eventually(lambda: _is_open(link))
    assert _is_open(link)


def test_every_way_has_a_port_of_its_own(way: Way, listen: Listen) -> None:
    """Also when one was closed just before: a client that knows the old one meets nobody."""
    target = listen(echo)
    ports = [way(target).port for _ in range(3)]

    assert len(set(ports)) == 3


def test_what_a_time_limit_left_unread_is_not_taken_for_an_answer(proxies: Proxies, way: Way, listen: Listen) -> None:
    """A test may be interrupted in the middle of a question."""
    proxies._channel.sendall(b'{"number": -1, "do": "heal", "port": 0}\n'.replace(b'"heal"', b'"nothing"'))

    assert _is_open(way(listen(echo)))


def test_a_closed_way_can_be_healed(proxies: Proxies, way: Way, listen: Listen) -> None:
    """A thread that outlives its test does no harm to the next one."""
    faults = Faults(proxies, {"nats": listen(echo)}, seed=1)
    fault = faults.nats.cut()
    faults.close()
    fault.heal()

    assert _is_open(way(listen(echo)))


def test_a_proxy_that_is_gone_is_said(tmp_path: Path) -> None:
    """By whatever is asked of it."""
    proxies = Proxies(tmp_path / "proxy.log", lambda _: None)
    proxies._child.kill()
    proxies._child.wait()
    with contextlib.closing(proxies), pytest.raises(ProxyGoneError) as gone:
        Faults(proxies, {"nats": 1}, seed=1)

    assert str(gone.value) == (
        "the proxy between the tests and their dependencies is gone\n"
        "  why:      something killed it; every connection through it broke, and nothing listens there any more\n"
        "  do:       run the test again; if nothing on this machine kills processes, please report it"
    )


def test_a_client_for_whom_no_descriptor_is_left_breaks_no_other_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone is hung up on."""

    def connection(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(proxy, "Connection", connection)
    port, lock = ports.hold(19000, fixed=False, name="server")
    with selectors.DefaultSelector() as selector:
        door = proxy.Door(selector, {"target": 1, "seed": 1, "name": "server"}, port, lock)
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            select.select(selector.get_map(), [], [], 30)
            assert (door.admit(), client.recv(1)) == (True, b"")
        door.close()

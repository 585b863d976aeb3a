"""A keyspace for every test: on the embedded engine a small server each, else a numbered database."""

import copy
import functools
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbay.harness import world
from testbay.harness.dependencies.dragonfly.server import SHARED, ask, log_in, probe, receive, send
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.slots import Landlord, Returned, SlotContext, Steps
from testbay.harness.dependencies.wire import Wire
from testbay.harness.world import patience

if TYPE_CHECKING:
    import redis

_GONE_WITHIN_S = 0.25  # a connection whose client has just closed it is seen for another moment
_ANSWER_LIMIT_S = 10.0
_READY_WITHIN_S = 10.0
_PORTS_EACH = 16  # so many servers later a slot's first port may come again
_LIST = (b"CLIENT", b"LIST")
_OURS = " name=testbay "  # in a line of that list: most often it is the only one, and needs no closer look
_FIELD = re.compile(r"(\S+?)=(\S*)")
_COUNTED = re.compile(r"cmdstat_(\S+?):calls=(\d+)")
# Commands that change the server itself, which emptying it would not undo.
_LASTING = ("acl", "client|pause", "config|set", "debug", "function", "module", "replicaof", "slaveof", "shutdown")


class OwnServers(Landlord):
    """The landlord of native servers, which are cheap: every slot is a server, and so has its own channels."""

    def __init__(self, context: SlotContext) -> None:
        self._context = context

    def slot(self, number: int) -> "OwnServer":
        return OwnServer(self._context, number)


class _Part:
    """Base of both kinds of slot: keeps one connection, and empties the slot once no client is connected."""

    _emptying: tuple[Sequence[bytes], ...]

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.log: Path | None = None
        self._line: Wire | None = None

    def _wire(self) -> Wire:
        """Return our connection, reopened if it broke, with a new deadline."""
        if self._line is None:
            self._line = _connect(self.endpoint)
            try:
                self._begin(self._line)
            except OSError:
                self._hang_up()
                raise
        self._line.within(_ANSWER_LIMIT_S)
        return self._line

    def _begin(self, wire: Wire) -> None:
        """Begin on a new connection."""

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _concerns(self, client: dict[str, str]) -> bool:  # noqa: ARG002 - on a server of our own everybody does
        return True

    def _is_as_new(self, left: tuple[str, ...], answer: bytes) -> bool:  # noqa: ARG002 - emptied it is
        return True

    def take_back(self) -> Steps:
        """Disconnect remaining clients, and empty the slot."""
        try:
            wire = self._wire()
            send(wire, _LIST, *self._emptying)
            yield
            listed, *answers = [receive(wire) for _ in (_LIST, *self._emptying)]
            others = self._others(listed)
            left: tuple[str, ...] = ()
            if others:  # they may write until they are gone
                left = _await_alone(wire, others, self._others)
                send(wire, *self._emptying)
                answers = [receive(wire) for _ in self._emptying]
        except OSError:
            self._hang_up()
            raise
        return Returned(left, ready=self._is_as_new(left, answers[0]))

    def _others(self, listed: bytes) -> list[dict[str, str]]:
        """Pick the clients in a list that belong neither to us nor to other slots."""
        return [client for client in _clients(listed) if client.get("name") != "testbay" and self._concerns(client)]


class OwnServer(_Part):
    """A slot that is one server, which the stack's guard starts and ends."""

    _emptying = ((b"INFO", b"commandstats"), (b"FLUSHALL",), (b"SCRIPT", b"FLUSH"))

    def __init__(self, context: SlotContext, number: int) -> None:
        super().__init__(context.endpoint)
        self._context = context
        self._number = number
        self._edition = 0
        self._name = ""
        self.remake()

    def remake(self) -> None:
        """Start another server on another port: a forgotten client that reconnects is refused."""
        assert self._context.serve is not None
        self._hang_up()
        last, self._edition = self._name, self._edition + 1
        self._name = f"dragonfly-lease{self._number}-{self._edition}"
        first_port = self._context.endpoint.port + _PORTS_EACH * self._number + self._edition % _PORTS_EACH
        port, self.log = self._context.serve(self._name, first_port)
        self.endpoint = replace(self._context.endpoint, port=port, db="0")
        try:
            self._await_ready()
        except OSError:
            self.close()
            raise
        if last:
            self._context.unserve(last)

    def _await_ready(self) -> None:
        for late in patience(_READY_WITHIN_S):
            try:
                probe(self.endpoint, _ANSWER_LIMIT_S)
            except OSError:
                if late:
                    raise
            else:
                self._wire()
                return

    def _begin(self, wire: Wire) -> None:
        ask(wire, b"CONFIG", b"RESETSTAT")  # so that only what tests do counts

    def _is_as_new(self, left: tuple[str, ...], statistics: bytes) -> bool:
        return not left and not _lasting(statistics.decode(errors="replace"))

    def close(self) -> None:
        self._hang_up()
        if self._name:
            self._context.unserve(self._name)


class Databases(Landlord):
    """The landlord of one shared server: numbered databases, which separate keys and nothing else."""

    shared = SHARED

    def __init__(self, context: SlotContext) -> None:
        self._context = context

    def slot(self, number: int) -> "Keyspace":
        return Keyspace(replace(self._context.endpoint, db=str(number)))


class Keyspace(_Part):
    """A slot that is one numbered database."""

    _emptying = ((b"FLUSHDB",),)

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.remake()

    def remake(self) -> None:
        """Empty the database, which keeps its number."""
        self._hang_up()
        try:
            ask(self._wire(), b"FLUSHDB")
        except OSError as error:
            self._hang_up()
            if "unknown command" not in str(error):
                raise
            raise OSError(
                f"{self.endpoint.title} refuses FLUSHDB ({error}): its configuration renames the command "
                "(rename-command); give the tests one that does not"
            ) from None

    def _begin(self, wire: Wire) -> None:
        try:
            ask(wire, b"SELECT", self.endpoint.db.encode())
        except OSError as error:
            raise OSError(
                f"{self.endpoint.title} has no database {self.endpoint.db} ({error}): give it more in the compose file "
                "(redis: --databases 64, Dragonfly: --dbnum=64), or use fewer workers"
            ) from None

    def _concerns(self, client: dict[str, str]) -> bool:
        return client.get("db") == self.endpoint.db

    def close(self) -> None:
        with suppress(OSError):
            ask(self._wire(), b"FLUSHDB")
        self._hang_up()


def _connect(endpoint: Endpoint) -> Wire:
    wire = Wire(endpoint, _ANSWER_LIMIT_S)
    if endpoint.password:
        log_in(wire, endpoint)
    ask(wire, b"CLIENT", b"SETNAME", b"testbay")
    return wire


def _await_alone(
    wire: Wire, clients: list[dict[str, str]], others: Callable[[bytes], list[dict[str, str]]]
) -> tuple[str, ...]:
    """Wait a moment for clients to leave; disconnect those that stay, and return a description of them."""
    for _ in patience(_GONE_WITHIN_S):
        clients = others(ask(wire, *_LIST))
        if not clients:
            return ()
    for client in clients:
        with suppress(OSError):  # it may have gone this very moment
            ask(wire, b"CLIENT", b"KILL", b"ID", client.get("id", "0").encode())
    return tuple(_description(client) for client in clients)


def _clients(listed: bytes) -> list[dict[str, str]]:
    """Parse the client list, without our own connection if it is plainly the only one, as it mostly is."""
    lines = listed.decode(errors="replace").splitlines()
    return [dict(_FIELD.findall(line)) for line in lines if line and _OURS not in line]


def _description(client: dict[str, str]) -> str:
    listening = int(client.get("sub", "0")) + int(client.get("psub", "0"))
    what = f"a subscriber to {listening} channels" if listening else f"a connection, last command {client.get('cmd')}"
    return f"Dragonfly: {what}, from {client.get('addr')}"


def _lasting(statistics: str) -> bool:
    """Return whether one of the counted commands changed the server; before Redis 7 `config` is counted as one."""
    counted = dict(_COUNTED.findall(statistics))
    return any(name.startswith(_LASTING) for name in counted) or int(counted.get("config", "0")) > 1


def client(url: str) -> "redis.Redis":
    """Copy a redis-py client: making one takes longer than many tests. The copy has its own response callbacks."""
    made = copy.copy(_pattern(url))
    table = made.response_callbacks
    made.response_callbacks = type(table).__new__(type(table))
    dict.update(made.response_callbacks, table)
    return made


@functools.lru_cache(16)
def _pattern(url: str) -> "redis.Redis":
    """Make the client that is copied: with an empty pool, which can connect even while a test blocks sockets."""
    from redis.client import Redis  # a test that puts something in the place of `redis.Redis` means its own clients
    from redis.connection import Connection, ConnectionPool

    class Direct(Connection):
        def connect(self) -> None:
            with nullcontext() if world.has_green_threads() else world.real():
                super().connect()  # type: ignore[no-untyped-call]  # redis does not type it

    options: dict[str, Any] = {"connection_class": Direct}
    with suppress(ImportError):  # before version 7
        from redis.driver_info import DriverInfo

        # Else redis-py looks its own version up for each connection, in a file.
        options["driver_info"] = world.really(DriverInfo)()
    return Redis(connection_pool=ConnectionPool.from_url(url, **options))

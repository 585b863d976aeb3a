"""An account for every test, with the manifest's streams in it: accounts share no subject, stream or consumer."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.nats.jetstream import Session, UnansweredError, create_stream, delete_stream
from testbay.harness.dependencies.nats.server import ANSWER_LIMIT_S, OVERSEER, login_as
from testbay.harness.dependencies.slots import Landlord, Returned, SlotContext, Steps
from testbay.harness.dependencies.wire import Wire
from testbay.harness.world import patience


class Call(NamedTuple):
    """A subject, and the JSON value to send to it."""

    subject: str
    body: Mapping[str, Any]


_LIST = Call("$JS.API.STREAM.LIST", {"offset": 0})
_GONE_WITHIN_S = 0.25  # a connection whose client has just closed it is seen for another moment


class Accounts(Landlord):
    """The landlord: the server's configuration has an account for every lease number."""

    def __init__(self, context: SlotContext) -> None:
        self._context = context

    def slot(self, number: int) -> "Account":
        return Account(self._context, number)


class Account:
    """A slot that is one account: a connection to it, and one to the account that can see all other connections."""

    log: Path | None = None

    def __init__(self, context: SlotContext, number: int) -> None:
        self._context = context
        self._overseer: Talk
        self._talk: Talk | None = None
        self._pristine: dict[str, Any] = {}
        self.endpoint = context.endpoint
        self._enter(number)

    def _enter(self, number: int) -> None:
        """Enter an account, and make its streams match the manifest's."""
        self._hang_up()
        self._number = number
        self.endpoint = _as(f"lease{number}", self._context.endpoint)
        self._overseer = Talk(_as(OVERSEER, self._context.endpoint), f"$SYS.ACCOUNT.{self.endpoint.user}.CONNECT")
        for stranger in _connections(self._overseer.ask(*self._connz())):
            self._disconnect(stranger)
        self._talk = Talk(self.endpoint)
        self._renew(_streams(self._talk, self._talk.ask(*_LIST)))

    def _renew(self, there: Mapping[str, Any]) -> None:
        """Delete every stream that a test changed, with its consumers, and create the missing ones."""
        assert self._talk is not None
        as_made = {name for name, facts in there.items() if facts == self._pristine.get(name)}
        for name in there.keys() - as_made:
            delete_stream(self._talk.session(), name)
        for stream in self._context.streams:
            if stream["name"] not in as_made:
                create_stream(self._talk.session(), stream)
        self._pristine = self._there()

    def take_back(self) -> Steps:
        """Disconnect remaining clients, delete foreign streams, and renew the manifest's streams that were used."""
        counted = self._overseer.begin(*self._statz())
        yield
        alone = self._clients(counted) == 1
        # The messages are not counted: those that come in one packet with a client's login belong to no account.
        if not self._overseer.has_news() and alone:
            return Returned()  # no other client was connected: nothing has changed
        counted, listed = self._overseer.begin(*self._statz()), self._overseer.begin(*self._jsz())
        yield
        if self._clients(counted) == 1:
            there = _details(self._overseer.end(listed))  # as it was after that
        else:
            begun = self._overseer.begin(*self._connz())
            yield
            left = self._await_alone(self._overseer.end(begun))
            if left:
                return Returned(left, ready=False)
            there = self._there()
        if there != self._pristine:
            self._renew(there)
        return Returned()

    def _clients(self, counted: "Begun") -> int:
        """Hear how many clients are connected; -1 from a server before 2.9."""
        try:
            told = self._overseer.end(counted)
        except UnansweredError:
            return -1
        return next((int(account["conns"]) for account in told.get("data", {}).get("account_statz") or ()), -1)

    def _there(self) -> dict[str, Any]:
        """Each stream's configuration and state, by name."""
        assert self._talk is not None
        try:
            return _details(self._overseer.ask(*self._jsz()))
        except UnansweredError:
            return _streams(self._talk, self._talk.ask(*_LIST))

    def _statz(self) -> Call:
        """Build the request for the number of the account's clients."""
        return Call(f"$SYS.REQ.ACCOUNT.{self.endpoint.user}.STATZ", {})

    def _jsz(self) -> Call:
        """Build the request for the account's streams; the server answers those of one connection in their order."""
        account = {"account": self.endpoint.user, "streams": True, "config": True}
        return Call(f"$SYS.REQ.SERVER.{self._overseer.server_id}.JSZ", account)

    def _connz(self, *, listening: bool = False) -> Call:
        """Build the request for the clients of the account, with their subscriptions where wanted."""
        return Call(f"$SYS.REQ.ACCOUNT.{self.endpoint.user}.CONNZ", {"subscriptions": listening})

    def _await_alone(self, told: Mapping[str, Any]) -> tuple[str, ...]:
        assert self._talk is not None
        others: list[Mapping[str, Any]] = []
        for late in patience(_GONE_WITHIN_S):
            others = [connection for connection in _connections(told) if connection.get("cid") != self._talk.cid]
            if not others:
                return ()
            told = self._overseer.ask(*self._connz(listening=late))
        others = [connection for connection in _connections(told) if connection.get("cid") != self._talk.cid] or others
        for connection in others:
            self._disconnect(connection)
        return tuple(_description(connection) for connection in others)

    def _disconnect(self, connection: Mapping[str, Any]) -> None:
        """Ask the server to disconnect a client, without waiting: a server before 2.10 cannot, and does not answer."""
        self._overseer.begin(f"$SYS.REQ.SERVER.{self._overseer.server_id}.KICK", {"cid": connection["cid"]})

    def remake(self) -> None:
        """Move to another account: a forgotten client that reconnects to the old one meets no test there."""
        self._enter(self._context.another(self._number))

    def _hang_up(self) -> None:
        if self._talk is not None:
            self._talk.hang_up()
            self._overseer.hang_up()
            self._talk = None

    def close(self) -> None:
        """Delete every stream."""
        with contextlib.suppress(OSError):
            if self._talk is not None:
                for name in _streams(self._talk, self._talk.ask(*_LIST)):
                    delete_stream(self._talk.session(), name)
        self._hang_up()


def _as(account: str, stack: Endpoint) -> Endpoint:
    """The endpoint for logging in to one of the accounts."""
    login = login_as(account, stack.password)
    return replace(stack, user=login.user, password=login.password)


class Begun(NamedTuple):
    """A request that was sent, and the inbox of its answer."""

    request: Call
    session: Session | None
    inbox: bytes


class Talk:
    """A connection that is kept, and reopened when it breaks: the server disconnects idle clients after some minutes.

    `watched` is the subject for `has_news`.
    """

    def __init__(self, endpoint: Endpoint, watched: str = "") -> None:
        self._endpoint = endpoint
        self._watched = watched
        self._heard: tuple[Session | None, int] = None, 0
        self._wire: Wire | None = None
        self._session: Session | None = None
        self.session()

    @property
    def cid(self) -> int:
        """The server's id of this connection."""
        return int(self.session().info.get("client_id", -1))

    @property
    def server_id(self) -> str:
        return str(self.session().info.get("server_id", ""))

    def session(self) -> Session:
        """The session, with a new deadline."""
        if self._session is None or self._wire is None:
            self._wire = Wire(self._endpoint, ANSWER_LIMIT_S)
            self._session = Session(self._wire, self._endpoint, self._watched)
        self._wire.within(ANSWER_LIMIT_S)
        return self._session

    def ask(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer, on a new connection if the old one broke."""
        return self.end(self.begin(subject, body))

    def begin(self, subject: str, body: Mapping[str, Any]) -> "Begun":
        """Send a request; `end` reads the answer."""
        request = Call(subject, body)
        try:
            session = self.session()
            return Begun(request, session, session.ask(*request))
        except OSError:
            self.hang_up()
            return Begun(request, None, b"")

    def end(self, begun: "Begun") -> dict[str, Any]:
        """Read the answer to a request that has begun; ask again if its connection broke."""
        try:
            if begun.session is not None and begun.session is self._session:
                return self.session().answer(begun.inbox)
        except UnansweredError:
            raise
        except OSError:
            self.hang_up()
        return self.session().request(*begun.request)

    def has_news(self) -> bool:
        """Return whether the server published on the watched subject since the last call; true for a new connection.

        Messages arrive in order: all that the server published before its latest answer has been read.
        """
        heard, self._heard = self._heard, (self._session, self._session.heard if self._session else 0)
        return heard != self._heard

    def hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = self._session = None


def _streams(talk: Talk, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Each stream's configuration and state, by name; `answer` is the first page."""
    found: dict[str, Any] = {}
    while True:
        page = answer.get("streams") or []
        found |= {stream["config"]["name"]: (stream["config"], _state(stream["state"])) for stream in page}
        if not page or len(found) >= int(answer.get("total", 0)):
            return found
        answer = talk.ask(_LIST.subject, {"offset": len(found)})


def _details(told: Mapping[str, Any]) -> dict[str, Any]:
    """Each stream of one account by name, from an answer to the overseeing account."""
    [account] = told.get("data", {}).get("account_details") or [{}]
    listed = account.get("stream_detail") or ()
    return {stream["name"]: (stream["config"], _state(stream["state"])) for stream in listed}


def _connections(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(told.get("data", {}).get("connections") or ())


def _state(state: Mapping[str, Any]) -> str:
    return json.dumps(state, sort_keys=True)


def _description(connection: Mapping[str, Any]) -> str:
    subjects = connection.get("subscriptions_list") or []
    name = connection.get("name") or connection.get("lang") or "unnamed"
    listening = f", subscribed to {', '.join(subjects[:5])}" if subjects else ""
    return f"NATS: a connection ({name}, {connection.get('ip')}:{connection.get('port')}){listening}"

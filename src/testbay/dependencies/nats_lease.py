"""An account for every test, with the manifest's streams in it: accounts share no subject, stream or consumer."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from testbay.dependencies.leasing import Ground, Returned, patience
from testbay.dependencies.nats import ANSWER_LIMIT_S, OVERSEER, Session, create_stream, delete_stream
from testbay.dependencies.wire import Wire
from testbay.servers import Endpoint

_GONE_WITHIN_S = 0.25  # a connection whose client has just closed it is seen for another moment


class Accounts:
    """The landlord: the server's configuration has an account for every number."""

    shared = ""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._overseer = Talk(replace(ground.endpoint, user=OVERSEER, password=OVERSEER))

    def slot(self, number: int) -> "Account":
        """The account of that number, as if nobody had ever used it."""
        return Account(self, number)

    def has_room(self) -> bool:
        """The accounts are there already."""
        return True

    def connected(self, account: str, *, listening: bool = False) -> list[Mapping[str, Any]]:
        """Who is connected to an account, as the server tells it; with what they are subscribed to if asked."""
        answer = self._overseer.ask(f"$SYS.REQ.ACCOUNT.{account}.CONNZ", {"subscriptions": listening})
        return list(answer.get("data", {}).get("connections") or ())

    def disconnect(self, cid: int) -> None:
        """End a connection (servers before 2.10 cannot)."""
        with contextlib.suppress(OSError):
            self._overseer.ask(f"$SYS.REQ.SERVER.{self._overseer.server_id}.KICK", {"cid": cid})

    def close(self) -> None:
        """Hang up."""
        self._overseer.hang_up()


class Account:
    """The slot: one account, and our connection in it."""

    def __init__(self, accounts: Accounts, number: int) -> None:
        self._accounts = accounts
        self._talk: Talk | None = None
        self._pristine: dict[str, Any] = {}
        self.endpoint = accounts.ground.endpoint
        self._enter(number)

    def _enter(self, number: int) -> None:
        """Take an account over and make its streams the manifest's."""
        self._number = number
        name = f"lease{number}"
        for stranger in self._accounts.connected(name):
            self._accounts.disconnect(stranger["cid"])
        self.endpoint = replace(self._accounts.ground.endpoint, user=name, password=name)
        self._hang_up()
        self._talk = Talk(self.endpoint)
        self._renew(_streams(self._talk))

    def _renew(self, there: Mapping[str, Any]) -> None:
        """Delete every stream that is not as it was made, with its consumers, and make what is missing."""
        assert self._talk is not None
        as_made = {name for name, facts in there.items() if facts == self._pristine.get(name)}
        for name in there.keys() - as_made:
            delete_stream(self._talk.session(), name)
        for stream in self._accounts.ground.streams:
            if stream["name"] not in as_made:
                create_stream(self._talk.session(), stream)
        self._pristine = _streams(self._talk)

    def take_back(self) -> Returned:
        """Disconnect who is left, delete what is not the manifest's, make its streams anew where they were used."""
        assert self._talk is not None
        left = self._await_alone()
        if left:
            return Returned(left, ready=False)
        there = _streams(self._talk)
        if there != self._pristine:
            self._renew(there)
        return Returned()

    def _await_alone(self) -> tuple[str, ...]:
        assert self._talk is not None
        others: list[Mapping[str, Any]] = []
        for late in patience(_GONE_WITHIN_S):
            found = self._accounts.connected(self.endpoint.user, listening=late)
            others = [connection for connection in found if connection.get("cid") != self._talk.cid]
            if not others:
                return ()
        for connection in others:
            self._accounts.disconnect(connection["cid"])
        return tuple(_said(connection) for connection in others)

    def remake(self) -> None:
        """Another account: a forgotten client that connects again meets nobody in the old one."""
        self._enter(self._accounts.ground.another(self._number))

    def _hang_up(self) -> None:
        if self._talk is not None:
            self._talk.hang_up()
            self._talk = None

    def close(self) -> None:
        """Leave no stream behind."""
        with contextlib.suppress(OSError):
            if self._talk is not None:
                for name in _streams(self._talk):
                    delete_stream(self._talk.session(), name)
        self._hang_up()


class Talk:
    """A connection that is kept: opened again when it broke, as the server hangs up on who is silent for minutes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._wire: Wire | None = None
        self._session: Session | None = None
        self.session()

    @property
    def cid(self) -> int:
        """The server's number for this connection."""
        return int(self.session().info.get("client_id", -1))

    @property
    def server_id(self) -> str:
        """The server's own name for itself."""
        return str(self.session().info.get("server_id", ""))

    def session(self) -> Session:
        """The session, with a deadline from now on."""
        if self._session is None or self._wire is None:
            self._wire = Wire(self._endpoint, ANSWER_LIMIT_S)
            self._session = Session(self._wire, self._endpoint)
        self._wire.within(ANSWER_LIMIT_S)
        return self._session

    def ask(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request, on a second connection if the first one broke meanwhile."""
        try:
            return self.session().request(subject, body)
        except OSError:
            self.hang_up()
            return self.session().request(subject, body)

    def hang_up(self) -> None:
        """Close it."""
        if self._wire is not None:
            self._wire.close()
        self._wire = self._session = None


def _streams(talk: Talk) -> dict[str, Any]:
    """Each stream's configuration and state, by name."""
    found: dict[str, Any] = {}
    while True:
        answer = talk.ask("$JS.API.STREAM.LIST", {"offset": len(found)})
        page = answer.get("streams") or []
        found |= {stream["config"]["name"]: (stream["config"], _state(stream["state"])) for stream in page}
        if not page or len(found) >= int(answer.get("total", 0)):
            return found


def _state(state: Mapping[str, Any]) -> str:
    return json.dumps(state, sort_keys=True)


def _said(connection: Mapping[str, Any]) -> str:
    subjects = connection.get("subscriptions_list") or []
    name = connection.get("name") or connection.get("lang") or "unnamed"
    listening = f", subscribed to {', '.join(subjects[:5])}" if subjects else ""
    return f"NATS: a connection ({name}, {connection.get('ip')}:{connection.get('port')}){listening}"

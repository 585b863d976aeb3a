import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testbay.errors import BayError, EngineUnavailableError, NotReadyError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.slots import Landlord, Returned, Steps, Undivided
from testbay.harness.leases import pool
from testbay.harness.leases.pool import Pool
from testbay.harness.plans import Tenancy, process_plan, servers
from testbay.harness.stack import registry
from testbay.harness.stack.lifeline import Lifeline
from testbay.manifest.environments import installer
from testbay.settings import Settings

ENDPOINT = Endpoint(
    name="postgres", title="PostgreSQL", host="localhost", port=5, user="ann", password="pw", db="shop", version="18.6"
)


def tenancy(**changes: Any) -> Tenancy:
    made: Any = {
        "engine": "embedded",
        "reason": "asked for",
        "service": "shop",
        "root": "/shop",
        "start": "",
        "ready": "/",
        "endpoints": {"postgres": asdict(ENDPOINT)},
        "env": {"DSN": "{postgres.url}"},
        "fixed": {"MODEL": "replay"},
        "streams": [],
        "further": {},
    }
    return made | changes  # type: ignore[no-any-return] # a test changes what it likes


class FakeSlot:
    """Counts what is done to it; `returns` are its answers to being taken back."""

    def __init__(self, number: int, returns: list[Returned | Exception]) -> None:
        self.number = number
        self.returns = returns
        self.remade = 0
        self.endpoint = replace(ENDPOINT, db=f"shop_lease{number}")

    def take_back(self) -> Steps:
        yield
        answer = self.returns.pop(0) if self.returns else Returned()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def remake(self) -> None:
        self.remade += 1

    def close(self) -> None:
        self.remade = -1


class FakeLandlord:
    shared = ""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.slot = make

        self.room = True

    def has_room(self) -> bool:
        return self.room

    def close(self) -> None:
        self.shared = "closed"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


MakePool = Callable[..., Pool]


@pytest.fixture
def make_pool(
    tmp_path: Path, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakePool]:
    """A pool whose only dependency is divided by the given function."""
    made: list[Pool] = []

    def make(slot: Callable[[int], Any], **changes: Any) -> Pool:
        landlord: Landlord = FakeLandlord(slot)
        monkeypatch.setattr(pool, "ROOMS", {"postgres": SimpleNamespace(landlord=lambda _: landlord)})
        record = {"tenancy": tenancy(**changes), "data_dir": "/dev/shm/testbay-shop-1"}
        made.append(Pool(tmp_path, record, Lifeline(ends[0], None, tmp_path / "guard.log")))
        return made[0]

    yield make
    for one in made:
        one.close()


def test_a_lease_that_comes_back_clean_is_the_next_one(make_pool: MakePool) -> None:
    """A suite whose tests only write rows needs one, and its variables are its own."""
    leases = make_pool(lambda number: FakeSlot(number, []))
    first = leases.take()
    left = leases.give_back(first)
    second = leases.take()

    assert (left, second is first, first.name) == ([], True, "lease1")
    assert first.exports["DSN"] == first.postgres.dsn == "postgresql://ann:pw@localhost:5/shop_lease1"
    assert first.env["MODEL"] == "replay"
    assert "pw" not in repr(first.postgres) + repr(first)


@pytest.mark.parametrize("found", [Returned(ready=False), Returned(("a session",), ready=False), OSError("no answer")])
def test_a_spoilt_part_is_remade_before_it_is_used_again(make_pool: MakePool, found: Returned | Exception) -> None:
    """In the background; what was left open is told at once."""
    leases = make_pool(lambda number: FakeSlot(number, [found]))
    first = leases.take()
    left = leases.give_back(first)
    others = [leases.take(), leases.take()]

    assert left == (list(found.left) if isinstance(found, Returned) else [])
    assert first in others
    assert first.slot("postgres").remade == 1


@pytest.mark.parametrize("room", [True, False])
def test_a_spare_is_made_where_there_is_room(make_pool: MakePool, room: bool) -> None:  # noqa: FBT001
    """While the one there is is remade; a server that has no sessions left for it is not pressed."""
    leases = make_pool(lambda number: FakeSlot(number, [Returned(ready=False)]))
    first = leases.take()
    leases._landlords["postgres"].room = room  # type: ignore[attr-defined]
    busy = threading.Event()
    leases._background.submit(busy.wait, 10)
    leases.give_back(first)
    assert leases._ready.empty()
    threading.Timer(0.02, busy.set).start()
    leases.take()
    leases._background.submit(lambda: None).result()

    assert len(leases._slots) == 1 + room


def test_a_spare_that_cannot_be_had_fails_no_test(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number is held: the test gets the lease that is being remade, and so does the next one."""
    monkeypatch.setattr(registry, "LEASES", 1)
    leases = make_pool(lambda number: FakeSlot(number, [Returned(ready=False)]))
    first = leases.take()
    busy = threading.Event()
    leases._background.submit(busy.wait, 10)
    leases.give_back(first)
    threading.Timer(0.02, busy.set).start()
    again = leases.take()
    leases._background.submit(lambda: None).result()
    leases.give_back(again)

    assert leases.take() is again is first


class StuckSlot(FakeSlot):
    """Cannot be remade the first two times."""

    def __init__(self, number: int, threads: list[str]) -> None:
        super().__init__(number, [Returned(ready=False)])
        self.threads = threads

    def remake(self) -> None:
        self.threads.append(threading.current_thread().name.partition("_")[0])
        if len(self.threads) < 3:
            raise OSError("stuck")


def test_a_lease_that_cannot_be_remade_gives_way(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To another one; all is done in the thread that makes leases, which alone speaks to the servers' owners."""
    monkeypatch.setattr(pool, "_SPARE", 0)
    threads: list[str] = []
    leases = make_pool(lambda number: StuckSlot(number, threads))
    leases.give_back(leases.take())

    assert (leases.take().name, threads) == ("lease2", ["testbay-leases"] * 2)


def test_a_lease_that_cannot_be_remade_is_tried_again(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only lease is tried again, as the server may have recovered by then."""
    monkeypatch.setattr(registry, "LEASES", 1)
    threads: list[str] = []
    leases = make_pool(lambda number: StuckSlot(number, threads))
    leases.give_back(leases.take())
    with pytest.raises(EngineUnavailableError, match="no lease: stuck"):
        leases.take()

    assert leases.take().name == "lease1"


def test_several_scopes_have_a_lease_each(make_pool: MakePool) -> None:
    """However many are held at a time."""
    leases = make_pool(lambda number: FakeSlot(number, []))

    assert sorted(leases.take().name for _ in range(6)) == [f"lease{number}" for number in range(1, 7)]


def test_a_server_that_refuses_is_named(make_pool: MakePool) -> None:
    """By what it said when it was asked once more; a later call tries again, and no number was used up."""
    refusals = [OSError("too many clients"), NotReadyError("nats ended"), ValueError("odd")]
    answers: list[Any] = [refusal for refusal in refusals for _ in range(2)]

    def slot(number: int) -> FakeSlot:
        if answers:
            raise answers.pop(0)
        return FakeSlot(number, [])

    leases = make_pool(slot)
    said = []
    for _ in range(3):
        with pytest.raises(BayError) as refused:
            leases.take()
        said.append(str(refused.value))

    assert said[0] == (
        "no lease: too many clients\n"
        "  why:      a server of the stack refused, or ended\n"
        "  do:       read its log: in the run's folder, or with plain pytest in the stack's "
        "(`testbay up --keep` keeps one)"
    )
    assert [said[1], said[2].splitlines()[0]] == ["nats ended", "no lease: odd"]
    assert leases.take().name == "lease1"


def test_silence_has_an_end(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers is said to be one."""
    monkeypatch.setattr(pool, "_PATIENCE_S", 0.05)
    answered = threading.Event()

    def slot(number: int) -> FakeSlot:
        answered.wait(10)
        return FakeSlot(number, [])

    leases = make_pool(slot)
    with pytest.raises(EngineUnavailableError) as refused:
        leases.take()
    answered.set()

    assert str(refused.value) == (
        "no lease within 0.05 s\n  why:      a server of the stack does not answer\n  do:       read its log"
    )


def test_no_number_is_left(make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More processes than leases."""
    monkeypatch.setattr(registry, "LEASES", 1)
    monkeypatch.setattr(pool, "LEASES", 1)
    held = registry.hold_number(tmp_path)
    assert held is not None
    leases = make_pool(lambda number: FakeSlot(number, []))
    with held[1], pytest.raises(EngineUnavailableError) as refused:
        leases.take()

    assert str(refused.value) == (
        "all 1 leases of the stack are held\n"
        "  why:      there are more test processes on it than it has leases\n"
        "  do:       use fewer workers, for example -n 8"
    )


def test_a_number_given_up_comes_again_last(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no other is free: by then whoever was cut off from it has given up."""
    monkeypatch.setattr(registry, "LEASES", 3)
    leases = make_pool(lambda number: FakeSlot(number, []))
    first = int(leases.take().name.removeprefix("lease"))

    assert [first, *(leases._another(number) for number in (1, 2, 3, 1))] == [1, 2, 3, 1, 2]


def test_what_the_manifest_does_not_need_is_not_there(make_pool: MakePool) -> None:
    """And what to do is said."""
    lease = make_pool(lambda number: FakeSlot(number, [])).take()
    with pytest.raises(EngineUnavailableError) as refused:
        lease.nats  # noqa: B018 - the attribute refuses

    assert str(refused.value) == (
        "no nats on this stack\n  why:      the manifest's needs are: postgres\n  do:       add 'nats' to needs"
    )


def test_a_further_server_is_asked_of_the_guard(make_pool: MakePool, ends: tuple[socket.socket, socket.socket]) -> None:
    """With its folder and port filled in; a failure is told."""
    plan = process_plan("dragonfly", Path("{home}"), ["redis", "--dir", "{home}"], port=1, stop_signal=15)
    leases = make_pool(lambda number: FakeSlot(number, []), further={"postgres": plan})
    serve = leases._context("postgres").serve
    assert serve is not None
    ends[1].sendall(
        b'{"event": "serving", "name": "other", "port": 1}\n{"event": "serving", "name": "one", "port": 7}\n'
    )
    at = serve("one", 6)
    said = ends[1].recv(65536)
    ends[1].sendall(b'{"event": "failed", "what": "no room"}\n')
    with pytest.raises(OSError, match="no room"):
        serve("two", 6)

    assert at == (7, Path("/dev/shm/testbay-shop-1/one.log"))
    assert b'"argv": ["redis", "--dir", "/dev/shm/testbay-shop-1/one"]' in said
    assert b'"port": 6' in said


def test_a_stack_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    """By its id."""
    with pytest.raises(EngineUnavailableError) as refused:
        pool.open_pool(tmp_path / "shop-1", Settings(cache_dir=tmp_path))

    assert str(refused.value) == (
        "stack shop-1 does not run any more\n"
        "  why:      it was ended, or its guard was killed\n"
        "  do:       start the tests again; `testbay ps` shows what runs"
    )


def test_a_guard_that_lives_and_does_not_answer_is_not_called_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its process; its connections are accepted and nothing comes."""
    home = tmp_path / "shop-1"
    monkeypatch.setattr(pool, "_GUARD_ANSWERS_S", 0.02)
    with registry.claim(home), socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        registry.write(home, {"id": home.name, "guard": [7, "t"], "door": port, "token": "t", "tenancy": {}})
        with pytest.raises(EngineUnavailableError) as refused:
            pool.open_pool(home, Settings(cache_dir=tmp_path))

    assert str(refused.value) == (
        "the guard of stack shop-1 lives, but did not answer within 0.02 s\n"
        "  why:      process 7 was stopped (SIGSTOP), or this machine is too busy to let it run\n"
        "  do:       let it go on (`kill -CONT 7`), or end the stack: testbay down shop-1"
    )


def test_the_header_names_every_server() -> None:
    """And what stands in for what."""
    other = Endpoint(name="dragonfly", title="Dragonfly", host="h", port=1, version="6.2", note="redis 6.2 stand-in")
    found = tenancy(endpoints={"postgres": asdict(ENDPOINT), "dragonfly": asdict(other)})

    assert servers(found) == "embedded: PostgreSQL 18.6, Dragonfly 6.2 (redis 6.2 stand-in)"


def test_what_cannot_be_divided_is_shared_and_said() -> None:
    """One address for everybody."""
    landlord = Undivided(ENDPOINT, "all of it")
    slot = landlord.slot(3)
    slot.remake()

    assert (slot.endpoint, list(slot.take_back()), landlord.shared) == (ENDPOINT, [], "all of it")


@pytest.mark.parametrize(("module", "package"), [("psycopg", "'psycopg[binary]'"), ("nats", "nats-py"), ("x", "x")])
def test_a_lease_without_its_client_says_what_to_install(module: str, package: str) -> None:
    """In the environment of the tests: testbay may have another."""
    refused = pool._refused(ModuleNotFoundError(f"No module named '{module}'", name=module))

    assert (refused.what, refused.why, refused.todo) == (
        f"no lease: No module named '{module}'",
        "the Python of the tests lacks it, and testbay's fixtures speak to the servers with it",
        f"{installer(Path(sys.executable))} {package}",
    )

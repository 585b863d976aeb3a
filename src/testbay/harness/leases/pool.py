"""The pool of leases of one test process, which prepares leases before tests ask for them.

A returned lease is renewed on the spot if that is quick, else by a background thread, which then also makes a spare
one, up to a few. A suite whose tests only write rows needs a single lease.
"""

import queue
import secrets
import shutil
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from testbay import settings
from testbay.errors import BayError, EngineUnavailableError
from testbay.harness import world
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.slots import Landlord, Slot, SlotContext
from testbay.harness.faults.inject import Faults, Proxies
from testbay.harness.leases.lease import Lease
from testbay.harness.leases.returning import Returning
from testbay.harness.plans import HOME, LEASES, ProcessPlan, Tenancy, filled, servers
from testbay.harness.stack import lifeline, registry
from testbay.harness.stack.migrations.migrated import entries
from testbay.harness.world import Clock
from testbay.logs import Log
from testbay.manifest import needs
from testbay.manifest.environments import installer

_SPARE = 4  # a few databases more than there are tests at a time; the server has memory and connections for them
_PATIENCE_S = 60.0
_GUARD_ANSWERS_S = 20.0
_SPARE_DISK_BYTES = 256 << 20


class Pool:
    """The leases of this process. `take` and `give_back` are called from one thread, the tests' own."""

    def __init__(self, home: Path, record: Mapping[str, Any], line: lifeline.Lifeline) -> None:
        self.tenancy: Tenancy = record["tenancy"]
        self.home = home
        self._data_dir = str(record["data_dir"])
        self._line = line
        self._mark = ""
        self._silent = False  # the guard did not answer in time
        self._locks: list[IO[bytes]] = []
        self._spent: deque[int] = deque()  # numbers that were given up, the longest unused first
        self._landlords: dict[str, Landlord] = {}
        self._slots: dict[str, dict[str, Slot]] = {}  # by the lease's name
        self._numbers: dict[str, int] = {}
        self._returning: dict[str, Returning] = {}
        self._ready: queue.SimpleQueue[Lease | _Failed] = queue.SimpleQueue()
        self._making: list[Future[None]] = []
        self._remaking: list[Future[None]] = []
        self._background = ThreadPoolExecutor(1, "testbay-leases")

    def own(self, sid: int) -> None:
        """Hand a process session to the stack's guard, which ends it if this process dies."""
        self._line.say({"do": "own", "sid": sid})

    @property
    def mark(self) -> str:
        """The mark in the environment of everything that tests start, by which the guard can end it."""
        if not self._mark:
            self._mark = secrets.token_hex(16)
            self._line.say({"do": "mark", "mark": self._mark})
        return self._mark

    @cached_property
    def _logs(self) -> dict[str, Log]:
        return {name: Log(Path(file)) for name, file in self.tenancy["logs"].items()}

    def logs(self, held: Sequence[Lease]) -> dict[str, Log]:
        """Every server's log, restricted to the lines about these leases if others log there as well."""
        found = dict(self._logs)
        for lease in held:
            for name, slot in self._slots[lease.name].items():
                if slot.log is not None:
                    found[name] = Log(slot.log)
        if "postgres" in found:
            found["postgres"] = Log(found["postgres"].file, tuple(lease.postgres.db for lease in held))
        return found

    def facts(self) -> list[str]:
        """A line with the servers, and one with the applied migrations."""
        applied = [entry.name for entry in entries(registry.read(self.home))]
        return [servers(self.tenancy), *([f"migrations: {', '.join(applied)}"] if applied else [])]

    @property
    def shared(self) -> list[str]:
        """The things that all leases on this stack share, in words."""
        return [lord.shared for lord in self._landlords.values() if lord.shared]

    @world.really
    def warm(self) -> None:
        """Begin to make the first lease in the background."""
        self._order(self._making, self._make)

    def settle(self) -> None:
        """Wait until nothing is made in the background: a fork would keep its locks, such as those of imports."""
        wait((*self._making, *self._remaking), _PATIENCE_S)

    def take(self) -> Lease:
        """Take a clean lease.

        Raises:
            EngineUnavailableError: A server refused to give one, or this is a fork of the process that has the pool.
        """
        if not self._line.is_open:  # the thread that makes leases is not here, and those in the queue are the parent's
            raise in_a_fork()
        while True:
            lease = self._next()
            returning = self._returning.pop(lease.name, None)
            spoilt = returning.finish() if returning is not None else []
            if not spoilt:
                return lease
            self._remake(lease, spoilt)

    def _next(self) -> Lease:
        with suppress(queue.Empty):  # most often one is there, and nothing is needed that a test can fake
            found = self._ready.get_nowait()
            return found if isinstance(found, Lease) else self._again(found)
        return self._awaited()

    @world.really
    def _awaited(self) -> Lease:
        if self._ready.empty() and not _under_way(self._making):
            if not _under_way(self._remaking):
                self._order(self._making, self._make)
            elif len(self._slots) < _SPARE:
                self._order(self._making, self._make_spare)
        try:
            found = self._ready.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise EngineUnavailableError(
                f"no lease within {_PATIENCE_S:g} s", why="a server of the stack does not answer", todo="read its log"
            ) from None
        return found if isinstance(found, Lease) else self._again(found)

    @world.really
    def _again(self, failed: "_Failed") -> Lease:
        """Repeat in the test's time what failed in the background: it may have met the fakes of another test.

        If a lease cannot be remade, another one is made instead, and the remake is tried again later.
        """
        problems: list[Exception] = []
        for make in (failed.make, self._make) if failed.remakes else (failed.make,):
            try:
                if lease := self._in_turn(make):
                    return lease
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
                problems.append(error)
        if failed.remakes:
            self._ready.put(failed)
        raise _refused(problems[0]) from problems[0]

    def _in_turn(self, make: Callable[[], Lease | None]) -> Lease | None:
        """Run `make` in the background thread: only one thread at a time may use the landlords and the guard."""
        return make() if world.is_faked_as_a_whole() else self._background.submit(make).result(_PATIENCE_S)

    def give_back(self, lease: Lease, *, renew: bool = False) -> list[str]:
        """Return a lease; describe what the test left open.

        With `renew` the lease is remade in any case, so that a rerun of the test depends on nothing of this attempt.
        """
        slots = list(self._slots[lease.name].values())
        returning = Returning(slots, foreign=not needs.are_built_in(self._landlords))
        left = returning.left_open()
        if renew or returning.spoilt:
            spoilt = returning.finish()
            self._remake(lease, slots if renew else spoilt)
        else:
            self._returning[lease.name] = returning
            self._ready.put(lease)
        return left

    @world.really
    def _remake(self, lease: Lease, spoilt: Sequence[Slot]) -> None:
        self._order(self._remaking, lambda: _remade(lease, spoilt))

    def behind(self, lease: Lease, proxies: Proxies, seed: int) -> Lease:
        """Put proxies before a lease, with faults seeded by `seed`; the caller closes them.

        Raises:
            EngineUnavailableError: The proxy cannot do it, or is gone.
        """
        number, slots = self._numbers[lease.name], self._slots[lease.name]
        faults = Faults(proxies, {name: slot.endpoint.port for name, slot in slots.items()}, seed)
        direct = Lease(number, self.tenancy, slots, lease.shared, faults=faults)
        return Lease(number, self.tenancy, slots, lease.shared, faults=faults, direct=direct)

    def _order(self, orders: list[Future[None]], make: Callable[[], Lease | None]) -> None:
        """Make a lease in the background, and put the outcome into the queue that `take` reads."""

        def work() -> None:
            try:
                made: Lease | _Failed | None = make()
            except Exception:  # noqa: BLE001 - whatever it is, who waits for the lease tries again
                made = _Failed(make, orders is self._remaking)
            if made is not None:
                self._ready.put(made)

        if world.is_faked_as_a_whole():
            work()
            return
        orders[:] = [order for order in orders if not order.done()] + [self._background.submit(work)]

    def _make(self) -> Lease:
        if not self._landlords:
            self._landlords = {name: ROOMS[name].landlord(self._context(name)) for name in self.tenancy["endpoints"]}
        number, lock = self._number()
        slots: dict[str, Slot] = {}
        with ExitStack() as undo:
            undo.enter_context(lock)
            for name, lord in self._landlords.items():
                slots[name] = lord.slot(number)
                undo.callback(slots[name].close)
            undo.pop_all()
        self._locks.append(lock)
        lease = Lease(number, self.tenancy, slots, self.shared)
        self._slots[lease.name], self._numbers[lease.name] = slots, number
        return lease

    def _make_spare(self) -> Lease | None:
        """Make one lease more than are in use, while others are remade; None if the servers have no room."""
        with suppress(Exception):  # every number may be held, say; the test gets one of the others in a moment
            disk = Path(self._data_dir)
            room = not disk.exists() or shutil.disk_usage(disk).free > _SPARE_DISK_BYTES
            if room and all(lord.has_room() for lord in self._landlords.values()):
                return self._make()
        return None

    def _context(self, name: str) -> SlotContext:
        return SlotContext(
            endpoint=Endpoint(**self.tenancy["endpoints"][name]),
            home=self.home,
            streams=self.tenancy["streams"],
            serve=self._server_of(self.tenancy["further"][name]) if name in self.tenancy["further"] else None,
            unserve=lambda server: self._line.say({"do": "unserve", "name": server}),
            another=self._another,
        )

    def _server_of(self, plan: ProcessPlan) -> Callable[[str, int], tuple[int, Path]]:
        """Return a function by which the guard starts a server from `plan`; it ends with this process or on demand."""

        def serve(name: str, first_port: int) -> tuple[int, Path]:
            whole = filled(plan, HOME, f"{self._data_dir}/{name}") | {"name": name, "port": first_port}
            self._line.say({"do": "serve", "plan": whole})
            deadline = Clock.monotonic() + _GUARD_ANSWERS_S
            while not self._silent and (left_s := deadline - Clock.monotonic()) > 0:
                for event in self._line.events(left_s):
                    if event["event"] == "serving" and event["name"] == name:
                        return int(event["port"]), Path(whole["log"])
                    if event["event"] in ("failed", "stopped"):
                        raise OSError(event.get("what") or f"the stack was stopped: {event.get('reason')}")
            self._silent = True  # no further test waits for it
            raise OSError(f"the stack's guard lives, but did not answer within {_GUARD_ANSWERS_S:g} s")

        return serve

    def _number(self) -> tuple[int, IO[bytes]]:
        """Take a free number for a lease."""
        held = registry.hold_number(self.home)
        if held is None:
            raise EngineUnavailableError(
                f"all {LEASES} leases of the stack are held",
                why="there are more test processes on it than it has leases",
                todo="use fewer workers, for example -n 8",
            )
        return held

    def _another(self, number: int) -> int:
        """Exchange a number for a free one, else for the one unused for the longest time."""
        self._spent.append(number)
        held = registry.hold_number(self.home)
        if held is None:
            return self._spent.popleft()
        self._locks.append(held[1])
        return held[0]

    def close(self) -> None:
        """Close every slot, and disconnect from the guard."""
        self._background.shutdown(wait=True, cancel_futures=True)
        self._returning.clear()
        for slot in (slot for slots in self._slots.values() for slot in slots.values()):
            with suppress(OSError):
                slot.close()
        for lord in self._landlords.values():
            lord.close()
        for lock in self._locks:
            lock.close()
        self._line.close(guard_ends=False)


class _Failed(NamedTuple):
    """A lease that could not be made."""

    make: Callable[[], Lease | None]
    remakes: bool


def _under_way(orders: list[Future[None]]) -> bool:
    return any(not order.done() for order in orders)


def _remade(lease: Lease, spoilt: Sequence[Slot]) -> Lease:
    for slot in spoilt:
        slot.remake()
    return lease


def _refused(error: Exception) -> BayError:
    if isinstance(error, BayError):
        return error
    if isinstance(error, ModuleNotFoundError):
        package = {"psycopg": "'psycopg[binary]'", "nats": "nats-py"}.get(error.name or "", error.name)
        return EngineUnavailableError(
            f"no lease: {error}",
            why="the Python of the tests lacks it, and testbay's fixtures speak to the servers with it",
            todo=f"{installer(Path(sys.executable))} {package}",
        )
    return EngineUnavailableError(
        f"no lease: {str(error) or 'no answer'}",
        why="a server of the stack refused, or ended",
        todo="read its log: in the run's folder, or with plain pytest in the stack's (`testbay up --keep` keeps one)",
    )


def in_a_fork() -> EngineUnavailableError:
    """The refusal of a lease to a fork."""
    return EngineUnavailableError(
        "no lease: a fork of pytest's process asks for it, and two forks would get the same one",
        why="pytest-forked is on (`--forked`, or the mark `forked`), or the test forks by itself",
        todo="take `--forked` or the mark out: every test has a lease of its own, and `-n 2` (pytest-xdist) runs tests"
        " in processes of their own. A test that forks passes its child the address instead",
    )


def open_pool(home: Path, chosen: settings.Settings) -> Pool:
    """Open a pool on the stack in a folder.

    Raises:
        EngineUnavailableError: It does not run any more, or its guard does not answer.
    """
    record = registry.read(home)
    if "tenancy" not in record:
        raise _ended(home)
    line = lifeline.connect(record, chosen, _GUARD_ANSWERS_S)
    if line is None:
        raise _silent(home, record) if registry.is_alive(home) else _ended(home)
    return Pool(home, record, line)


def _silent(home: Path, record: Mapping[str, Any]) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"the guard of stack {home.name} lives, but did not answer within {_GUARD_ANSWERS_S:g} s",
        why=f"process {record['guard'][0]} was stopped (SIGSTOP), or this machine is too busy to let it run",
        todo=f"let it go on (`kill -CONT {record['guard'][0]}`), or end the stack: testbay down {home.name}",
    )


def _ended(home: Path) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"stack {home.name} does not run any more",
        why="it was ended, or its guard was killed",
        todo="start the tests again; `testbay ps` shows what runs",
    )

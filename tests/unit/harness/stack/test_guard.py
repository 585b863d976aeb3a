import contextlib
import errno
import fcntl
import json
import resource
import select
import selectors
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import BayError, EngineUnavailableError, NotReadyError
from testbay.fixtures import eventually
from testbay.harness.plans import StackPlan, process_plan
from testbay.harness.stack import lifeline, registry
from testbay.harness.stack.lifeline import GuardGoneError, Lifeline
from testbay.harness.stack.worker import _MOST_UNAUTHENTICATED, Caller, Worker, failure
from testbay.settings import Settings


def plan(home: Path) -> StackPlan:
    return {
        "id": home.name,
        "home": str(home),
        "data_dir": str(home / "data"),
        "key": "k",
        "engine": "embedded",
        "reason": "asked for",
        "service": "shop",
        "project": "/project",
        "owner": "me",
        "watch": [],
        "idle_s": 0.0,
        "logs_dir": str(home),
        "processes": [],
        "compose": {
            "document": {},
            "folder": "",
            "dependencies": {},
            "ports": [],
            "helpers": [],
            "env": {},
        },
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A caller's end and a guard's end of one connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def worker(tmp_path: Path, ends: tuple[socket.socket, socket.socket]) -> Iterator[Worker]:
    """A guard's worker that has not started anything, with its first caller."""
    lock = registry.claim(tmp_path / "stacks/shop-1")
    made = Worker(plan(tmp_path / "stacks/shop-1"), ends[1], lock)
    yield made
    made._listener.close()
    made._selector.close()
    for channel in [*made._callers, *made._unauthenticated]:
        channel.close()
    lock.close()


def let_in(worker: Worker) -> None:
    """Accept a connection and read what it sends, as the guard's loop does when there is something to read."""
    worker._accept()
    visitor = worker._unauthenticated[-1]
    select.select([visitor], [], [], 5)
    worker._authenticate(visitor)


def test_a_full_disk_is_no_failed_test(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is that of a machine that cannot run it, and the places to look at are named."""

    def start(_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(worker._engine, "serve", start)
    told = worker._serve_further(Caller([]), process_plan("nats", tmp_path, ["x"], port=1, stop_signal=2))

    assert (told["class"], told["what"]) == (
        "EngineUnavailableError",
        "the guard could not start nats: [Errno 28] No space left on device",
    )
    assert told["todo"] == f"see whether there is room: df -h {tmp_path}/stacks {tmp_path}/stacks/shop-1; ulimit -a"


@pytest.mark.parametrize("said", [b"", b"\n", b"let me in\n", b"0" * 32 + b"\n", b"x" * 100_000, b"\xff\xfe"])
def test_who_does_not_know_the_token_is_turned_away(worker: Worker, said: bytes) -> None:
    """The record that holds it is its owner's alone; other users of the machine can only knock."""
    stranger = socket.create_connection(("127.0.0.1", worker._record["door"]))
    with stranger:
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        let_in(worker)
        try:
            answer = stranger.recv(64)
        except ConnectionResetError:  # turned away with words unread
            answer = b""

    assert (answer, len(worker._callers)) == (b"", 1)


def test_silent_visitors_hold_nobody_up(worker: Worker) -> None:
    """They wait at the door, a few of them, and none counts as a caller; the next one pushes the oldest out."""
    address = ("127.0.0.1", worker._record["door"])
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(socket.create_connection(address)) for _ in range(_MOST_UNAUTHENTICATED + 1)]
        for _ in visitors:
            worker._accept()

        assert (visitors[0].recv(64), len(worker._unauthenticated), len(worker._callers)) == (
            b"",
            _MOST_UNAUTHENTICATED,
            1,
        )


def test_a_visitor_who_speaks_while_it_is_pushed_out_ends_no_guard(worker: Worker) -> None:
    """What it said is heard in one turn with the knock of the next one."""
    address = ("127.0.0.1", worker._record["door"])
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(socket.create_connection(address)) for _ in range(_MOST_UNAUTHENTICATED)]
        for _ in visitors:
            worker._accept()
        worker._selector.register(worker._listener, selectors.EVENT_READ)
        stack.enter_context(socket.create_connection(address))
        select.select([worker._listener], [], [], 30)
        visitors[0].sendall(b"let me in")
        select.select([worker._unauthenticated[0]], [], [], 30)
        worker._serve()

        assert (len(worker._unauthenticated), len(worker._callers), worker._reason) == (_MOST_UNAUTHENTICATED, 1, "")


def test_a_guard_that_cannot_write_its_record_says_so(
    worker: Worker, ends: tuple[socket.socket, socket.socket]
) -> None:
    """It ends, as on a full disk, with a reason: callers would take it for killed."""
    shutil.rmtree(worker._home)
    worker._selector.register(ends[1], selectors.EVENT_READ)
    ends[0].sendall(b'{"do": "record", "facts": {}}\n')
    worker._serve_or_fail()

    told = json.loads(ends[0].recv(4096))
    assert (told["event"], told["class"], worker._reason) == ("failed", "EngineUnavailableError", "failed")


def test_who_knows_the_token_joins(worker: Worker, settings: Settings) -> None:
    """And hears what every caller hears."""
    record = worker._record
    with socket.create_connection(("127.0.0.1", record["door"])) as caller:
        caller.sendall(record["token"].encode() + b"\n")
        let_in(worker)

        assert json.loads(caller.recv(64)) == {"event": "joined"}
    assert len(worker._callers) == 2


@pytest.mark.parametrize("record", [{}, {"door": 1}, {"door": 1, "token": "t"}])
def test_a_guard_that_is_gone_cannot_be_joined(settings: Settings, record: dict[str, Any]) -> None:
    """Or has not written where its door is yet."""
    assert lifeline.connect(record, settings) is None


def test_news_arrive_whole(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """Several at once, or one in pieces."""
    line = Lifeline(ends[0], None, tmp_path / "guard.log")
    ends[1].sendall(b'{"event": "a"}\n{"event": "b"}\n{"eve')
    first = line.events(1)
    ends[1].sendall(b'nt": "c"}\n')

    assert [first, line.events(1), line.events(0)] == [[{"event": "a"}, {"event": "b"}], [{"event": "c"}], []]


def test_news_reach_a_process_with_many_files_open(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """Its lifeline has a number that `select` refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with socket.socket(fileno=fcntl.fcntl(ends[0], fcntl.F_DUPFD, 1500)) as channel:
        ends[1].sendall(b'{"event": "a"}\n')

        assert Lifeline(channel, None, tmp_path / "guard.log").events(1) == [{"event": "a"}]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_end_of_a_guard_is_an_error(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """With the log it left; saying something to it is none."""
    line = Lifeline(ends[0], None, tmp_path / "guard.log")
    ends[1].close()
    line.say({"do": "stop"})

    with pytest.raises(GuardGoneError) as gone:
        line.events(1)

    assert str(gone.value) == (
        "the stack's guard is gone\n"
        "  why:      something killed it; its dependencies ended with it\n"
        "  do:       run again; if nothing on this machine kills processes, please report it\n"
        f"  evidence: {tmp_path / 'guard.log'}"
    )


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Before any guard is started; below a file not even root can make one."""
    (tmp_path / "file").touch()
    settings = Settings(cache_dir=tmp_path / "file/cache")

    with pytest.raises(EngineUnavailableError) as refused:
        lifeline.launch(tmp_path / "stacks/shop-1", settings)

    assert str(refused.value) == (
        f"{tmp_path / 'file/cache'}: cannot keep testbay's files here\n"
        "  why:      Not a directory\n"
        '  do:       make it writable for you alone, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"'
    )


def test_a_system_without_room_for_a_guard_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a low `ulimit -u`: the cache folder has nothing to do with it."""

    def spawn(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("testbay.process.spawn", spawn)
    with pytest.raises(EngineUnavailableError, match="guard cannot be started: Resource temporarily"):
        lifeline.launch(tmp_path / "stacks/shop-1", settings)


def test_servers_hear_signals_that_the_caller_ignores(tmp_path: Path, settings: Settings) -> None:
    """A background shell ignores SIGINT and SIGQUIT; a young server that inherited that could not be stopped."""
    asked = plan(tmp_path / "stacks/shop-1")
    look = 'grep SigIgn "/proc/$$/status"; exec sleep 60'
    server = process_plan("one", tmp_path / "one", ["sh", "-c", look], port=24999, stop_signal=signal.SIGTERM)
    asked["processes"] = [server]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        line = lifeline.launch(tmp_path / "stacks/shop-1", settings)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    line.say(asked)
    said = eventually(lambda: text if "SigIgn" in (text := _text(tmp_path / "one.log")) else "", "the server's signals")
    line.close(guard_ends=True)

    ignored = int(said.split()[1], 16)
    ours = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM)
    assert [number for number in ours if ignored >> (number - 1) & 1] == []


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("error", [NotReadyError("late", why="slow", todo="wait", evidence="log"), BayError("bad")])
def test_an_error_travels_as_it_is(error: BayError) -> None:
    """Its class and each of its parts."""
    assert failure(error) == {
        "event": "failed",
        "class": type(error).__name__,
        "what": error.what,
        "why": error.why,
        "todo": error.todo,
        "evidence": error.evidence,
    }


def test_what_a_guard_could_not_end_stays_on_record(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its other half and `testbay gc`, which try again; the caller is told."""
    registry.write(worker._home, worker._record)
    monkeypatch.setattr(worker._engine, "stop", lambda: ["container a"])
    before = signal.getsignal(signal.SIGTERM)
    worker._finish()
    signal.signal(signal.SIGTERM, before)

    assert registry.read(worker._home)["id"] == "shop-1"

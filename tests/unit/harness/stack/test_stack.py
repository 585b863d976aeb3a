import errno
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from testbay.errors import EngineUnavailableError, InterruptedRunError, ManifestError, NotReadyError
from testbay.harness.dependencies.endpoint import Answer, Endpoint, RefusedError
from testbay.harness.stack import exports, prepare, readiness, registry, stack
from testbay.harness.stack.lifeline import Lifeline
from testbay.harness.stack.request import decide
from testbay.harness.stack.stack import Stack
from testbay.manifest import conventions
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.settings import Settings

Service = Callable[..., Manifest]

MAPPED = """
env = { DB_DSN = "{postgres.url}", PGPORT = "{postgres.port}", BUS = "{nats.host}:{nats.port}", JSON = '{"a": {}}' }
[tool.testbay.replay]
secret = "KEY"
start = "python replay.py --port {port}"
env = { BASE_URL = "http://127.0.0.1:{port}/v1" }
"""
ENDPOINTS = {
    "postgres": Endpoint(
        name="postgres", title="PostgreSQL", host="localhost", port=15433, user="app", password="p:w", db="app"
    ),
    "nats": Endpoint(name="nats", title="NATS", host="localhost", port=14222),
    "replay": Endpoint(name="replay", title="LLM replay", host="127.0.0.1", port=18500),
}


@pytest.fixture
def running(service: Service, servers: None, settings: Settings, project: Path, tmp_path: Path) -> Stack:
    """A stack as its caller sees it, without the processes."""
    request = decide(service(MAPPED), project, settings)
    line = Lifeline(socket.socket(), None, tmp_path / "guard.log")
    line.close(guard_ends=False)
    logs = {name: tmp_path / f"{name}.log" for name in ENDPOINTS}
    return Stack(id="shop-1", home=tmp_path, request=request, endpoints=dict(ENDPOINTS), logs=logs, line=line)


def test_a_service_gets_the_contract_and_what_its_manifest_maps(running: Stack) -> None:
    """Every dependency's names, the manifest's own, and the stand-in's; braces that mean nothing stay."""
    assert running.environment() == {
        "DISABLE_VAULT_AUTH": "true",
        "TESTING": "true",
        "POSTGRES_HOST": "localhost",
        "POSTGRES_PORT": "15433",
        "POSTGRES_USER": "app",
        "POSTGRES_PASSWORD": "p:w",
        "POSTGRES_DB": "app",
        "DATABASE_URL": "postgresql://app:p%3Aw@localhost:15433/app",
        "NATS_URL": "nats://localhost:14222",
        "DB_DSN": "postgresql://app:p%3Aw@localhost:15433/app",
        "PGPORT": "15433",
        "BUS": "localhost:14222",
        "JSON": '{"a": {}}',
        "BASE_URL": "http://127.0.0.1:18500/v1",
    }


ATTRIBUTES = "a dependency has url, host, port, user, password, db"
NEEDED = "`needs` names postgres, nats"


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        ("{postgres.dsn}", ATTRIBUTES),
        ("{dragonfly.url}", NEEDED),
        ("{mysql.port}", NEEDED),
        ("{nats.title}", ATTRIBUTES),
    ],
)
def test_what_cannot_be_filled_in_is_named(unknown: str, why: str) -> None:
    """A misspelt attribute, or a dependency that is not needed."""
    with pytest.raises(ManifestError) as refused:
        exports._fill(f"x{unknown}", ENDPOINTS, "DSN")

    assert str(refused.value) == (
        f"env.DSN: {unknown} is nothing testbay can fill in\n"
        f"  why:      {why}\n"
        "  do:       correct it, or add the dependency to `needs`"
    )


def test_a_variable_mapped_to_false_is_not_exported() -> None:
    """Also one of a whole set that `exports` names."""
    exported = exports.exports(ENDPOINTS, {**conventions.mapped(["PG"]), "PGHOST": False, "DATABASE_URL": False}, {})

    assert [name in exported for name in ("DATABASE_URL", "PGHOST", "PGPORT", "NATS_URL")] == [False, False, True, True]


def test_false_for_what_testbay_does_not_export_is_refused() -> None:
    """It is a misspelt name, or was meant as the text."""
    with pytest.raises(ManifestError) as refused:
        exports.exports(ENDPOINTS, {"DATABASE_UR": False}, {})

    assert str(refused.value) == (
        "env.DATABASE_UR = false: testbay exports no DATABASE_UR (did you mean 'DATABASE_URL'?)\n"
        '  do:       false takes back what testbay exports by itself; a text is written DATABASE_UR = "false"'
    )


@pytest.mark.parametrize(("code", "how"), [(1, "exit code 1"), (-9, "SIGKILL")])
def test_a_server_that_ended_is_named_with_its_last_words(tmp_path: Path, code: int, how: str) -> None:
    """The last lines of its log, whatever bytes are in it."""
    log = tmp_path / "nats.log"
    log.write_bytes(b"early\n" * 20 + b"no space \xff left\n")

    assert str(stack._exited("nats", code, log, "embedded")).splitlines() == [
        f"nats ended ({how})",
        "  why:      its last log lines say",
        "  do:       fix what they name; `testbay doctor` looks at this machine's programs",
        f"  evidence: {log}",
        *["            early"] * 11,
        "            no space \ufffd left",
    ]
    assert str(stack._exited("job", code, tmp_path / "job.log", "compose")).splitlines() == [
        f"job ended ({how})",
        "  why:      it logged nothing",
        "  do:       look at its command",
    ]


@pytest.mark.parametrize(
    ("news", "kind", "what"),
    [
        ({"event": "exited", "name": "postgres", "code": 1}, NotReadyError, "postgres ended (exit code 1)"),
        ({"event": "dismissed", "reason": "make ended"}, InterruptedRunError, "the stack was stopped: make ended"),
    ],
)
@pytest.mark.parametrize("awaited", ["started", "snapshot"])
def test_bad_news_that_come_with_awaited_news_are_not_lost(
    running: Stack, awaited: str, news: dict[str, object], kind: type[Exception], what: str
) -> None:
    """A server may end before its caller has read that it started: both are in one reading, on a busy machine."""
    ours, guard = socket.socketpair()
    running.line = Lifeline(ours, None, running.home / "guard.log")
    first = {"event": awaited, "ports": {"postgres": 1}, "warm": {}, "kept": True}
    with ours, guard:
        guard.sendall(b"".join(json.dumps(event).encode() + b"\n" for event in (first, news)))
        if awaited == "started":
            assert running.await_started() == {"postgres": 1}
        else:
            assert [event["event"] for event in running._read_events(1.0)] == [awaited, news["event"]]
        with pytest.raises(kind) as told:
            running.check()

    assert str(told.value).splitlines()[0] == what


@pytest.mark.parametrize("kept", [True, False])
def test_a_template_is_called_kept_where_it_was(
    running: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kept: bool,  # noqa: FBT001
) -> None:
    """The guard says whether there was room for it."""
    monkeypatch.setattr(stack, "await_ready", lambda *_: None)
    ours, guard = socket.socketpair()
    running.line = Lifeline(ours, None, running.home / "guard.log")
    with ours, guard:
        guard.sendall(json.dumps({"event": "snapshot", "kept": kept}).encode() + b"\n")
        prepare._keep(running, Voice(environ={}))

    said = capsys.readouterr().out.strip()
    assert said.startswith("kept as a template: " if kept else "note: not kept as a template: no room")


def test_a_server_that_ended_is_called_as_its_image(running: Stack) -> None:
    """Redis, in the room of Dragonfly."""
    redis = replace(running.request.services["dragonfly"], image="redis:7")
    running.request = replace(running.request, services={"dragonfly": redis})
    running._bad_news = [{"event": "exited", "name": "dragonfly", "code": 1}]

    with pytest.raises(NotReadyError, match=r"^redis ended \(exit code 1\)"):
        running.check()


@pytest.mark.parametrize("builds", [True, False])
def test_a_start_without_end_is_told_with_the_last_words(
    running: Stack,
    monkeypatch: pytest.MonkeyPatch,
    builds: bool,  # noqa: FBT001
) -> None:
    """Of the logs, which go with the stack. Docker is given the time that building an image takes."""
    services = {name: replace(one, build=builds) for name, one in running.request.services.items()}
    running.request = replace(running.request, engine="compose", services=services)
    for limit in ("_START_LIMIT_S", "_BUILD_LIMIT_S"):
        monkeypatch.setattr(stack, limit, -getattr(stack, limit))
    (running.home / "compose.log").write_text("pulling\n", encoding="utf-8")

    with pytest.raises(EngineUnavailableError) as told:
        running.await_started()

    assert str(told.value) == (
        f"the servers did not start within {-1800 if builds else -120} s\n"
        "  why:      one of their programs, or Docker, hangs or is very slow here\n"
        "  do:       read the last lines of their logs below\n"
        "  evidence: pulling"
    )


def test_a_silent_server_is_named_with_its_last_answer(running: Stack, tmp_path: Path) -> None:
    """Who, how long, and what it said last."""
    error = readiness._silent(running, {"postgres": "starting up", "nats": "no answer yet"}, 60)

    assert str(error) == (
        "postgres and nats not ready after 60 s; the last answer of postgres was: starting up\n"
        "  why:      it is still starting, or it listens elsewhere\n"
        "  do:       read its log below; TESTBAY_READY_TIMEOUT=120 waits longer\n"
        f"  evidence: {tmp_path / 'postgres.log'}"
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('role "app" does not exist', "is not the one its server knows"),
        ("NOPERM No permissions to access a key", "may not do there what testbay does"),
        ("Permissions Violation for Subscription to x", "may not do there what testbay does"),
        ("DENIED Redis is running in protected mode", "it answers its own container alone (protected mode)"),
    ],
)
def test_a_refused_login_is_an_answer(running: Stack, monkeypatch: pytest.MonkeyPatch, said: str, why: str) -> None:
    """Soon, naming who refused whom: waiting longer changes nothing."""

    def refuse(*_: object) -> None:
        raise RefusedError(said)

    monkeypatch.setattr(readiness, "_REFUSALS_LAST_S", 0.0)
    monkeypatch.setattr(readiness, "_probe", refuse)
    monkeypatch.setattr(running, "check", lambda _: None)
    running.endpoints = {"postgres": ENDPOINTS["postgres"]}
    with pytest.raises(NotReadyError, match=f"refuses .*: {said}") as refused:
        readiness.await_ready(running, lambda _: None)

    assert refused.value.why.endswith(f"{why}; waiting changes nothing")
    assert "testbay compose" in refused.value.todo


def test_a_loopback_that_is_down_is_not_waited_for(running: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a network namespace of its own: no server will ever answer there."""

    def cut_off(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(readiness, "_probe", cut_off)
    with pytest.raises(EngineUnavailableError, match=r"^localhost cannot be reached: Network is unreachable"):
        readiness.await_ready(running, lambda _: None)


def test_a_refusal_that_passes_is_none(running: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only refusals in a row count: an error of another kind starts the count again."""
    starting = RefusedError("starting")
    answers: Iterator[Answer | OSError] = iter([starting, OSError("loading"), starting, Answer("18.6")])

    def probe(*_: object) -> Answer:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(readiness, "_REFUSALS_LAST_S", 0.0)
    monkeypatch.setattr(readiness, "_probe", probe)
    monkeypatch.setattr(running, "check", lambda _: None)
    running.endpoints = {"postgres": ENDPOINTS["postgres"]}
    readiness.await_ready(running, lambda _: None)

    assert running.endpoints["postgres"].version == "18.6"


def test_passwords_are_in_no_record_and_in_no_text(running: Stack) -> None:
    """What people read holds no credentials."""
    assert "p:w" not in str(stack.public(ENDPOINTS["postgres"])) + repr(ENDPOINTS)


def test_a_stack_is_kept_when_its_guard_has_obeyed(
    running: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: the guard dismisses a caller that has ended, and the stack would end with it."""
    ours, guard = socket.socketpair()
    running.line = Lifeline(ours, None, tmp_path / "guard.log")
    monkeypatch.setattr(stack, "_NOTED_WITHIN_S", 0.1)
    with ours, guard:
        with pytest.raises(EngineUnavailableError, match=r"the guard of stack shop-1 did not answer within 0\.1 s"):
            running.keep(60.0)
        registry.write(tmp_path, {"idle_s": 60.0})
        running.keep(60.0)

        assert guard.recv(1000).splitlines() == [b'{"do": "keep", "idle_s": 60.0}'] * 2

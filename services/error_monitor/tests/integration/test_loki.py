"""Loki: each line once over caps, halved spans, overlaps, late lines and bad answers."""

import time
from collections.abc import Iterator, Mapping

import pytest
from harness.instance import Instance, Make
from harness.logfiles import LogFolder, failure
from harness.peers import SECOND_NS, Answer, Loki

HTML = "<!doctype html><title>502</title>"


@pytest.fixture(scope="module")
def shared() -> Iterator[Loki]:
    """The server of the monitor that the tests share; each test has lines of its own."""
    with Loki() as server:
        yield server


@pytest.fixture(scope="module")
def module_env(shared: Loki, module_logs: LogFolder) -> Mapping[str, str]:
    """Loki, and files beside it."""
    return {**shared.environ, "LOG_FILES": f"{module_logs.path}/*.log"}


def push(loki: Loki, count: int, *, ago_s: float = 5.0, step_ns: int = 1_000_000, **labels: str) -> None:
    """Lines with an error each, at times of their own unless the step is 0; not too late for a scan that was before."""
    start = time.time_ns() - int(ago_s * SECOND_NS)
    for number in range(count):
        loki.push(start + number * step_ns, f"ERROR no {labels.get('app', 'pay')} for order {number}", **labels)


def events(instance: Instance, words: str = "") -> int:
    """All events that were counted, of the patterns with these words."""
    return sum(instance.counts(words=words).values())


def test_lines_are_read_once(module_monitor: Instance, shared: Loki) -> None:
    """Two scans over the same hour count each line once; the service is the stream's label."""
    push(shared, 7, app="once")
    module_monitor.scan()
    push(shared, 2, ago_s=1, app="once")
    module_monitor.scan()

    services = {service for found in module_monitor.patterns(words="no once") for service in found["services"]}
    assert (events(module_monitor, "no once"), services) == (9, {"once"})


def test_more_lines_than_one_answer_may_have(monitor: Make, loki: Loki) -> None:
    """A span whose answer is full is halved until nothing can be missing."""
    push(loki, 150, step_ns=10_000_000)
    one = monitor(**loki.environ, LOKI_LIMIT=40)
    one.scan()

    assert (events(one), one.get("/gaps")["total"]) == (150, 0)


def test_lines_of_one_nanosecond_above_the_cap_are_a_gap(monitor: Make, loki: Loki) -> None:
    """What the server cannot list is not counted, and said; a few questions find the moment."""
    push(loki, 30, step_ns=0, ago_s=5)
    one = monitor(**loki.environ, LOKI_LIMIT=20)
    one.scan()

    gaps = one.get("/gaps")["gaps"]
    assert (events(one), [gap["kind"] for gap in gaps], len(loki.asked) < 20) == (20, ["capped"], True)


def test_equal_lines_at_one_time_are_two(module_monitor: Instance, shared: Loki) -> None:
    """Two lines that are equal in everything were logged twice, and count twice, once each."""
    at = time.time_ns() - 5 * SECOND_NS
    shared.push(at, "ERROR same")
    shared.push(at, "ERROR same")
    module_monitor.scan()
    module_monitor.scan()

    assert module_monitor.counts(words="same") == {"same": 2}


def test_a_line_that_arrives_late_is_counted(module_monitor: Instance, shared: Loki) -> None:
    """Loki takes lines out of order: the last seconds are looked at again."""
    push(shared, 3, ago_s=4, app="late")
    module_monitor.scan()
    push(shared, 2, ago_s=5, app="late", host="slow")
    module_monitor.scan()

    assert events(module_monitor, "no late") == 5


def test_a_span_that_is_too_long_is_cut(monitor: Make, loki: Loki) -> None:
    """A server that refuses an hour is asked for less."""
    push(loki, 5, ago_s=3000)
    push(loki, 5, ago_s=30)
    loki.longest_ns = 600 * SECOND_NS
    one = monitor(**loki.environ)
    one.scan()

    assert events(one) == 10


def test_streams_are_not_mixed(module_monitor: Instance, shared: Loki) -> None:
    """Tracebacks of two workers whose lines alternate are two events, each whole."""
    at = time.time_ns() - 10 * SECOND_NS
    for number, line in enumerate(failure("no mixture", where="mix").splitlines()):
        shared.push(at + number, line, app="shop", pod="a")
        shared.push(at + number, line, app="shop", pod="b")
    module_monitor.scan()

    assert module_monitor.counts(words="mixture") == {"ValueError: no mixture": 2}


def test_a_traceback_in_one_entry(module_monitor: Instance, shared: Loki) -> None:
    """An entry may have several lines."""
    shared.push(time.time_ns() - 5 * SECOND_NS, failure("no entry", where="entry"))
    module_monitor.scan()

    assert module_monitor.counts(words="no entry") == {"ValueError: no entry": 1}


def test_the_tenant_is_named(monitor: Make, loki: Loki) -> None:
    """Several tenants: X-Scope-OrgID."""
    loki.tenant = "acme"
    push(loki, 1)
    one = monitor(**loki.environ, LOKI_TENANT="acme")
    one.scan()

    assert events(one) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param((502, HTML), "Loki answers 502", id="502"),
        pytest.param((429, "slow down"), "Loki answers 429", id="429"),
        pytest.param((200, HTML), "not a list of streams", id="html"),
        pytest.param((200, "[" * 5000), "not a list of streams", id="deep"),
        pytest.param(
            (200, '{"status": "success", "data": {"resultType": "matrix", "result": []}}'), "select", id="matrix"
        ),
        pytest.param((400, "parse error at line 1"), "parse error", id="query"),
        pytest.param((200, b"\xff\xfe"), "not a list of streams", id="bytes"),
    ],
)
def test_a_bad_answer_is_an_error_of_the_source(
    module_monitor: Instance, shared: Loki, module_logs: LogFolder, answer: Answer, said: str
) -> None:
    """The files are read all the same; Loki is asked again, and nothing of it is lost."""
    module_monitor.scan()
    before = events(module_monitor, "no answer"), events(module_monitor, "no file")
    push(shared, 3, ago_s=2, app="answer")
    module_logs.fail(2, where="file")
    shared.next = [answer]
    errors = module_monitor.scan()["errors"]
    during = events(module_monitor, "no answer"), events(module_monitor, "no file")
    module_monitor.scan()

    assert (said in errors["loki"], during) == (True, (before[0], before[1] + 2))
    assert (events(module_monitor, "no answer"), module_monitor.get("/health")["status"]) == (before[0] + 3, "healthy")


def test_half_an_answer_is_no_answer(module_monitor: Instance, shared: Loki) -> None:
    """A connection that ends in the middle: nothing of it is counted, and the next scan has it all."""
    push(shared, 4, ago_s=2, app="half")
    shared.broken = True
    errors = module_monitor.scan()["errors"]
    shared.broken = False
    module_monitor.scan()

    assert ("no whole answer" in errors["loki"], events(module_monitor, "no half")) == (True, 4)


def test_a_source_that_fails_is_degraded_not_down(monitor: Make) -> None:
    """Health says degraded, the status says which source and why, and the next try is later and later."""
    one = monitor(LOKI_ENABLED="true", LOKI_URL="http://127.0.0.1:9", ERROR_MONITOR_BACKOFF_S="30")
    one.scan()

    health, source = one.get("/health"), one.status()["sources"][1]
    assert (health["status"], source["source"]) == ("degraded", "loki")
    assert (source["failures"] >= 1, source["next_try_at"] > source["failed_at"]) == (True, True)

"""Loki: each line once over caps, halved spans, overlaps, late lines and bad answers."""

import time
from collections.abc import Mapping

import pytest
from harness.instance import Instance, Make
from harness.logfiles import LogFolder, failure
from harness.peers import SECOND_NS, Answer, Loki

HTML = "<!doctype html><title>502</title>"


def push(loki: Loki, count: int, *, ago_s: float = 60.0, step_ns: int = 1_000_000, **labels: str) -> None:
    """Lines with an error each, at times of their own unless the step is 0."""
    start = time.time_ns() - int(ago_s * SECOND_NS)
    for number in range(count):
        loki.push(start + number * step_ns, f"ERROR no pay for order {number}", **labels)


def events(instance: Instance) -> int:
    """All events that were counted."""
    return sum(instance.counts().values())


def test_lines_are_read_once(monitor: Make, loki: Loki) -> None:
    """Two scans over the same hour count each line once; the service is the stream's label."""
    push(loki, 7)
    one = monitor(**loki.environ)
    one.scan()
    push(loki, 2, ago_s=1)
    one.scan()

    assert (events(one), {service for found in one.patterns() for service in found["services"]}) == (9, {"shop"})


def test_more_lines_than_one_answer_may_have(monitor: Make, loki: Loki) -> None:
    """A span whose answer is full is halved until nothing can be missing."""
    push(loki, 600, step_ns=10_000_000)
    one = monitor(**loki.environ, LOKI_LIMIT=100)
    one.scan()

    assert (events(one), one.get("/gaps")["total"]) == (600, 0)


def test_lines_of_one_nanosecond_above_the_cap_are_a_gap(monitor: Make, loki: Loki) -> None:
    """What the server cannot list is not counted, and said."""
    push(loki, 150, step_ns=0, ago_s=5)
    one = monitor(**loki.environ, LOKI_LIMIT=100)
    one.scan()

    gaps = one.get("/gaps")["gaps"]
    assert (events(one), [gap["kind"] for gap in gaps]) == (100, ["capped"])


def test_equal_lines_at_one_time_are_two(monitor: Make, loki: Loki) -> None:
    """Two lines that are equal in everything were logged twice, and count twice, once each."""
    at = time.time_ns() - 5 * SECOND_NS
    loki.push(at, "ERROR same")
    loki.push(at, "ERROR same")
    one = monitor(**loki.environ)
    one.scan()
    one.scan()

    assert one.counts() == {"same": 2}


def test_a_line_that_arrives_late_is_counted(monitor: Make, loki: Loki) -> None:
    """Loki takes lines out of order: the last seconds are looked at again."""
    push(loki, 3, ago_s=4)
    one = monitor(**loki.environ)
    one.scan()
    push(loki, 2, ago_s=5, host="late")
    one.scan()

    assert events(one) == 5


def test_a_span_that_is_too_long_is_cut(monitor: Make, loki: Loki) -> None:
    """A server that refuses an hour is asked for less."""
    push(loki, 5, ago_s=3000)
    push(loki, 5, ago_s=30)
    loki.longest_ns = 600 * SECOND_NS
    one = monitor(**loki.environ)
    one.scan()

    assert events(one) == 10


def test_streams_are_not_mixed(monitor: Make, loki: Loki) -> None:
    """Tracebacks of two workers whose lines alternate are two events, each whole."""
    at = time.time_ns() - 10 * SECOND_NS
    for number, line in enumerate(failure("no pay").splitlines()):
        loki.push(at + number, line, app="shop", pod="a")
        loki.push(at + number, line, app="shop", pod="b")
    one = monitor(**loki.environ)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 2}


def test_a_traceback_in_one_entry(monitor: Make, loki: Loki) -> None:
    """An entry may have several lines."""
    loki.push(time.time_ns() - 5 * SECOND_NS, failure("no pay"))
    one = monitor(**loki.environ)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 1}


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
    monitor: Make, loki: Loki, logs: LogFolder, answer: Answer, said: str
) -> None:
    """The files are read all the same; Loki is asked again, and nothing of it is lost."""
    push(loki, 3)
    logs.fail(2)
    one = monitor(start=False, **{**loki.environ, "LOG_FILES": f"{logs.path}/*.log"})
    loki.next = [answer] * 2
    one.start().ready()
    first = one.scan() if not loki.next else {}
    errors = first.get("errors") or failed(one)

    assert said in errors["loki"]
    loki.next = []
    one.scan()
    assert (events(one), one.get("/health")["status"]) == (5, "healthy")


def failed(one: Instance) -> Mapping[str, str]:
    """The errors of a scan in which Loki failed."""
    return dict(one.scan()["errors"])


def test_half_an_answer_is_no_answer(monitor: Make, loki: Loki) -> None:
    """A connection that ends in the middle: nothing of it is counted, and the next scan has it all."""
    push(loki, 4)
    loki.broken = True
    one = monitor(**loki.environ)
    assert "no whole answer" in one.scan()["errors"]["loki"]
    loki.broken = False
    one.scan()

    assert events(one) == 4


def test_a_source_that_fails_is_degraded_not_down(monitor: Make) -> None:
    """Health says degraded, the status says which source and why, and the next try is later and later."""
    one = monitor(LOKI_ENABLED="true", LOKI_URL="http://127.0.0.1:9", ERROR_MONITOR_BACKOFF_S="30")
    one.scan()

    health, source = one.get("/health"), one.status()["sources"][1]
    assert (health["status"], source["source"]) == ("degraded", "loki")
    assert (source["failures"] >= 1, source["next_try_at"] > source["failed_at"]) == (True, True)

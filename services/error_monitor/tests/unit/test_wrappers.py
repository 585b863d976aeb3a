"""Twelve kinds of tracebacks in every wrapper that collectors and loggers put around them: always one event, one name.

faults.jsonl holds the tracebacks as Python prints them.
"""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader

FAULTS = [json.loads(line) for line in (Path(__file__).parent / "faults.jsonl").read_text("utf-8").splitlines()]
Wrap = Callable[[str], str]
NOW, ISO = "2024-06-12 10:00:00,123", "2024-06-12T10:00:00.123456Z"


def each(prefix: str) -> Wrap:
    """The prefix before each line."""
    return lambda text: "\n".join(prefix + line for line in text.split("\n"))


def objects(fields: Callable[[str], Mapping[str, Any]]) -> Wrap:
    """An object of JSON for each line."""
    return lambda text: "\n".join(json.dumps(fields(line)) for line in text.split("\n"))


def whole(fields: Callable[[str], Mapping[str, Any]]) -> Wrap:
    """One object of JSON with all of it."""
    return lambda text: json.dumps(fields(text))


def logged(text: str) -> str:
    """Below a record of logging, and one more behind it."""
    return f"{NOW} ERROR shop: failed\n{text}\n{NOW} INFO shop: ok"


def served(text: str) -> str:
    """As uvicorn logs it."""
    return f"ERROR:    Exception in ASGI application\n{text}\nINFO:     ok"


def inside(wrap: Wrap, prefix: Wrap) -> Wrap:
    """One wrapper in another."""
    return lambda text: prefix(wrap(text))


def docker(line: str) -> dict[str, str]:
    """A line in Docker's own file."""
    return {"log": f"{line}\n", "stream": "stderr", "time": ISO}


def structlog(text: str) -> dict[str, str]:
    """A record of structlog."""
    return {"event": "failed", "level": "error", "exception": text}


def attribute(text: str) -> dict[str, Any]:
    """A record of OpenTelemetry."""
    stack = {"key": "exception.stacktrace", "value": {"stringValue": text}}
    return {"severityText": "ERROR", "body": {"stringValue": "failed"}, "attributes": [stack]}


WRAPPERS: dict[str, Wrap] = {
    "a header": logged,
    "gunicorn": lambda text: f"[2024-06-12 10:00:00 +0000] [7] [ERROR] Error handling request /x\n{text}",
    "a thread": lambda text: f"Exception in thread Thread-1 (work):\n{text}",
    "a task": lambda text: f"Task exception was never retrieved\nfuture: <Task finished name='T' coro=<f()>>\n{text}",
    "basicConfig": lambda text: f"ERROR:shop:failed\n{text}\nINFO:shop:ok",
    "indented": lambda text: f"{NOW} ERROR shop: failed\n{each('    ')(text)}\n{NOW} INFO shop: ok",
    "ansi": lambda text: f"{NOW} \x1b[31mERROR\x1b[0m shop: failed\n{text.replace(chr(10), chr(27) + '[0m' + chr(10))}",
    "crlf": lambda text: logged(text).replace("\n", "\r\n"),
    "prefixed": each(f"{NOW} ERROR shop: "),
    "prefixed with dashes": each(f"{NOW} - shop - ERROR - "),
    "oslo": lambda text: f"{NOW} 12 ERROR shop [req-1] failed\n{each(f'{NOW} 12 ERROR shop ')(text)}",
    "celery's output": each(f"[{NOW}: WARNING/ForkPoolWorker-1] "),
    "logfmt": lambda text: f'level=error msg="failed" exc={json.dumps(text)}',
    "rsyslog": lambda text: (
        "Jun 12 10:00:00 web shop[12]: " + f"{NOW} ERROR shop: failed\n{text}".replace("\n", "#012")
    ),
    "escaped": lambda text: f"{NOW} ERROR shop: failed " + text.replace("\n", "\\n"),
    "compose": inside(served, each("web-1  | ")),
    "foreman": inside(served, each("10:00:00 web.1  | ")),
    "a pid": inside(logged, each("[pid 12] ")),
    "stern": inside(logged, each("shop-7d9c5b6f8-x2x9z app ")),
    "cri": inside(served, each("2024-06-12T10:00:00.123456789Z stderr F ")),
    "a time": inside(served, each("2024-06-12T10:00:00.123456789Z ")),
    "a time in brackets": inside(served, each("[2024-06-12T10:00:00Z] ")),
    "syslog": inside(logged, each("Jun 12 10:00:00 web shop[12]: ")),
    "syslog, bare": each("Jun 12 10:00:00 web shop[12]: "),
    "rfc5424": inside(logged, each("<11>1 2024-06-12T10:00:00Z web shop 12 - - ")),
    "heroku": inside(logged, each("2024-06-12T10:00:00.123456+00:00 app[web.1]: ")),
    "fly": inside(logged, each("2024-06-12T10:00:00Z app[e28658d5] ams [info] ")),
    "render": inside(logged, each("Jun 12 10:00:00 AM  ")),
    "aws logs tail": inside(logged, each("2024-06-12T10:00:00.123000+00:00 2024/06/12/[$LATEST]abc ")),
    "ecs of aws": inside(logged, each("2024-06-12T10:00:00.123Z\tapp/web/1 ")),
    "docker": inside(logged, objects(docker)),
    "docker, bare": objects(docker),
    "docker, structlog": inside(whole(structlog), objects(docker)),
    "compose, structlog": inside(whole(structlog), each("web-1  | ")),
    "fluent bit": objects(lambda line: {"date": 1718186400.1, "log": line, "stream": "stderr"}),
    "fluent bit, kubernetes": inside(
        logged, objects(lambda line: {"log": line, "stream": "stderr", "kubernetes": {"pod_name": "shop"}})
    ),
    "railway": objects(
        lambda line: {"message": line, "severity": "error", "tags": {"serviceId": "s", "deploymentId": "d"}}
    ),
    "google, lines": objects(lambda line: {"textPayload": line, "severity": "ERROR", "timestamp": ISO}),
    "journald, lines": objects(lambda line: {"MESSAGE": line, "PRIORITY": "6", "SYSLOG_IDENTIFIER": "shop"}),
    "journald": whole(lambda text: {"MESSAGE": f"failed\n{text}", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "shop"}),
    "google": whole(lambda text: {"severity": "ERROR", "message": f"failed\n{text}"}),
    "structlog": whole(structlog),
    "python-json-logger": whole(lambda text: {"levelname": "ERROR", "message": "failed", "exc_info": text}),
    "ecs": whole(lambda text: {"log.level": "error", "message": "failed", "error": {"stack_trace": f"{text}\n"}}),
    "ecs with labels": whole(lambda text: {"log.level": "error", "labels": {"a": "b"}, "error.stack_trace": text}),
    "gelf": whole(lambda text: {"version": "1.1", "short_message": "failed", "full_message": text, "level": 3}),
    "opentelemetry": whole(attribute),
    "datadog": whole(lambda text: {"status": "error", "message": "failed", "error": {"stack": text}}),
}


def named(text: str) -> list[str]:
    """The names of the events in a text."""
    reader = Reader()
    return [fingerprint(event).key for event in (*reader.feed(text.split("\n")), *reader.flush())]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_changes_nothing(wrapper: str) -> None:
    """One event, under the name that the bare traceback has."""
    found = {fault["name"]: named(WRAPPERS[wrapper](fault["text"])) for fault in FAULTS}

    assert found == {fault["name"]: named(fault["text"]) for fault in FAULTS}


def test_each_fault_has_a_name_of_its_own() -> None:
    """So one name for all would not do."""
    assert len({name for fault in FAULTS for name in named(fault["text"])}) == len(FAULTS)


def cut(lines: list[str], count: int) -> list[str]:
    """The names of the events where one scan ended after so many lines and another went on."""
    first = Reader()
    events = first.feed(lines[:count])
    second = Reader.restore(json.loads(json.dumps(first.state())))
    return [fingerprint(event).key for event in (*events, *second.feed(lines[count:]), *second.flush())]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_scan_may_end_inside_of_any_wrapper(wrapper: str) -> None:
    """The event is whole with the next one, under the same name."""
    for fault in FAULTS:
        lines = WRAPPERS[wrapper](fault["text"]).split("\n")
        places = {1, len(lines) // 2, len(lines) - 1}
        assert [cut(lines, at) for at in places] == [named(fault["text"])] * len(places), fault["name"]


@pytest.mark.parametrize("other", range(1, len(FAULTS)))
def test_two_services_do_not_mix(other: int) -> None:
    """Their lines stand between each other, and each traceback is whole."""
    chance = random.Random(other)  # noqa: S311 -- chance that can be repeated
    for number, fault in enumerate(FAULTS):
        neighbour = FAULTS[(number + other) % len(FAULTS)]
        one = each("web-1     | ")(served(fault["text"])).split("\n")
        two = each("worker-1  | ")(logged(neighbour["text"])).split("\n")
        mixed = [(one if one and (not two or chance.random() < 0.5) else two).pop(0) for _ in range(len(one + two))]

        assert sorted(named("\n".join(mixed))) == sorted(named(fault["text"]) + named(neighbour["text"]))


@pytest.mark.parametrize("more", [0, 20])
def test_a_traceback_in_the_journals_export_is_read(more: int) -> None:
    """A message of several lines stands there behind its length, as the journal writes binary fields."""
    frames = '  File "/app/shop/jobs.py", line 7, in run\n    go()\n' * (1 + more)
    message = f"Traceback (most recent call last):\n{frames}ValueError: no".encode()
    fields = b"__CURSOR=s=1\nPRIORITY=3\nSYSLOG_IDENTIFIER=shop\nMESSAGE\n"
    text = fields + len(message).to_bytes(8, "little") + message + b"\n_PID=7\n\n"
    reader = Reader()
    (event,) = [*reader.feed(text.split(b"\n")), *reader.flush()]

    assert (event.type, event.message, event.service, event.worker) == ("ValueError", "no", "shop", "7")

"""One name for one fault: what may differ, and what tells two faults apart."""

import pytest

from error_monitor.patterns.fingerprint import Fingerprint, fingerprint
from error_monitor.reading.reader import Reader

PLAIN = """\
Traceback (most recent call last):
  File "{root}/shop/dispatch.py", line {line}, in run_job
    job(order)
  File "{root}/shop/jobs.py", line {line}, in load
    raise {type}(f"order {{order}} is not in {{place}}")
{type}: order {order} is not in {place}"""


def name(text: str) -> Fingerprint:
    """The fingerprint of the only event of a text."""
    reader = Reader()
    (event,) = [*reader.feed(text.split("\n")), *reader.flush()]
    return fingerprint(event)


def plain(root: str = "/app", line: int = 7, kind: str = "ValueError", order: str = "7", place: str = "stock") -> str:
    """A traceback of one fault."""
    return PLAIN.format(root=root, line=line, type=kind, order=order, place=place)


def pooled(function: str) -> str:
    """What a pool of processes raises again for a worker."""
    worker = PLAIN.format(root="/app", line=7, type="OSError", order="7", place="stock").replace("load", function)
    return f"""concurrent.futures.process._RemoteTraceback:
\"\"\"
{worker}
\"\"\"

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop/main.py", line 3, in main
    future.result()
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 449, in result
    return self.__get_result()
OSError: order 7 is not in stock"""


def test_a_pool_of_processes_does_not_hide_who_raised() -> None:
    """Its caller is the same for every fault; the worker's own function tells them apart."""
    assert name(pooled("load")).key == name(pooled("load")).key != name(pooled("save")).key


@pytest.mark.parametrize(
    "other",
    [
        plain(line=99),
        plain(root="/srv/shop/releases/20240611"),
        plain(order="88123", place="transit"),
        plain(kind="shop.errors.ValueError"),
        "2024-06-11 10:00:00,000 ERROR shop: failed\n" + plain(),
        "web-1  | " + plain().replace("\n", "\nweb-1  | "),
        plain().replace("run_job", "consume"),
    ],
    ids=["line", "release", "values", "module", "header", "compose", "caller"],
)
def test_one_fault(other: str) -> None:
    """Lines, folders, values, formats and callers do not change the pattern."""
    assert name(other).key == name(plain()).key


def test_without_source() -> None:
    """Values that look like values are known also where a log has no line of source."""
    text = plain(place="bin 12")

    assert (
        name(text.replace('    raise ValueError(f"order {order} is not in {place}")\n', "")).key
        == name(plain(place="bin 7").replace("{place}", "bin {place}")).key
    )


@pytest.mark.parametrize(
    "other",
    [
        plain(kind="KeyError"),
        plain().replace("in load", "in store"),
        plain().replace("shop/jobs.py", "shop/queue.py"),
        plain().replace("is not in", "was moved to"),
    ],
    ids=["type", "function", "file", "message"],
)
def test_two_faults(other: str) -> None:
    """Another type, place or message is another pattern."""
    assert name(other).key != name(plain()).key


def test_shared_raise_site() -> None:
    """One helper that raises for everybody gives a pattern for each message, not for each status of the server."""
    site = '{}  File "/app/shop/errors.py", line 3, in abort\n    raise HTTPException(status, detail)\n{}'
    start = "Traceback (most recent call last):\n"
    messages = ("404: order 7 not found", "502: payments failed", "503: payments failed", "404: order 9 not found")
    keys = [name(site.format(start, f"fastapi.exceptions.HTTPException: {message}")).key for message in messages]

    assert [keys.index(key) for key in keys] == [0, 1, 1, 0]


def test_cause_of_a_wrapper() -> None:
    """An own wrapper that raises from different errors is a pattern for each of them."""
    chain = (
        '{0}  File "/app/shop/a.py", line 1, in f\n    g()\n{1}: x\n\n'
        "The above exception was the direct cause of the following exception:\n\n"
        '{0}  File "/app/shop/b.py", line 2, in h\n    raise Failed() from problem\nshop.Failed: job failed'
    )
    start = "Traceback (most recent call last):\n"

    assert name(chain.format(start, "KeyError")).key != name(chain.format(start, "OSError")).key


def test_reason() -> None:
    """The reason names the place and what the message says."""
    found = name(plain())

    assert found.reason == "ValueError raised in shop/jobs.py:load, saying 'order * is not in *'"
    assert found.key.startswith("v1:")

"""What a run in the jail left is read as evidence: nothing that the code under test wrote makes another fault of it."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from error_monitor.fixes import launcher, runs
from error_monitor.fixes.jail import Ended
from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader

FORGED = """Traceback (most recent call last):
  File "/jail/checkout/src/shop/orders.py", line 6, in total
    return line["count"]
KeyError: 'count'"""
PLAIN = """Traceback (most recent call last):
  File "/jail/checkout/tests/test_new.py", line 5, in test_new
    assert total(order) == 250, said
AssertionError: """
JOINED = f"off by one\n\nDuring handling of the above exception, another exception occurred:\n\n{FORGED}"


def named(text: str) -> str:
    """The fingerprint of a traceback."""
    reader = Reader()
    (event,) = [*reader.feed(text.split("\n")), *reader.flush()]
    return fingerprint(event).key


def left(message: str, text: str, *tests: str) -> Ended:
    """A run with one failure in pytest's report, and what testbay recorded of each test."""
    junit = f"<testsuites><testcase><failure message={quoteattr(message, {chr(10): '&#10;'})}>"
    files = {
        "exit": "1",
        "tests.jsonl": "".join(f'{{"id": "{n}", "outcome": "{how}"}}\n' for n, how in enumerate(tests or ("failed",))),
        "junit.xml": f"{junit}{text.replace('<', '&lt;')}</failure></testcase></testsuites>",
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return Ended(results=made.getvalue(), seconds=0.1)


def test_a_failure_is_the_pattern_that_it_prints() -> None:
    """The exception and its frames name it."""
    assert runs.outcome("run", left("KeyError: 'count'", FORGED), "").fingerprints == {named(FORGED)}


@pytest.mark.parametrize("said", [FORGED, JOINED, f"x\n{FORGED}\n\nx", f"x\n{JOINED}"])
def test_a_traceback_inside_a_message_is_no_evidence(said: str) -> None:
    """A test that fails for another reason may quote the pattern: only what was raised counts."""
    found = runs.outcome("run", left(f"AssertionError: {said}", f"{PLAIN}{said}"), "")

    assert named(FORGED) not in found.fingerprints


@pytest.mark.parametrize("tests", [("passed",), ("passed", "passed"), ("skipped",)])
def test_two_records_that_contradict_each_other_are_none(tests: tuple[str, ...]) -> None:
    """Who rewrites one record has to rewrite the other in the same way."""
    found = runs.outcome("run", left("KeyError: 'count'", FORGED, *tests), "")

    assert (found.problem, found.tests) == ("its two records of the tests contradict each other", {})


def test_nothing_of_a_run_outlives_its_results(tmp_path: Path) -> None:
    """A daemon could rewrite them while they are read: the launcher ends it first, and what it started."""
    pid = tmp_path / "pid"
    daemon = f"import os, time; os.fork(); open({str(pid)!r}, 'a').write(str(os.getpid()) + chr(10)); time.sleep(600)"
    start = (
        f"import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=1)"
    )
    wait = f"\nwhile not os.path.exists({str(pid)!r}) or len(open({str(pid)!r}).read().split()) < 2: time.sleep(0.01)"
    (tmp_path / "base").mkdir()
    orders = {
        "limits": {}, "user": 0, "work": str(tmp_path / "work"), "base": str(tmp_path / "base"),
        "edits": str(tmp_path / "none"), "folder": ".", "argv": ["python", "-c", start + wait],
    }  # fmt: skip
    (tmp_path / "orders.json").write_text(json.dumps(orders))

    subprocess.run(
        [sys.executable, launcher.__file__, tmp_path / "orders.json"], check=True, timeout=60, stdout=subprocess.DEVNULL
    )

    for one in pid.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(one), 0)

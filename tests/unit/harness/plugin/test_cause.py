"""What a service raised, found in logs of every shape."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbay.harness.plugin import cause

ROOT = Path("/shop")
LIBRARY = "/venv/lib/python3.11/site-packages"
PLAIN = f"""Traceback (most recent call last):
  File "{LIBRARY}/uvicorn/run.py", line 1, in run
    await app()
          ^^^^^
  File "{LIBRARY}/fastapi/app.py", line 2, in call
    await super()
  File "/shop/app.py", line 20, in create
    db.execute()
  File "{LIBRARY}/psycopg/cursor.py", line 3, in execute
    raise
psycopg.errors.UndefinedTable: relation "items" does not exist
LINE 1: INSERT INTO items
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/venv/lib/python3.11/site-packages/anyio/group.py", line 1, in exit
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/shop/app.py", line 20, in create
    |     db.execute()
    | psycopg.errors.UndefinedTable: relation "items" does not exist
    +------------------------------------
"""
LOGURU = """2026-11-28 10:00:00 | ERROR | app:create:20 - failed
Traceback (most recent call last):

> File "/shop/app.py", line 20, in create
    db.execute()
    │  └ <method>
    └ <connection>

UndefinedTable: relation "items" does not exist
"""
RICH = """╭──────────────── Traceback (most recent call last) ────────────────╮
│ /shop/app.py:20 in create                                         │
│                                                                   │
│ ❱ 20 │   db.execute()                                             │
╰───────────────────────────────────────────────────────────────────╯
UndefinedTable: relation "items" does not exist
"""
CHAINED = f"""Traceback (most recent call last):
  File "/shop/other.py", line 1, in first
KeyError: 'first'

During handling of the above exception, another exception occurred:

{PLAIN}"""
SAID = 'relation "items" does not exist'
FRAMES = f"""  File "{LIBRARY}/uvicorn/run.py", line 1, in run
    await app()
  File "/shop/app.py", line 20, in create
    db.execute()
"""
STRUCTLOG = {
    "exc_type": "UndefinedTable",
    "exc_value": SAID,
    "frames": [{"filename": "/shop/app.py", "lineno": 20, "name": "create"}],
}
SHAPES = {
    "plain": PLAIN,
    "group": GROUP,
    "json": json.dumps({"event": "failed", "deep": [{"exception": PLAIN}]}),
    "json-behind-a-time": f"10:00:00 app {json.dumps({'exc_info': PLAIN})}",
    "structlog": json.dumps({"event": "failed", "exception": [STRUCTLOG, STRUCTLOG | {"exc_type": "KeyError"}]}),
    "ecs": json.dumps({"error": {"type": "UndefinedTable", "message": SAID, "stack_trace": FRAMES}}),
    "logfmt": f"level=error exception={json.dumps(PLAIN)} path=/items",
    "repr": f"failed: {PLAIN!r} (/items)",
    "prefixed": "".join(f"10:00:0{n % 10} web.1 | {line}\n" for n, line in enumerate(PLAIN.splitlines())),
    "local": PLAIN.replace("psycopg.errors.", "shop.create.<locals>."),
    "loguru": LOGURU,
    "rich": RICH,
    "chained": CHAINED,
    "stopped": PLAIN + 'Traceback (most recent call last):\n  File "/shop/app.py", line 1, in f\nKeyboardInterrupt\n',
}


def test_what_is_logged_next_is_not_the_exception() -> None:
    """A traceback that was cut off, or ends as none does, blames no line that comes later."""
    lines = [*PLAIN.splitlines()[:-2], "INFO:     127.0.0.1 - 200", "Listening: yes"]

    assert cause.last_exception(lines, ROOT) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_the_last_exception_is_found(shape: str) -> None:
    """However it is logged: its class, what it says, where in the project."""
    raised = cause.last_exception(["INFO: 200", *SHAPES[shape].splitlines(), "INFO: bye"], ROOT)

    assert str(raised) == 'UndefinedTable: relation "items" does not exist (app.py:20)'


@pytest.mark.parametrize(
    "lines", [[], ["ERROR: no"], ["Traceback (most recent call last):"], ['{"Traceback (most recent call last)']]
)
def test_a_log_without_one_has_none(lines: list[str]) -> None:
    """Half a traceback is none."""
    assert cause.last_exception(lines, ROOT) is None


def test_frames_of_libraries_are_folded() -> None:
    """A run of them is a line that names the packages; a single one stays."""
    lines = PLAIN.splitlines()

    assert cause.fold(lines) == [lines[0], "  … 2 frames of uvicorn, fastapi", *lines[6:]]


def test_a_traceback_of_libraries_alone_stays_whole() -> None:
    """Nothing else would be left of it."""
    lines = [line for line in PLAIN.splitlines() if "shop" not in line and "db." not in line]

    assert cause.fold(lines) == lines


def test_pythons_own_tracebacks_are_read(tmp_path: Path) -> None:
    """As this Python writes them, through its own library."""
    (tmp_path / "it.py").write_text("import json\n\n\ndef load():\n    json.loads('{')\n\n\nload()\n")
    done = subprocess.run(
        [sys.executable, "it.py"], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )

    raised = cause.last_exception(done.stderr.splitlines(), tmp_path)

    assert raised is not None
    assert (raised.kind, raised.place) == ("JSONDecodeError", "it.py:5")
    assert [line for line in raised.lines if "frames of Python" in line] != []


@pytest.mark.parametrize("frames", ["3", "null", '"none"'])
def test_a_number_of_frames_is_no_traceback(frames: str) -> None:
    """Nor does it keep the other lines from being read."""
    line = f'{{"exc_type": "ValueError", "frames": {frames}}}'

    found = cause.last_exception([line, *PLAIN.splitlines()], ROOT)
    assert found is not None
    assert found.kind == "UndefinedTable"

"""group and explain, as a person and the scorer call them."""

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from error_monitor import cli

LOG = """\
2024-01-02 03:04:05,678 INFO shop: failed=0 errors=0
2024-01-02 03:04:05,678 ERROR shop: order 7 not found
2024-01-02 03:04:06,000 ERROR shop: order 9 not found
2024-01-02 03:04:06,000 ERROR shop: disk full
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with three errors of two faults."""
    path = tmp_path / "shop.log"
    path.write_text(LOG)
    return path


def test_group(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each error is one JSON object with its lines, its pattern and what it says."""
    assert cli.main(["group", "--jsonl", str(log)]) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["first_line"], row["level"], row["category"]) for row in rows] == [
        (2, "error", "unknown"),
        (3, "error", "unknown"),
        (4, "error", "resource"),
    ]
    assert [row["fingerprint"] == rows[0]["fingerprint"] for row in rows] == [True, True, False]


def test_group_reads_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that is longer than the disk comes by a pipe; it is read as it comes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        written = threads.submit(pipe.write_text, LOG)
        code = cli.main(["group", "--jsonl", str(pipe)])

    assert (code, written.result(), len(capsys.readouterr().out.splitlines())) == (0, len(LOG), 3)


def test_group_each_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --each-line every line is an event."""
    assert cli.main(["group", "--jsonl", "--each-line", str(log)]) == 0

    assert [json.loads(line)["first_line"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3, 4]


def test_explain_one(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explain says two events are one pattern, and why."""
    assert cli.main(["explain", f"{log}:2", f"{log}:3"]) == 0

    said = capsys.readouterr().out
    assert "no exception: the message without its variable parts, 'order * not found'" in said
    assert said.endswith("one pattern: every part that is hashed is the same\n")


def test_explain_prints_nothing_that_a_terminal_obeys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A control sequence of one character, a backspace and a mark that reverses the line are shown as signs."""
    path = tmp_path / "hostile.log"
    path.write_text("ERROR: a\x9b31m\b\u202eb\n", encoding="utf-8")
    cli.main(["explain", f"{path}:1"])
    said = capsys.readouterr().out

    assert ("a\ufffd31m\ufffd\ufffdb" in said, said.replace("\n", "").isprintable()) == (True, True)


def test_explain_two(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explain says two events are two patterns, and which part differs."""
    assert cli.main(["explain", f"{log}:2", f"{log}:4"]) == 0

    assert capsys.readouterr().out.endswith("two patterns: 'order * not found' is not 'disk full'\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["group", "--jsonl", "none.log"], "error-monitor group: no such file: none.log\n"),
        (["explain", "none.log:1"], "error-monitor explain: no such file: none.log\n"),
        (["explain", "none.log"], "error-monitor explain: not a place FILE:LINE: none.log\n"),
        (["explain", "a:1", "b:1", "c:1"], "error-monitor explain: one or two places FILE:LINE\n"),
    ],
)
def test_refused(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call says what is wrong and exits with 2."""
    assert cli.main(arguments) == 2

    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("command", ["group", "explain", "import"])
def test_a_compressed_file_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or a rotated log would seem to have no errors."""
    file = tmp_path / "old.log.gz"
    file.write_bytes(gzip.compress(b"ERROR no pay\n"))

    assert cli.main([command, f"{file}:1" if command == "explain" else str(file)]) == 2
    assert capsys.readouterr().err == f"error-monitor {command}: {file} is compressed: unpack it first\n"


def test_explain_a_line_without_an_event(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that belongs to no event is said so."""
    assert cli.main(["explain", f"{log}:1"]) == 2

    assert capsys.readouterr().err == f"error-monitor explain: line 1 of {log} belongs to no error event\n"

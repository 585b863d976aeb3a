"""Copies of logs: masked line by line while they grow, and never larger than a limit."""

from pathlib import Path

import pytest

from testbay.harness.stack import logcopies
from testbay.harness.stack.logcopies import Copies


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    """From `logs` to `copies`, without the word secret."""
    for name in ("logs", "copies"):
        (tmp_path / name).mkdir()
    made = Copies(tmp_path / "copies", lambda text: text.replace("secret", "***"))
    made.follow(tmp_path / "logs")
    return made


def say(folder: Path, text: str) -> None:
    with (folder / "logs/shop.log").open("a") as log:
        log.write(text)


def copied(folder: Path) -> str:
    return (folder / "copies/shop.log").read_text()


def test_a_value_in_two_writes_is_masked(tmp_path: Path, copies: Copies) -> None:
    """A line is copied when it is whole, or when nothing more will come."""
    for part in ("a\nsec", "ret b\nse", "cret"):
        say(tmp_path, part)
        copies.catch_up()
    assert copied(tmp_path) == "a\n*** b\n"

    copies.close()
    assert copied(tmp_path) == "a\n*** b\n***"


@pytest.mark.parametrize("written", range(1, 6))
def test_a_value_in_two_writes_of_an_endless_line_is_masked(tmp_path: Path, copies: Copies, written: int) -> None:
    """A line that is too long to be waited for is not cut where a value is, or may have begun."""
    for _ in range(3):
        say(tmp_path, "x" * 70_000 + "secret"[:written])
        copies.catch_up()
        say(tmp_path, "secret"[written:] + "x" * 9)
        copies.catch_up()
    at_work = copied(tmp_path)
    copies.close()

    assert "secret" not in at_work + copied(tmp_path)
    assert (copied(tmp_path).count("***"), copied(tmp_path).count("x")) == (3, 3 * 70_009)


def test_a_log_that_is_gone_is_copied_to_its_end(tmp_path: Path, copies: Copies) -> None:
    """The stack's folder goes with the stack; a log that another one replaced is followed by that."""
    say(tmp_path, "a\n")
    copies.catch_up()
    say(tmp_path, "b\n")
    (tmp_path / "logs/shop.log").unlink()
    say(tmp_path, "c\n")
    copies.catch_up()
    copies.catch_up()
    copies.close()

    assert copied(tmp_path) == "a\nb\nc\n"


def test_a_long_log_keeps_its_head_and_its_tail(
    tmp_path: Path, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is counted."""
    monkeypatch.setattr(logcopies, "_TAIL_BYTES", 100)
    monkeypatch.setattr(logcopies, "_PIECE_BYTES", 100)
    copies.close()
    monkeypatch.setattr(logcopies, "_HEAD_BYTES", 100)
    copies.follow(tmp_path / "logs")
    say(tmp_path, "".join(f"{number:03}\n" for number in range(1000)))
    copies.close()
    text = copied(tmp_path)

    assert text.startswith("000\n001\n")
    assert text.endswith("998\n999\n")
    assert "bytes left out here" in text
    assert len(text) < 500


def test_only_what_comes_from_now_on(tmp_path: Path, copies: Copies) -> None:
    """A kept stack's log has what others did."""
    say(tmp_path, "old\n")
    copies.close()
    copies.follow(tmp_path / "logs", from_now=True)
    say(tmp_path, "new\n")
    copies.close()

    assert copied(tmp_path) == "new\n"

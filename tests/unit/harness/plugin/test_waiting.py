"""Waiting for what is about to be true."""

import pytest

from testbay.fixtures import eventually


def test_first_true_answer_is_returned() -> None:
    """It is asked as often as it takes."""
    answers = iter([None, 0, "", "at last"])

    assert eventually(lambda: next(answers)) == "at last"


def test_last_answer_is_told_when_time_is_up() -> None:
    """With what was waited for."""
    with pytest.raises(AssertionError, match=r"waited 0 s for the order to be stored; the last one was \[\]"):
        eventually(list, "the order to be stored", deadline_s=0)


def test_costly_question_is_asked_after_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pause_s` is the shortest one, also where it is longer than the longest that is usual."""
    pauses: list[float] = []
    monkeypatch.setattr("testbay.harness.plugin.waiting.Clock.sleep", pauses.append)
    answers = iter([None, None, "at last"])

    assert (eventually(lambda: next(answers), pause_s=0.3), pauses) == ("at last", [0.3, 0.3])

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

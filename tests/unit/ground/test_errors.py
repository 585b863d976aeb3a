import pytest

from testbay import errors
from testbay.errors import BayError


def classes() -> list[type[BayError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BayError)]


@pytest.mark.parametrize("kind", classes())
def test_an_error_can_be_caught_as_any_other_exception(kind: type[BayError]) -> None:
    """An error is no BaseException: an `except Exception` that tears down sees it."""
    assert issubclass(kind, Exception)


def test_a_full_error_says_what_why_what_to_do_and_where_the_evidence_is() -> None:
    """Every part has its line, and evidence of several lines stays one block."""
    error = BayError("db ended", why="no memory", todo="add some", evidence="db.log\nlast words")

    assert str(error).splitlines() == [
        "db ended",
        "  why:      no memory",
        "  do:       add some",
        "  evidence: db.log",
        "            last words",
    ]


@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_bare_error_is_one_line_of_news(blank: str) -> None:
    """Parts that are not given leave no empty label; blank evidence does not fail."""
    assert str(BayError("db ended", evidence=blank)).splitlines()[0] == "db ended"
    assert str(BayError("db ended")) == "db ended"

"""What the two peers of a fix, the model and GitHub, may say without ending a fix."""

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.github import trouble
from error_monitor.fixes.model import MOST_CALLS, _results
from error_monitor.fixes.records import LaterError, RefusedError


def test_each_call_of_a_tool_is_answered(tmp_path: Path) -> None:
    """The model's API refuses a turn that leaves one out."""
    calls = [SimpleNamespace(id=str(at), name="list", input={}) for at in range(MOST_CALLS + 2)]
    told = _results(Checkout(tmp_path, ""), calls)

    assert [one["tool_use_id"] for one in told] == [one.id for one in calls]
    assert [one["content"] for one in told[-3:]] == ["(no files)", *["refused: at most 20 calls in a turn"] * 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [("You have exceeded a secondary rate limit.", ""), ("Resource not accessible", ": GITHUB_TOKEN is not valid,")],
)
def test_a_limit_told_in_words_is_no_wrong_token(text: str, said: str) -> None:
    """GitHub's secondary limit answers 403, and not always with a header; both are tried again."""
    found = trouble("GET", "/pulls", 403, httpx.Headers(), text)

    assert (type(found), str(found).removesuffix(" or has not the rights that it needs")) == (
        LaterError,
        f"GitHub answered 403 to GET /pulls{said}",
    )


def test_a_repository_that_is_archived_is_no_wrong_token() -> None:
    """GitHub answers 403 to each write, which no other token changes."""
    found = trouble("POST", "/git/blobs", 403, httpx.Headers(), "Repository was archived so is read-only.")

    assert (type(found), str(found)) == (
        RefusedError,
        "GitHub answered 403 to POST /git/blobs: the repository is archived",
    )

"""The fake GitHub is as strict as the real one: "no violations" says something."""

from typing import Any

import httpx
import pytest
from tests.system.fakes.fake_github import TOKEN, FakeGitHub

ISSUES = "/repos/acme/shop/issues"


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", ISSUES, {"body": "no title"}),
        ("POST", ISSUES, {"title": "x", "labels": "x"}),
        ("PATCH", f"{ISSUES}/1", {"state": "resolved"}),
        ("PATCH", f"{ISSUES}/1", {"state": "closed", "state_reason": "fixed"}),
        ("PATCH", f"{ISSUES}/one", {"title": "x"}),
        ("POST", f"{ISSUES}/1/comments", {}),
        ("POST", f"{ISSUES}/1/comments", {"body": 5}),
        ("GET", f"{ISSUES}?state=bogus", None),
        ("GET", f"{ISSUES}?per_page=many", None),
        ("GET", "/search/issues?q=x", None),
        ("DELETE", f"{ISSUES}/1", None),
    ],
)
def test_a_wrong_request_is_a_violation(method: str, path: str, content: dict[str, Any] | None) -> None:
    """What the official description does not have is refused, and counted."""
    with FakeGitHub() as github:
        answer = httpx.request(method, github.url + path, json=content, headers={"Authorization": f"Bearer {TOKEN}"})

    assert (answer.status_code, len(github.violations)) == (422, 1)


@pytest.mark.parametrize("wrong", [{"number": "one"}, {"state": None}, {"user": {}}, {"locked": "no"}, {"body": 5}])
def test_a_wrong_answer_is_a_violation(wrong: dict[str, Any]) -> None:
    """The fake does not lie either."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with FakeGitHub() as github:
        httpx.post(github.url + ISSUES, json={"title": "x"}, headers=headers)
        github.issues[1] |= wrong
        httpx.get(github.url + ISSUES + "?state=all", headers=headers)

    assert [text.partition(" ")[0] for text in github.violations] == ["answer"]

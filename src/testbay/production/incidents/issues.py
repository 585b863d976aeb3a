"""The issues of a GitHub repository, as far as incidents use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from testbay.errors import IncidentsError
from testbay.production.remote.github import Api
from testbay.text import one_line

_MOST_COMMENTS = 2500  # below one issue, GitHub's limit


@dataclass(frozen=True, kw_only=True)
class Issue:
    """The fields of an issue that are used. `updated_at` is an ISO time in UTC, so that texts sort as times do."""

    number: int
    is_open: bool
    body: str
    labels: tuple[str, ...]
    updated_at: str
    closed_at: datetime | None
    takes_comments: bool = True

    @property
    def updated(self) -> datetime | None:
        """The moment of the last change, by GitHub's clock."""
        return _moment(self.updated_at)


class Issues:
    """The issues with one label. Every method raises IncidentsError when GitHub gives no usable answer."""

    def __init__(self, api: Api, label: str) -> None:
        self._api = api
        self._label = label

    def all(self) -> list[Issue]:
        """List the issues with the label, open or closed.

        Both states in one list: an issue reopened between two calls would be in neither. The oldest come first, so
        that an issue opened meanwhile moves no other one to a page that was read already.
        """
        query = {"labels": self._label, "state": "all", "sort": "created", "direction": "asc", "per_page": "100"}
        items = [item for item in self._api.pages("issues", **query) if "pull_request" not in item]
        return list({issue.number: issue for issue in map(_issue, items)}.values())

    def create(self, title: str, body: str) -> Issue:
        """Open an issue with the label. UnsureError tells that it may exist although no answer came.

        GitHub silently drops labels that the token may not set. Such an issue would never be found again, so it is
        closed at once.
        """
        made = _issue(self._api.call("POST", "issues", {"title": title, "body": body, "labels": [self._label]}))
        if self._label.lower() not in map(str.lower, made.labels):
            self.edit(made.number, state="closed", state_reason="not_planned")
            why = "GitHub drops labels where the token may not set them"
            todo = f"in a workflow: permissions: issues: write; then delete #{made.number}"
            raise IncidentsError(f"issue #{made.number} did not get its label {self._label}", why=why, todo=todo)
        return made

    def edit(self, number: int, **fields: str) -> Issue:
        return _issue(self._api.call("PATCH", f"issues/{number}", fields))

    def comments(self, number: int) -> list[str]:
        """List the comments below an issue, the oldest first."""
        return [str(item.get("body") or "") for item in self._api.pages(f"issues/{number}/comments", per_page="100")]

    def comment(self, number: int, text: str) -> None:
        """Add a comment. UnsureError tells that it may exist although no answer came."""
        self._api.call("POST", f"issues/{number}/comments", {"body": text})


def _issue(item: Mapping[str, Any]) -> Issue:
    number, state, labels = item.get("number"), item.get("state"), item.get("labels")
    if not isinstance(number, int) or state not in ("open", "closed") or not isinstance(labels, list):
        raise IncidentsError(
            "GitHub: an issue has an unexpected form", evidence=one_line(f"its keys: {sorted(item)[:20]}")
        )
    names = [label.get("name") if isinstance(label, dict) else label for label in labels]
    return Issue(
        number=number,
        is_open=state == "open",
        takes_comments=item.get("locked") is not True and _number(item.get("comments")) < _MOST_COMMENTS,
        body=str(item.get("body") or ""),
        labels=tuple(name for name in names if isinstance(name, str)),
        updated_at=str(item.get("updated_at") or ""),
        closed_at=_moment(item.get("closed_at")),
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _moment(text: Any) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise IncidentsError(f"GitHub: an issue was changed at {str(text)[:40]!r}, which is not a time") from None

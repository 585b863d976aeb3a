"""A GitHub on loopback, as far as we use it: with issues and deployments; it can lag, throttle, fail and be raced.

Every request and every answer of its own is held to GitHub's official description, which is in `github/` beside.
"""

import functools
import json
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from tests.served import Handler, Served

OWNER, NAME = "acme", "shop"
TOKEN = "ghs_throwaway0123456789"
_REPOSITORY = f"/repos/{OWNER}/{NAME}/"
_BY_ID = "/repositories/4711/"  # what GitHub's own links to a next page use
_HOME = f"{_REPOSITORY}issues"
_MOST_COMMENTS = 2500
_API = "https://api.github.com"
_REQUEST_TAKES = timedelta(seconds=0.4)


@functools.cache
def description() -> OpenAPI:
    """Read once: it takes a third of a second."""
    return OpenAPI.from_file_path(str(Path(__file__).parent / "github/openapi.json"))


@dataclass(kw_only=True)
class Fault:
    """What happens instead of an answer, to requests whose `METHOD path?query` matches, the next `times` of them.

    With `done` the request is carried out all the same, and only its answer is lost.
    """

    pattern: str
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "<html>502 Bad Gateway</html>"
    done: bool = False
    times: int = 1


class FakeGitHub(Served):
    """`with FakeGitHub() as github:`; then `github.environ` leads a program to it."""

    def __init__(self) -> None:
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.deployments: dict[int, dict[str, Any]] = {}
        self.statuses: dict[int, list[dict[str, Any]]] = {}
        self.violations: list[str] = []
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.lag: Callable[[], int] = lambda: 0  # in how many lists a new issue is not yet
        self.before: Callable[[str], None] = lambda _: None  # called with each request, ahead of its effect
        self.turn: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()  # with the request's token
        self.allows: Callable[[str, str, str], bool] = lambda *_: True  # a token, a right, a level of it
        self.git: Callable[[str, str, dict[str, str], bytes], Reply | None] = lambda *_: None  # no call of the API
        self.per_page = 100
        self.labels_stick = True
        self.most_open = 0
        self._hidden: dict[int, int] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.url = self.serve(_handler(self))
        self.environ = {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": f"{OWNER}/{NAME}", "GITHUB_TOKEN": TOKEN}
        return self

    def open_numbers(self) -> list[int]:
        """Of every open issue."""
        return [number for number, issue in self.issues.items() if issue["state"] == "open"]

    def writes(self) -> list[str]:
        """The requests that were meant to change something."""
        return [request for request in self.requests if not request.startswith("GET ")]

    def deploy(self, sha: str, *states: str, environment: str = "production") -> int:
        """As whoever deploys reports it: a deployment, and the states that it has had since."""
        number, when, url = len(self.deployments) + 1, _stamp(self.now), f"{self.url}{_REPOSITORY}deployments/0"
        self.deployments[number] = {
            "id": number, "node_id": f"D_{number}", "url": url, "sha": sha, "ref": "main", "task": "deploy",
            "payload": {}, "environment": environment, "description": None, "creator": _user(self.url),
            "created_at": when, "updated_at": when, "statuses_url": url, "repository_url": url,
            "transient_environment": False, "production_environment": environment == "production",
        }  # fmt: skip
        self.statuses[number] = []
        for state in states:
            self.report(number, state)
        return number

    def report(self, number: int, state: str) -> None:
        """The next state of a deployment. In what is no production one that succeeded ends the ones before it."""
        deployment, when, url = self.deployments[number], _stamp(self.now), f"{self.url}{_REPOSITORY}deployments/0"
        for other, earlier in self.deployments.items():
            same = earlier["environment"] == deployment["environment"] and not earlier["production_environment"]
            succeeded = [status["state"] for status in self.statuses[other][:1]] == ["success"]
            if state == "success" and same and succeeded and other < number:
                self.report(other, "inactive")
        status = {
            "id": sum(map(len, self.statuses.values())) + 1, "node_id": "S", "url": url, "state": state,
            "description": "", "creator": _user(self.url), "deployment_url": url, "target_url": "https://x.invalid",
            "repository_url": url, "created_at": when, "updated_at": when,
        }  # fmt: skip
        self.statuses[number].insert(0, status)

    def close(self, number: int) -> None:
        """As a person does it on the page."""
        self._patch(number, {"state": "closed", "state_reason": "completed"})

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> "Reply":
        """One request, in its turn."""
        with self.turn(headers.get("authorization", "").removeprefix("Bearer ")), self._lock:
            self.now += _REQUEST_TAKES
            line = f"{method} {target}"
            self.requests.append(line)
            self.before(line)
            fault = next((f for f in self.faults if f.times and re.search(f.pattern, line)), None)
            if fault:
                fault.times -= 1
            reply = None if fault and not fault.done else self._serve(method, target, headers, body)
            self.most_open = max(self.most_open, len(self.open_numbers()))
            return Reply(fault.status, fault.body, fault.headers) if fault else reply or _message(500, "no reply")

    def _serve(self, method: str, target: str, headers: dict[str, str], body: bytes) -> "Reply":
        parts = urlsplit(target)
        path, query = parts.path.replace(_BY_ID, _REPOSITORY), dict(parse_qsl(parts.query))
        asked = (method, path, tuple(query.items()), _alike(body.decode()), headers.get("content-type", ""))
        if problem := _wrong_request(*asked):
            self.violations.append(f"request {method} {target}: {problem}")
            return _message(422, "Validation Failed")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if not bearer or not headers.get("user-agent"):
            return _message(401, "Bad credentials")
        right = "deployments" if "/deployments" in path else "issues"
        if not self.allows(bearer, right, "read" if method == "GET" else "write"):
            return _message(403, "Resource not accessible by integration")
        reply = self._do(method, path, query, json.loads(body) if body else {})
        text = reply.text.replace(self.url, _API)  # its port is another one each time
        if problem := _wrong_answer(*asked, reply.status, _alike(text), tuple(reply.headers.items())):
            self.violations.append(f"answer {reply.status} to {method} {target}: {problem}")
        return reply

    def _do(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> "Reply":
        if path.startswith(f"{_REPOSITORY}deployments"):
            return self._deployed(path, query)
        if path == _HOME:
            return self._list(query) if method == "GET" else self._create(body)
        number = int(path.split("/")[5])
        if number not in self.issues:
            return _message(404, "Not Found")
        if method == "PATCH":
            self._patch(number, body)
            return _json(200, self.issues[number])
        if method == "GET":
            return self._page(f"{_BY_ID}issues/{number}/comments", query, self.comments[number])
        return self._say(number, body["body"])

    def _say(self, number: int, text: str) -> "Reply":
        """A comment; below a locked issue none of a workflow's, and below a full one none at all."""
        if self.issues[number]["locked"]:
            return _message(403, "Unable to create comment because issue is locked.")
        if self.issues[number]["comments"] >= _MOST_COMMENTS:
            return _message(403, f"Commenting is disabled on issues with more than {_MOST_COMMENTS} comments")
        comment = self._comment(number, text)
        self.comments[number].append(comment)
        return _json(201, comment)

    def _deployed(self, path: str, query: dict[str, str]) -> "Reply":
        """The newest first."""
        if path.endswith("/statuses"):
            number = int(path.split("/")[5])
            known = number in self.statuses
            link = path.replace(_REPOSITORY, _BY_ID)
            return self._page(link, query, self.statuses[number]) if known else _message(404, "Not Found")
        wanted = query.get("environment")
        found = [one for one in reversed(self.deployments.values()) if wanted in (None, one["environment"])]
        return self._page(f"{_BY_ID}deployments", query, found)

    def _list(self, query: dict[str, str]) -> "Reply":
        """In the order they were made, unless asked otherwise: the newest first is GitHub's habit."""
        if int(query.get("page", "1")) == 1:
            self._hidden = {number: left - 1 for number, left in self._hidden.items() if left > 0}
        wanted = {label.lower() for label in filter(None, query.get("labels", "").split(","))}
        state = query.get("state", "open")
        found = [
            issue
            for number, issue in self.issues.items()
            if number not in self._hidden
            and wanted <= {label["name"].lower() for label in issue["labels"]}
            and state in ("all", issue["state"])
        ]
        if query.get("direction", "desc") == "desc":
            found.reverse()
        return self._page(f"{_BY_ID}issues", query, found)

    def _page(self, path: str, query: dict[str, str], items: list[dict[str, Any]]) -> "Reply":
        size, page = min(int(query.get("per_page", "30")), self.per_page), int(query.get("page", "1"))
        reply = _json(200, items[(page - 1) * size : page * size])
        if page * size < len(items):
            following = f"{self.url}{path}?{urlencode({**query, 'page': page + 1})}"
            reply.headers["Link"] = f'<{following}>; rel="next"'
        return reply

    def _create(self, body: dict[str, Any]) -> "Reply":
        if not body["title"].strip() or len(body["title"]) > 256 or len(body.get("body", "")) > 65_536:
            return _message(422, "Validation Failed")
        number = max(self.issues, default=0) + 1
        when, url = _stamp(self.now), f"{self.url}{_HOME}/{number}"
        self.issues[number] = {
            "id": 9000 + number, "node_id": f"I_{number}", "number": number, "url": url, "html_url": url,
            "repository_url": self.url, "labels_url": url, "comments_url": url, "events_url": url,
            "title": body["title"], "body": body.get("body"), "state": "open", "locked": False,
            "labels": [_label(name) for name in body.get("labels", []) if self.labels_stick], "user": _user(self.url),
            "assignee": None, "milestone": None, "comments": 0, "author_association": "NONE",
            "created_at": when, "updated_at": when, "closed_at": None,
        }  # fmt: skip
        self.comments[number] = []
        if (hidden_for := self.lag()) > 0:
            self._hidden[number] = hidden_for + 1
        return _json(201, self.issues[number])

    def _patch(self, number: int, body: dict[str, Any]) -> None:
        issue = self.issues[number]
        if "state" in body and body["state"] != issue["state"]:
            issue["closed_at"] = _stamp(self.now) if body["state"] == "closed" else None
            issue["state_reason"] = body.get("state_reason") or "reopened"
        issue |= {key: body[key] for key in ("title", "body", "state") if key in body} | {
            "updated_at": _stamp(self.now)
        }

    def _comment(self, number: int, text: str) -> dict[str, Any]:
        when, url = _stamp(self.now), f"{self.url}{_HOME}/{number}"
        number = sum(map(len, self.comments.values())) + 1
        return {
            "id": number, "node_id": f"C_{number}", "url": url, "html_url": url, "issue_url": url, "body": text,
            "user": _user(self.url), "created_at": when, "updated_at": when, "author_association": "NONE",
        }  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


def _json(status: int, data: Any) -> Reply:
    return Reply(status, json.dumps(data), {"Content-Type": "application/json; charset=utf-8"})


def _message(status: int, message: str) -> Reply:
    return _json(status, {"message": message, "documentation_url": "https://docs.github.com/rest"})


def _stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _label(name: str) -> dict[str, Any]:
    return {"id": 1, "node_id": "L_1", "url": "https://x.invalid", "name": name, "color": "ededed", "default": False}


def _user(url: str) -> dict[str, Any]:
    links = ("avatar", "events", "followers", "following", "gists", "html", "organizations", "received_events", "repos")
    every = {f"{name}_url": url for name in (*links, "starred", "subscriptions")}
    facts = {"id": 1, "node_id": "U_1", "login": "github-actions[bot]", "type": "Bot", "site_admin": False, "url": url}
    return every | facts | {"gravatar_id": ""}


def _alike(text: str) -> str:
    """JSON of which the description says the same: its times are another one, and the words of a body are left out."""
    text = re.sub(r'(?<=")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?=")', "2026-11-21T12:00:00Z", text)
    return re.sub(r'(?<="body":)( ?)"(?:[^"\\]|\\.)*"', r'\1""', text)


# What a description says of the same words stays the same. Tests that let each call of an outage fail in turn say most
# words hundreds of times, and asking takes longer than all else in a request.
@functools.cache
def _wrong_request(*asked: Any) -> str:
    return _problem(lambda: description().validate_request(_request(*asked)))


@functools.cache
def _wrong_answer(*exchanged: Any) -> str:
    *asked, status, text, headers = exchanged
    response = MockResponse(text.encode(), status, dict(headers), "application/json")
    return _problem(lambda: description().validate_response(_request(*asked), response))


def _request(method: str, path: str, query: tuple[tuple[str, str], ...], body: str, content_type: str) -> MockRequest:
    return MockRequest(_API, method, path, args=dict(query), data=body.encode(), content_type=content_type)


def _problem(check: Callable[[], object]) -> str:
    """What the description has against it, or nothing."""
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever the validator raises is a violation
        why = [each.message[:200] for each in getattr(error.__cause__, "schema_errors", ())]
        return f"{error!r} {why or error.__cause__}"[:900]
    return ""


def _handler(github: FakeGitHub) -> type[Handler]:
    class Answering(Handler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = (self.command, self.path, headers, self.body())
            reply = github.git(*asked) or github.answer(*asked)
            self.reply(reply.status, reply.text.encode(errors="surrogateescape"), reply.headers)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any

    return Answering


class Gate:
    """Lets one of several clients through at a time, in the order that `choose` decides: every interleaving can be had.

    A request waits until each client that has not left stands at the gate.
    """

    def __init__(self, clients: list[str], choose: Callable[[list[str]], str]) -> None:
        self._here: set[str] = set()
        self._away = set(clients)
        self._choose = choose
        self._next = ""
        self._changed = threading.Condition()

    def turn(self, client: str) -> AbstractContextManager[None]:
        return _Turn(self, client)

    def arrive(self, client: str) -> None:
        with self._changed:
            self._away.discard(client)
            self._here.add(client)
            self._call()
            arrived = self._changed.wait_for(lambda: self._next == client, timeout=30)
            assert arrived, "nobody opened the gate"

    def depart(self, client: str) -> None:
        """Its request is answered; the next is called when it stands here again, or has left."""
        with self._changed:
            self._here.discard(client)
            self._away.add(client)
            self._next = ""

    def leave(self, client: str) -> None:
        """It will not come again."""
        with self._changed:
            self._away.discard(client)
            self._call()

    def _call(self) -> None:
        if not self._away and self._here and not self._next:
            self._next = self._choose(sorted(self._here))
            self._changed.notify_all()


class _Turn:
    def __init__(self, gate: Gate, client: str) -> None:
        self._gate, self._client = gate, client

    def __enter__(self) -> None:
        self._gate.arrive(self._client)

    def __exit__(self, *_: object) -> None:
        self._gate.depart(self._client)

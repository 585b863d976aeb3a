"""A client of GitHub's REST API, with limits of time and size, and retries where they are safe."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from testbay.errors import IncidentsError
from testbay.masking import masked
from testbay.production.remote.delivery import retry_after_s
from testbay.production.remote.exchange import (
    TO_FIX,
    NoAnswerError,
    NoConnectionError,
    UnusableError,
    exchange,
    is_private,
)
from testbay.text import duration, one_line

if TYPE_CHECKING:
    import httpx

_REQUEST_TIMEOUT_S = 60.0  # for all of it: a full page is large
_MAX_ANSWER_BYTES = 64 << 20  # a hundred issues with bodies as long as GitHub takes them are half of it
_MAX_PAGES = 50
_LONG_S = 3.0  # a pause after which a person wonders
_MOMENTARY = {500, 502, 503, 504}
_LIMITED = re.compile("rate limit|submitted too quickly|abuse detection", re.IGNORECASE)  # the last of older servers
_ISSUE = re.compile(r"/issues/(?P<number>[0-9]+)(?:/comments)?$")
_LOOKED_AT = 4_500  # characters of an answer that is evidence: far more than are shown, so that no token is cut


class UnsureError(IncidentsError):
    """A change was not answered: it may have happened. Look before doing it again."""


@dataclass(frozen=True, kw_only=True)
class GitHubAccess:
    """A repository, and the token for it."""

    api_url: str
    repository: str
    token: str = field(repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "GitHubAccess":
        """Read the access from the variables of GitHub Actions.

        Raises:
            IncidentsError: A variable is missing or invalid, or the token would be sent unencrypted.
        """
        token, repository = environ.get("GITHUB_TOKEN", "").strip(), environ.get("GITHUB_REPOSITORY", "")
        api_url = (environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")
        if not (token.isascii() and token.isprintable() and token):
            todo = (
                "in a workflow: env: {GITHUB_TOKEN: '${{ github.token }}'}; elsewhere: export it and GITHUB_REPOSITORY"
            )
            raise IncidentsError("GITHUB_TOKEN is not set", why="it is empty, or holds what no token does", todo=todo)
        if len(parts := repository.split("/")) != 2 or not all(map(_is_name, parts)):
            raise IncidentsError(f"GITHUB_REPOSITORY: {repository!r} is not owner/name", todo="set it, e.g. acme/shop")
        if not is_private(api_url):
            why = "the token would be sent unencrypted"
            raise IncidentsError(f"GITHUB_API_URL: {api_url!r} is not https", why=why, todo="use an https:// address")
        return cls(api_url=api_url, repository=repository, token=token)

    def hidden(self, text: str) -> str:
        return masked(text, [self.token])


def _is_name(text: str) -> bool:
    return text not in ("", ".", "..") and all(c.isascii() and (c.isalnum() or c in "-_.") for c in text)


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address; empty texts and None if it is invalid."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port
    return "", "", None


class Patience:
    """A limit of time for all calls together, and the pauses between attempts; `tell` hears once of a long one."""

    def __init__(
        self,
        budget_s: float = 180.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self._tell = tell
        self._has_told = False
        self._sleep = sleep
        self._ends = clock() + budget_s

    def left_s(self) -> float:
        return self._ends - self.clock()

    def wait(self, attempt: int, asked_s: float | None = None) -> bool:
        """Sleep before the next attempt, longer each time; return False at once if the time is too short."""
        own_s = min(30.0, 0.5 * 2.0**attempt) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        delay_s = max(own_s, asked_s or 0.0)
        if self.clock() + delay_s >= self._ends:
            return False
        if delay_s >= _LONG_S and not self._has_told:
            self._has_told = True
            self._tell(f"not done yet: trying again for {self.left_s():.0f} s at most")
        self._sleep(delay_s)
        return True


@dataclass(frozen=True, kw_only=True)
class GitHubAnswer:
    """An answer of GitHub as parsed JSON, and the address of the next page, if any."""

    data: Any
    following: str | None


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """A failed call. `again`: it may be repeated; `unsure`: the change may have happened; `asked_s`: wait this long."""

    what: str
    why: str = ""
    todo: str = "look at githubstatus.com, then run it again"
    evidence: str = ""
    again: bool = False
    unsure: bool = False
    asked_s: float | None = None


class Api:
    """A client of one repository. Every method raises IncidentsError when no usable answer came in time.

    Reading and editing are retried. A POST is retried only if GitHub refused it; otherwise UnsureError tells that it
    may have been done. `right` is the permission that the token needs, as a workflow's `permissions` name it.
    """

    def __init__(self, access: GitHubAccess, patience: Patience, right: str = "issues: write") -> None:
        self._access = access
        self._right = right
        self._patience = patience
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {access.token}",
            "User-Agent": "testbay",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def __repr__(self) -> str:
        return f"Api({self._access.repository!r})"

    def call(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a path below the repository and return the object in the answer."""
        answer = self._call(method, self._url(path), content)
        if not isinstance(answer.data, dict):
            raise _no_use(method, path, "no object")
        return answer.data

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page."""
        url: str | None = self._url(path)
        for _ in range(_MAX_PAGES):
            answer = self._call("GET", url or "", query=query)
            if not isinstance(answer.data, list) or not all(isinstance(item, dict) for item in answer.data):
                raise _no_use("GET", path, "no list of objects")
            yield from answer.data
            if (url := answer.following) is None:
                return
            if _origin(url) != _origin(self._access.api_url):
                raise _no_use("GET", path, f"continued on another host: {one_line(url)}")
            query = {}  # it is part of the next page's address
        raise _no_use("GET", path, f"longer than {_MAX_PAGES} pages")

    def _url(self, path: str) -> str:
        return f"{self._access.api_url}/repos/{self._access.repository}/{path}"

    def _call(
        self, method: str, url: str, content: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> GitHubAnswer:
        attempt = 0
        while isinstance(got := self._once(method, url, content, query), _Fault):
            if not got.again or not self._patience.wait(attempt, got.asked_s):
                kind = UnsureError if got.unsure else IncidentsError
                evidence = one_line(self._access.hidden(got.evidence[:_LOOKED_AT]))
                what = f"GitHub: {method} {urlsplit(url).path}: {got.what}"
                raise kind(what, why=got.why, todo=got.todo, evidence=evidence)
            attempt += 1
        return got

    def _once(
        self, method: str, url: str, content: Mapping[str, Any] | None, query: Mapping[str, str] | None
    ) -> GitHubAnswer | _Fault:
        left_s = self._patience.left_s()
        if left_s <= 0:
            return _Fault(what="not sent, as the time limit of all calls is reached")
        unsure = method == "POST"
        headers, sent = self._headers, None
        if content is not None:
            headers, sent = headers | {"Content-Type": "application/json"}, json.dumps(content).encode()
        whole = f"{url}?{urlencode(query)}" if query else url
        within_s = min(_REQUEST_TIMEOUT_S, left_s)
        try:
            response, text = exchange(method, whole, headers, sent, most_bytes=_MAX_ANSWER_BYTES, within_s=within_s)
        except UnusableError as error:
            return _Fault(what="no request can be sent from here", why=str(error), todo=TO_FIX)
        except NoConnectionError as error:
            return _Fault(what="no connection", why=str(error), again=True)
        except NoAnswerError as error:
            return _Fault(what="the answer was cut off", why=str(error), again=not unsure, unsure=unsure)
        if not response.is_success:
            return _refusal(response, text, self._right, unsure=unsure)
        return _read(response, text, unsure=unsure)


def _read(response: "httpx.Response", text: str, *, unsure: bool) -> GitHubAnswer | _Fault:
    try:
        return GitHubAnswer(data=json.loads(text), following=response.links.get("next", {}).get("url"))
    except (ValueError, RecursionError):
        return _Fault(what="the answer is not JSON", evidence=text, unsure=unsure)


def _no_use(method: str, path: str, what: str) -> IncidentsError:
    return IncidentsError(f"GitHub: {method} {path}: the answer is {what}", todo="check GITHUB_API_URL, run it again")


def _refusal(response: "httpx.Response", text: str, right: str, *, unsure: bool) -> _Fault:
    """Interpret a status other than 2xx."""
    status, headers = response.status_code, response.headers
    what = f"status {status}"
    if status in _MOMENTARY:
        return _Fault(what=what, evidence=text, again=not unsure, unsure=unsure, asked_s=retry_after_s(headers))
    limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or _LIMITED.search(text)
    if status == 429 or (status in (403, 422) and limited):
        why, asked_s = "GitHub limits the rate of requests", _pause_s(headers)
        todo = f"run it again in {duration(asked_s)}, or with a token that fewer runs share"
        return _Fault(what=what, why=why, todo=todo, evidence=text, again=True, asked_s=asked_s)
    why, todo = _reason(status, text.lower(), right)
    if status == 404 and (one := _ISSUE.search(response.request.url.path)):  # the list, with the same token, had it
        why = f"the issue was deleted or moved meanwhile, or the token lacks the right {right}"
        todo = f"look whether #{one['number']} is there: if so, permissions: {right}; if not, run it again"
    return _Fault(what=what, why=why, todo=todo, evidence=text)


def _pause_s(headers: "httpx.Headers") -> float:
    """The pause that GitHub asks for: in so many words, or until the hour's requests are renewed; else a minute."""
    renewed = headers.get("x-ratelimit-reset", "")
    if "retry-after" not in headers and headers.get("x-ratelimit-remaining") == "0" and re.fullmatch("[0-9]+", renewed):
        return max(1.0, float(renewed) - time.time())
    return retry_after_s(headers) or 60.0


def _reason(status: int, text: str, right: str) -> tuple[str, str]:
    """Explain a refusal that will not pass by itself, and say what to do."""
    match status:
        case 403 if "archived" in text:
            todo = "set GITHUB_REPOSITORY to a repository that is in use, or unarchive this one"
            return "the repository is archived, so nothing in it can change", todo
        case 401 | 403 | 404:
            why = f"the token is not valid for this repository, or lacks the right {right}"
            return why, f"in a workflow: permissions: {right}"
        case 410 if "deleted" in text:
            return "the issue was deleted meanwhile", "run it again"
        case 410:
            todo = "enable them: Settings, General, Features, Issues"
            return "issues are disabled in this repository", todo
        case 301 | 307 | 308:
            why = "the repository was renamed, or the issue was moved to another one"
            return why, "set GITHUB_REPOSITORY to its new name"
        case _:
            todo = "mend what its answer names, where it is yours; otherwise report it with the evidence"
            return "GitHub does not accept this request", todo

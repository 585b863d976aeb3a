"""The client for GitHub. A dry run ends here, and so does a push to any branch but a fix's own."""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from error_monitor import tls
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import LaterError, RefusedError

BRANCHES = "error-monitor/"
ANSWER_BYTES = 8 * 1024 * 1024
ARCHIVE_BYTES = 200 * 1024 * 1024
SETTING = "GITHUB_TOKEN"
_WRITES = (
    ("POST", re.compile(r"/git/(?:blobs|trees|commits|refs)")),
    ("PATCH", re.compile(rf"/git/refs/heads/{BRANCHES}v\d+-[0-9a-f]+")),
    ("POST", re.compile(r"/pulls")),
    ("POST", re.compile(r"/issues/\d+/labels")),
)
_REF = re.compile(rf"refs/heads/{BRANCHES}v\d+-[0-9a-f]+")


class DryRunError(Exception):
    """A write was asked for in a dry run. It was not sent."""


class ExistsError(Exception):
    """GitHub has it already: a branch, or a pull request of the same head."""


class GitHub:
    """The few calls that a fix needs, each bounded; every write passes one door."""

    def __init__(self, settings: FixSettings, *, is_dry: bool, timeout_s: float = 30.0) -> None:
        self._is_dry = is_dry
        self._repository = settings.github_repository
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "error-monitor",
        }
        if settings.github_token:
            headers["Authorization"] = f"Bearer {settings.github_token}"
        self._client = httpx.AsyncClient(
            base_url=settings.github_url, headers=headers, timeout=timeout_s, verify=tls.verify(settings.github_url)
        )

    @property
    def owner(self) -> str:
        """The owner of the repository, as a head is named."""
        return self._repository.partition("/")[0]

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def branch_head(self, branch: str) -> str | None:
        """The commit of a branch; None where there is no such branch."""
        found = await self._read(f"/git/ref/heads/{branch}", missing={})
        return _text(found.get("object", {}), "sha") or None

    async def commit_id(self, name: str) -> str | None:
        """The full id of a commit or branch."""
        return _text(await self._read(f"/commits/{name}", missing={}), "sha") or None

    async def commit(self, sha: str) -> dict[str, Any]:
        """A commit: its message, and its tree."""
        return _object(await self._read(f"/git/commits/{sha}"))

    async def pulls(self, branch: str) -> list[dict[str, Any]]:
        """The pull requests from a branch, open or not, the newest first."""
        params = {"head": f"{self.owner}:{branch}", "state": "all", "per_page": "20"}
        found = await self._read("/pulls", params=params)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def pull(self, number: int) -> dict[str, Any]:
        """One pull request."""
        return _object(await self._read(f"/pulls/{number}"))

    async def contains(self, commit: str, ancestor: str) -> bool:
        """Return whether a commit has another one in its history."""
        found = await self._read(f"/compare/{ancestor}...{commit}", missing={})
        return _text(found, "status") in ("ahead", "identical")

    async def commits_since(self, branch: str, since: str) -> list[str]:
        """The messages of the newest commits of a branch since a time."""
        found = await self._read("/commits", params={"sha": branch, "since": since, "per_page": "100"})
        rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return [_text(one.get("commit", {}), "message") for one in rows]

    async def archive(self, commit: str) -> bytes:
        """The files of a commit, as a tar."""
        path = f"/repos/{self._repository}/tarball/{commit}"
        found = bytearray()
        try:
            async with self._client.stream("GET", path, follow_redirects=True) as response:
                if response.status_code != 200:
                    raise trouble("GET", path, response.status_code, response.headers)
                async for piece in response.aiter_bytes():
                    found += piece
                    if len(found) > ARCHIVE_BYTES:
                        raise RefusedError(3, "the repository's archive is larger than 200 MiB")
        except httpx.HTTPError as exc:
            raise LaterError(f"GitHub is away: {type(exc).__name__}") from exc
        return bytes(found)

    async def write(self, method: str, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The one door for writes.

        Raises:
            DryRunError: This is a dry run; nothing was sent.
            RefusedError: It is none of the writes that a fix may make, or GitHub refuses it for good.
            ExistsError: What would be made is there.
            LaterError: GitHub is away, busy or limits us.
        """
        if self._is_dry:
            raise DryRunError(f"{method} {path} was asked for in a dry run")
        if not any(method == verb and shape.fullmatch(path) for verb, shape in _WRITES):
            raise RefusedError(6, f"{method} {path[:80]} is not a write that a fix may make")
        if path == "/git/refs" and not _REF.fullmatch(str(content.get("ref"))):
            raise RefusedError(6, "a fix writes to its own branch only")
        found = await self._ask(method, path, json=dict(content))
        return found if isinstance(found, dict) else {"list": found}

    async def _read(self, path: str, *, params: Mapping[str, str] | None = None, missing: Any = None) -> Any:
        return await self._ask("GET", path, params=params, missing=missing)

    async def _ask(self, method: str, path: str, *, missing: Any = None, **more: Any) -> Any:
        address = f"/repos/{self._repository}{path}"
        try:
            response = await self._client.request(method, address, **more)
        except httpx.HTTPError as exc:
            raise LaterError(f"GitHub is away: {type(exc).__name__}") from exc
        if response.status_code == 404 and missing is not None:
            return missing
        if response.status_code == 422 and "already exists" in response.text[:5000].lower():
            raise ExistsError
        if response.status_code not in (200, 201):
            raise trouble(method, path, response.status_code, response.headers, response.text[:5000])
        if len(response.content) > ANSWER_BYTES:
            raise RefusedError(6, "GitHub's answer is larger than 8 MiB")
        try:
            return response.json()
        except ValueError as exc:
            raise LaterError("GitHub's answer is not JSON") from exc


def trouble(method: str, path: str, status: int, headers: httpx.Headers, text: str = "") -> Exception:
    """Make the error of a failed answer: a passing fault and a wrong token are tried again, any other ends the fix."""
    is_told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    # A secondary limit may say so in words alone.
    is_limit = status == 429 or (status == 403 and (is_told or "rate limit" in text.lower()))
    said = f"GitHub answered {status} to {method} {path.partition('?')[0][:80]}"
    if status == 403 and "was archived" in text:
        return RefusedError(6, f"{said}: the repository is archived")
    if status in (401, 403) and not is_limit:
        return LaterError(f"{said}: {SETTING} is not valid, or has not the rights that it needs")
    return LaterError(said) if is_limit or status == 409 or status >= 500 else RefusedError(6, said)


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise LaterError("GitHub's answer does not have the shape that it documents")
    return found


def _text(found: Any, name: str) -> str:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""

"""A stand-in for GitHub's Git Data API and pull requests on loopback: it keeps state, and can fail at any call."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.peers import Answer, Peer

REPOSITORY = "acme/shop"


class GitHost(Peer):
    """One repository. `fault` may answer instead of it; with `is_done` the call takes effect and its answer is lost."""

    TOKEN = "ghs_onlyfortests00000000"

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.refs: dict[str, str] = {}
        self.pulls: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.archives: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.most_open = 0
        self.fault: Callable[[str], tuple[int, bool] | None] = lambda _: None

    @property
    def environ(self) -> dict[str, str]:
        """What leads a monitor here."""
        return {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": self.TOKEN}

    def add_commit(self, sha: str) -> None:
        """A commit that the repository has, as the head of main."""
        self.objects[sha] = {"sha": sha, "message": "Base", "tree": {"sha": "0" * 40}, "parents": []}
        self.refs["heads/main"] = sha

    def files(self, branch: str) -> dict[str, str]:
        """The files that the commit of a branch changes."""
        tree = self.objects[self.objects[self.refs[f"heads/{branch}"]]["tree"]["sha"]]
        return {one["path"]: self.objects[one["sha"]]["content"] for one in tree["tree"]}

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        path = parts.path.removeprefix(f"/repos/{REPOSITORY}")
        if self.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return _said(401, "Bad credentials")
        fault = self.fault(f"{method} {path}")
        if fault and not fault[1]:
            return _said(fault[0], "fault")
        if method != "GET":
            self.writes.append(f"{method} {path}")
        found = self._serve(method, path, parse_qs(parts.query), json.loads(body) if body else {})
        self.most_open = max(self.most_open, sum(one["state"] == "open" for one in self.pulls))
        return _said(fault[0], "fault") if fault else found

    def _serve(self, method: str, path: str, query: dict[str, list[str]], given: dict[str, Any]) -> Answer:  # noqa: PLR0911 -- a table of routes
        if method == "POST" and (kind := re.fullmatch(r"/git/(blobs|trees|commits)", path)):
            return self._object(kind[1], given)
        if path == "/pulls":
            return self._open(given) if method == "POST" else (200, json.dumps(self._listed(*query.get("head", []))))
        if path.startswith("/git/ref"):
            return self._ref(method, path, given)
        if found := re.fullmatch(r"/(?:git/)?commits/(\w+)", path):
            sha = self.refs.get(f"heads/{found[1]}", found[1])
            return (200, json.dumps(self.objects[sha])) if sha in self.objects else _said(404, "Not Found")
        if path == "/commits":
            return 200, json.dumps([{"commit": {"message": one}} for one in self.messages])
        if found := re.fullmatch(r"/compare/(\w+)\.\.\.(\w+)", path):
            return 200, json.dumps({"status": "identical" if found[1] == found[2] else "diverged"})
        if found := re.fullmatch(r"/tarball/(\w+)", path):
            return (200, self.archives[found[1]]) if found[1] in self.archives else _said(404, "Not Found")
        if found := re.fullmatch(r"/issues/(\d+)/labels", path):
            self.pulls[int(found[1]) - 1]["labels"] = sorted(
                {*self.pulls[int(found[1]) - 1]["labels"], *given["labels"]}
            )
            return 200, json.dumps([{"name": one} for one in given["labels"]])
        if found := re.fullmatch(r"/pulls/(\d+)", path):
            return 200, json.dumps(self.pulls[int(found[1]) - 1])
        return _said(404, "Not Found")

    def _object(self, kind: str, given: dict[str, Any]) -> Answer:
        """Content decides the name, as in git: the same commit twice is one commit."""
        sha = hashlib.sha1(json.dumps([kind, given], sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        kept = {**given, "tree": {"sha": given["tree"]}} if kind == "commits" else given
        self.objects[sha] = {**kept, "sha": sha}
        return 201, json.dumps({"sha": sha})

    def _ref(self, method: str, path: str, given: dict[str, Any]) -> Answer:
        if method == "POST":
            name = given["ref"].removeprefix("refs/")
            if name in self.refs:
                return _said(422, "Reference already exists")
            self.refs[name] = given["sha"]
            return 201, json.dumps({"ref": given["ref"], "object": {"sha": given["sha"]}})
        name = re.sub(r"^/git/refs?/", "", path)
        if name not in self.refs:
            return _said(404, "Not Found")
        if method == "PATCH":
            self.refs[name] = given["sha"]
        return 200, json.dumps({"ref": f"refs/{name}", "object": {"sha": self.refs[name]}})

    def _listed(self, head: str = "") -> list[dict[str, Any]]:
        return [one for one in reversed(self.pulls) if head in ("", f"acme:{one['head']['ref']}")]

    def _open(self, given: dict[str, Any]) -> Answer:
        if any(one["state"] == "open" for one in self._listed(f"acme:{given['head']}")):
            return _said(422, f"A pull request already exists for acme:{given['head']}.")
        number = len(self.pulls) + 1
        made = {
            **given, "number": number, "state": "open", "merged": False, "labels": [], "head": {"ref": given["head"]},
            "html_url": f"https://github.invalid/{REPOSITORY}/pull/{number}",
        }  # fmt: skip
        self.pulls.append(made)
        return 201, json.dumps(made)


def _said(status: int, message: str) -> Answer:
    return status, json.dumps({"message": message})

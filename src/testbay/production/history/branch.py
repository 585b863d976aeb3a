"""A history on a git branch of its own. Nothing is checked out, so no link, filter or hook in it has an effect."""

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from testbay import process
from testbay.errors import HistoryError
from testbay.production.history import entries
from testbay.production.history.entries import Entry, History
from testbay.text import one_line

_ATTEMPTS = 20  # each lost race means that another run has written: with ten at once the unluckiest needs ten
_PATIENCE_S = 120.0
# git must not ask a person for anything, nor depend on the machine's configuration of a committer.
_SETTINGS = {
    "GIT_AUTHOR_NAME": "testbay",
    "GIT_AUTHOR_EMAIL": "testbay@invalid",
    "GIT_COMMITTER_NAME": "testbay",
    "GIT_COMMITTER_EMAIL": "testbay@invalid",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_LOST = (
    *("fetch first", "non-fast-forward", "failed to update ref", "cannot lock ref", "reference already exists"),
    "incorrect old value provided",  # since git 2.50
)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of a remote, seen from the clone in `folder`."""

    name: str
    folder: Path
    environ: Mapping[str, str] = field(repr=False)  # may hold secrets
    remote: str = "origin"

    def read(self, now: datetime) -> History:
        """Read the history from the branch; empty if the remote has no such branch.

        Raises:
            HistoryError: git fails, or the branch holds something else.
        """
        tip = self._fetch()
        return entries.parse(self._files(tip, now), now) if tip else History()

    def append(self, new: Entry, now: datetime) -> History:
        """Add a run in one commit. If another run pushed first, fetch its commit and commit on top of it.

        Raises:
            HistoryError: git fails, or the branch holds something else.
        """
        for _ in range(_ATTEMPTS):
            tip = self._fetch()
            known = entries.parse(self._files(tip, now, entries.ALWAYS), entries.ALWAYS) if tip else History()
            after = entries.bounded(entries.merge(known.entries, [new]), now)
            if after == known.entries or self._push(self._commit(entries.render(after), tip, new)):
                return History(entries=after, skipped=known.skipped)
        raise HistoryError(
            f"history: {self.remote}/{self.name}: other runs wrote first {_ATTEMPTS} times in a row",
            todo="write from one place at a time: in GitHub Actions a concurrency group",
        )

    def _fetch(self) -> str:
        """Fetch the branch and return its newest commit; empty if the remote has no such branch."""
        self._git("check-ref-format", f"refs/heads/{self.name}")
        found = self._git("ls-remote", self.remote, f"refs/heads/{self.name}")
        if not found:
            return ""
        mirror = f"refs/remotes/{self.remote}/{self.name}"
        # A shallow clone stays as shallow as it is; a whole one must not become shallow.
        shallow = self._git("rev-parse", "--is-shallow-repository") == "true"
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", *(["--depth=1"] if shallow else [])]
        self._git("fetch", *options, self.remote, f"+refs/heads/{self.name}:{mirror}")
        return self._git("rev-parse", "--verify", f"{mirror}^{{commit}}")

    def _files(self, tip: str, now: datetime, until: datetime | None = None) -> dict[str, str]:
        found = {}
        for entry in filter(None, self._git("ls-tree", "-l", "-z", tip).split("\0")):
            facts, _, name = entry.partition("\t")
            mode, _, blob, size = facts.split()
            # A commit of ours holds the history alone: on a branch with code it would delete the code.
            if mode != "100644" or not entries.is_ours(name) or int(size) > entries.KEPT_BYTES:
                raise HistoryError(
                    f"history: {self.remote}/{self.name} holds something else: {one_line(name)}",
                    todo="name a branch that is only for the history; it is made if it is not there",
                )
            found[name] = blob
        return {name: self._git("cat-file", "blob", found[name]) for name in entries.wanted(found, now, until)}

    def _commit(self, files: entries.Files, parent: str, new: Entry) -> str:
        with tempfile.TemporaryDirectory(prefix="testbay-history-") as made:
            index = {"GIT_INDEX_FILE": str(Path(made) / "index")}
            for name, text in files.items():
                file = Path(made) / name
                file.write_text(text, encoding="utf-8")
                blob = self._git("hash-object", "-w", "--no-filters", str(file))
                self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", **index)
            tree = self._git("write-tree", **index)
        title = one_line(f"{new.service} on {new.target or 'no target'}, {new.started}")
        parents = ["-p", parent] if parent else []
        return self._git("commit-tree", "--no-gpg-sign", *parents, "-m", title, tree)

    def _push(self, commit: str) -> bool:
        argv = ("push", "--quiet", "--no-verify", self.remote, f"{commit}:refs/heads/{self.name}")
        done = self._run(argv, {})
        if done.code and not any(reason in done.err for reason in _LOST):
            raise self._failed(argv, done.err)
        return done.code == 0

    def _git(self, *argv: str, **environ: str) -> str:
        done = self._run(argv, environ)
        if done.code:
            raise self._failed(argv, done.err)
        return done.out.strip("\n")

    def _run(self, argv: tuple[str, ...], environ: Mapping[str, str]) -> process.Completed:
        whole = {**self.environ, **_SETTINGS, **_credentials(self.environ), **environ}
        try:
            return process.run(["git", "-C", os.fspath(self.folder), *argv], env=whole, timeout_s=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise self._failed(argv, f"no result after {_PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise self._failed(argv, str(error)) from None

    def _failed(self, argv: tuple[str, ...], output: str) -> HistoryError:
        return HistoryError(
            f"history: {self.remote}/{self.name}: git {argv[0]} failed",
            todo="call it in a clone whose remote may be read (contents: read), for testbay history written to (write)",
            # A remote's address may hold a token.
            evidence="\n".join(
                one_line(re.sub(r"://[^/\s]*@", "://***@", line)) for line in output.splitlines()[:20] if line.strip()
            ),
        )


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Pass git the token of a GitHub job, by environment variables, which no process list shows."""
    token = environ.get("GITHUB_TOKEN")
    if environ.get("GITHUB_ACTIONS") != "true" or not token:
        return {}
    key = f"http.{environ.get('GITHUB_SERVER_URL') or 'https://github.com'}/.extraheader"
    header = f"AUTHORIZATION: basic {base64.b64encode(f'x-access-token:{token}'.encode()).decode()}"
    # The empty value drops credentials that the checkout may have kept: GitHub refuses two.
    configured = {"GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": "", "GIT_CONFIG_KEY_1": key}
    return {"GIT_CONFIG_COUNT": "2", **configured, "GIT_CONFIG_VALUE_1": header}

"""The place from which CI installs testbay: the one that this testbay was installed from (PEP 610)."""

import json
import re
import shlex
import subprocess
from contextlib import suppress
from importlib import metadata
from typing import Any
from urllib.parse import unquote, urlsplit

from testbay import process

_EXTRA = "testbay[embedded]"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PATH = re.compile(r"[\w.~/%+-]*")
_OF_SSH = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?P<path>[^/\s][^\s]*)")  # git@host:owner/name.git
ADVICE = (
    "testbay was installed from a folder of this machine, which CI does not reach: give pip the place of a clone that "
    "it does, 'testbay[embedded] @ git+https://HOST/OWNER/testbay@COMMIT', or call the workflow of that repository "
    "(`testbay explain your-ci`)"
)


def requirement() -> str | None:
    """The argument of pip for testbay, quoted for a shell; None where CI cannot reach what was installed here.

    It holds no credentials: what an address has of them is left out.
    """
    found = _origin()
    if found is None:
        return shlex.quote(_EXTRA)  # an index
    place = _archive(found) or _vcs(found) or _clone(found)
    return shlex.quote(f"{_EXTRA} @ {place}") if place else None


def _origin() -> dict[str, Any] | None:
    """Read what pip noted of an installation that came from no index."""
    with suppress(metadata.PackageNotFoundError, ValueError):
        found = json.loads(metadata.distribution("testbay").read_text("direct_url.json") or "null")
        return found if isinstance(found, dict) else None
    return None


def _archive(found: dict[str, Any]) -> str:
    return _public(str(found.get("url", ""))) if "archive_info" in found else ""


def _vcs(found: dict[str, Any]) -> str:
    about = found.get("vcs_info")
    if not isinstance(about, dict) or about.get("vcs") != "git":
        return ""
    return _with_commit(str(found.get("url", "")), str(about.get("commit_id", "")))


def _clone(found: dict[str, Any]) -> str:
    """The remote of a clone on this machine, and the commit that is checked out."""
    parts = urlsplit(str(found.get("url", "")))
    if parts.scheme != "file" or "dir_info" not in found:
        return ""
    folder = unquote(parts.path)
    with suppress(OSError, subprocess.TimeoutExpired):
        return _with_commit(_git(folder, "remote", "get-url", "origin"), _git(folder, "rev-parse", "HEAD"))
    return ""


def _git(folder: str, *words: str) -> str:
    return process.run(["git", "-C", folder, *words], timeout_s=10).out.strip()


def _with_commit(address: str, commit: str) -> str:
    if of_ssh := _OF_SSH.fullmatch(address):
        address = f"ssh://{of_ssh['host']}/{of_ssh['path']}"
    public = _public(address)
    return f"git+{public}@{commit}" if public and _COMMIT.fullmatch(commit) else ""


def _public(address: str) -> str:
    """The address without a password, token or query; empty for one that only this machine can open."""
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return ""
    if not host or parts.scheme not in ("https", "http", "ssh") or not _PATH.fullmatch(parts.path):
        return ""
    return f"{parts.scheme}://{'git@' if parts.scheme == 'ssh' else ''}{host}{parts.path}"

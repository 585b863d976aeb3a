"""The requirement by which CI installs testbay: from where this testbay was installed (PEP 610)."""

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
# pip refuses it: a name alone would have CI install whatever an index has under it.
TO_BE_FILLED_IN = f"'{_EXTRA} @ git+https://HOST/OWNER/testbay@COMMIT'"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PATH = re.compile(r"[\w.~/%+-]*")
_OF_SSH = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?P<path>[^/\s][^\s]*)")  # git@host:owner/name.git
ADVICE = (
    "testbay was installed from a folder of this machine, which CI does not reach: fill in HOST, OWNER and COMMIT of a "
    "clone that it does, or call the workflow of that repository (`testbay explain your-ci`)"
)
NAMED = (
    "a place from which CI can install testbay: this one was installed from a folder of this machine, and the project "
    "names it among its packages: write a place there that CI reaches, such as git+https://HOST/OWNER/testbay@COMMIT"
)


def requirement() -> str | None:
    """Make the argument of pip for testbay, quoted for a shell; None if CI cannot reach the origin of this one.

    Credentials in the address are left out.
    """
    found = _origin()
    if found is None:
        return shlex.quote(_EXTRA)  # an index
    place = _archive(found) or _vcs(found) or _clone(found)
    return shlex.quote(f"{_EXTRA} @ {place}") if place else None


def _origin() -> dict[str, Any] | None:
    """Read `direct_url.json`, which pip writes for an installation that is not from an index; else None."""
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
    """Make a requirement of a clone on this machine: its remote and its commit."""
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
    """Return an address without credentials and query; empty if only this machine can open it."""
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return ""
    if not host or parts.scheme not in ("https", "http", "ssh") or not _PATH.fullmatch(parts.path):
        return ""
    return f"{parts.scheme}://{'git@' if parts.scheme == 'ssh' else ''}{host}{parts.path}"

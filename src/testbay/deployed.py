"""Which commit should answer, and what whoever deploys says of it."""

import asyncio
import functools
import re
import subprocess
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from testbay import process
from testbay.checks.gate import Look, Rollout
from testbay.checks.report import Phase
from testbay.checks.tables import Target
from testbay.errors import IncidentsError
from testbay.github import Access, Api, Patience

TOKENS = ("GITHUB_TOKEN",)  # variables that nothing may show
_NEWEST = 30  # deployments that are looked at
_BUDGET_S = 30.0
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_UNDER_WAY = ("", "queued", "pending", "in_progress")  # none yet is one as well


def named(commit: str | None, phase: Phase, root: Path, environ: Mapping[str, str]) -> str:
    """The commit that the caller expects; empty where nobody said.

    On a schedule neither the workflow's commit nor the checkout counts: the branch may be ahead of what is deployed.
    """
    if commit is not None or phase == "scheduled":
        return commit or ""
    return environ.get("GITHUB_SHA", "") or _head(root, environ)


def _head(root: Path, environ: Mapping[str, str]) -> str:
    """The commit of the checkout; empty where there is none."""
    try:
        done = process.run(["git", "rev-parse", "HEAD"], cwd=root, env=environ, timeout_s=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.out.strip() if done.code == 0 else ""


def look(target: Target | None, phase: Phase, expected: str, environ: Mapping[str, str]) -> Look | None:
    """How to find out what is deployed, where the caller expects no commit and the target says who knows."""
    if target and target.deployment and phase == "scheduled" and not expected:
        return functools.partial(asyncio.to_thread, on_github, target.deployment.github, environ)
    return None


def on_github(environment: str, environ: Mapping[str, str], patience: Patience | None = None) -> Rollout:
    """The newest deployment to an environment that succeeded, and the newer ones that are under way."""
    try:
        access = Access.of(environ)
        with Api(access, patience or Patience(_BUDGET_S), right="deployments: read") as api:
            return _newest(api, environment)
    except IncidentsError as error:
        parts = {"why": error.why, "do": error.todo, "evidence": error.evidence}
        evidence = tuple(f"{name}: {text}" for name, text in parts.items() if text)
        return Rollout(expected="", said=error.what, evidence=evidence)


def _newest(api: Api, environment: str) -> Rollout:
    """Newest first, as GitHub lists them. What failed, or is no longer active, is passed over."""
    query = {"environment": environment, "per_page": str(_NEWEST)}
    others: list[str] = []
    under_way: list[str] = []
    for deployment in islice(api.pages("deployments", **query), _NEWEST):
        number, sha = _number(deployment), str(deployment.get("sha"))
        if not number or not _COMMIT.fullmatch(sha):
            evidence = f"its keys: {sorted(deployment)[:20]}"
            raise IncidentsError("GitHub: what should be a deployment is none", evidence=evidence)
        state = _state(api, number)
        if state == "success":
            said = f"GitHub: {sha[:12]} is the newest deployment to {environment!r} that succeeded"
            return Rollout(expected=sha, under_way=tuple(under_way), said=said, evidence=tuple(others))
        under_way += [sha] if state in _UNDER_WAY else []
        others.append(f"GitHub: the deployment of {sha[:12]} is {state or 'created'}")
    said = f"none of the newest {len(others)} deployments to {environment!r} succeeded"
    said = said if others else f"there is no deployment to {environment!r}"
    return Rollout(expected="", said=f"GitHub: {said}", evidence=tuple(others))


def _state(api: Api, number: int) -> str:
    """The newest state of a deployment; empty if it has none yet."""
    statuses = list(islice(api.pages(f"deployments/{number}/statuses", per_page="100"), 100))
    return str(max(statuses, key=_number).get("state")) if statuses else ""


def _number(item: Mapping[str, Any]) -> int:
    """GitHub's id of it, or 0; what is newer has a higher one."""
    found = item.get("id")
    return found if isinstance(found, int) else 0

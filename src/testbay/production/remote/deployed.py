"""The commit that a target should run, as the caller or the deploying platform says."""

import functools
import subprocess
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from testbay import process
from testbay.errors import BayError, IncidentsError
from testbay.manifest.checkbase import Phase
from testbay.manifest.rollout import Railway, Rollout, RolloutLookup
from testbay.manifest.targets import Target
from testbay.production.checks.loop import apart
from testbay.production.remote import railway
from testbay.production.remote.github import Api, GitHubAccess, Patience
from testbay.production.remote.railway import Deployed, RailwayError
from testbay.text import is_commit

TOKENS = ("GITHUB_TOKEN", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN")  # variables that nothing may show
_NEWEST = 30  # deployments that are looked at
_BUDGET_S = 30.0
_RAN = ("SUCCESS", "SLEEPING", "CRASHED")  # in Railway's words
_ON_ITS_WAY = ("INITIALIZING", "QUEUED", "WAITING", "NEEDS_APPROVAL", "BUILDING", "DEPLOYING")
_UNDER_WAY = ("", "queued", "pending", "in_progress")  # no state yet counts, too


def named(commit: str | None, phase: Phase, root: Path, environ: Mapping[str, str]) -> str:
    """Determine the commit that the caller expects; empty if not said.

    In the phase `scheduled` neither the workflow's commit nor the checkout counts: both may be ahead of the target.
    """
    if commit is not None or phase == "scheduled":
        return commit or ""
    return environ.get("GITHUB_SHA", "") or _head(root, environ)


def _head(root: Path, environ: Mapping[str, str]) -> str:
    """Ask git for the commit of the checkout; empty outside of one."""
    try:
        done = process.run(["git", "rev-parse", "HEAD"], cwd=root, env=environ, timeout_s=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.out.strip() if done.code == 0 else ""


def lookup(target: Target | None, phase: Phase, expected: str, environ: Mapping[str, str]) -> RolloutLookup | None:
    """Prepare the question to a target's platform: which commit is deployed, or how far the `expected` one is."""
    if target is None:
        return None
    if expected:
        return functools.partial(watch, target.railway, expected, environ) if target.railway else None
    if phase != "scheduled":
        return None
    if target.deployment:
        return functools.partial(apart, on_github, target.deployment.github, environ)
    return functools.partial(on_railway, target.railway, environ) if target.railway else None


def on_github(environment: str, environ: Mapping[str, str], patience: Patience | None = None) -> Rollout:
    """Find the newest deployment to a GitHub environment that succeeded, and the newer ones under way."""
    try:
        access = GitHubAccess.of(environ)
        api = Api(access, patience or Patience(_BUDGET_S), right="deployments: read")
        return _newest(api, environment)
    except IncidentsError as error:
        return _failed(error)


def _failed(error: BayError, expected: str = "") -> Rollout:
    """Describe a failed look-up as a rollout."""
    parts = {"why": error.why, "do": error.todo, "evidence": error.evidence}
    evidence = tuple(f"{name}: {text}" for name, text in parts.items() if text)
    return Rollout(expected=expected, said=error.what, evidence=evidence)


def _newest(api: Api, environment: str) -> Rollout:
    """Go through the deployments, the newest first, past those that failed or are no longer active."""
    query = {"environment": environment, "per_page": str(_NEWEST)}
    others: list[str] = []
    under_way: list[str] = []
    for deployment in islice(api.pages("deployments", **query), _NEWEST):
        number, sha = _number(deployment), str(deployment.get("sha"))
        if not number or not is_commit(sha):
            evidence = f"its keys: {sorted(deployment)[:20]}"
            raise IncidentsError("GitHub: a deployment has an unexpected form", evidence=evidence)
        state = _state(api, number)
        if state == "success":
            said = f"GitHub: {sha[:12]} is the newest deployment to {environment!r} that succeeded"
            return Rollout(expected=sha, under_way=tuple(under_way), said=said, evidence=tuple(others))
        under_way += [sha] if state in _UNDER_WAY else []
        others.append(f"GitHub: {sha[:12]} is {state or 'created'}")
    said = f"none of the newest {len(others)} deployments to {environment!r} succeeded"
    said = said if others else f"no deployment to {environment!r}"
    return Rollout(expected="", said=f"GitHub: {said}", evidence=tuple(others))


def _state(api: Api, number: int) -> str:
    """Ask for the newest state of a deployment; empty if it has none yet."""
    statuses = list(islice(api.pages(f"deployments/{number}/statuses", per_page="100"), 100))
    return str(max(statuses, key=_number).get("state"))[:40] if statuses else ""


def _number(item: Mapping[str, Any]) -> int:
    """Return GitHub's id of an item, which grows with time; 0 if it has none."""
    found = item.get("id")
    return found if isinstance(found, int) else 0


async def on_railway(service: Railway, environ: Mapping[str, str]) -> Rollout:
    """Find the newest deployment that runs at Railway, and the newer ones under way.

    A crashed deployment counts as well: it ran before, and Railway has removed the one it replaced.
    """
    try:
        found = await railway.newest(service, environ, tries=3)
    except RailwayError as error:
        return _failed(error)
    others: list[str] = []
    under_way: list[str] = []
    for one in found:
        name = one.commit[:12] or "what has no commit"
        if one.status in _RAN and not one.commit:
            todo = "do: deploy from the repository; what `railway up` uploads, or an image, has no commit"
            return Rollout(expected="", said="Railway: the newest deployment that ran has no commit", evidence=(todo,))
        if one.status in _RAN:
            said = f"Railway: {name} is the newest deployment that ran: {one.status}"
            return Rollout(
                expected=one.commit, under_way=tuple(under_way), said=said, evidence=tuple(others), lost=_lost(one)
            )
        under_way += [one.commit] if one.status in _ON_ITS_WAY and one.commit else []
        others.append(f"Railway: {name} is {one.status}")
    said = f"Railway: none of the newest {len(found)} deployments runs" if found else "Railway: no deployment"
    return Rollout(expected="", said=said, evidence=tuple(others))


async def watch(service: Railway, expected: str, environ: Mapping[str, str]) -> Rollout:
    """Look up the deployment of a commit. Failing to ask Railway is reported in the result, not raised."""
    try:
        found = await railway.newest(service, environ)
    except RailwayError as error:
        return _failed(error, expected)
    one = next((one for one in found if one.commit.startswith(expected)), None)
    if one is None:
        return Rollout(expected=expected, said=f"Railway: no deployment of {expected[:12]} yet")
    return Rollout(expected=expected, said=f"Railway: {one.commit[:12]} is {one.status}", lost=_lost(one))


def _lost(one: Deployed) -> str:
    ended = one.status in ("FAILED", "CRASHED")
    return f"Railway: the deployment of {one.commit[:12]} {one.status}: it will not answer" if ended else ""

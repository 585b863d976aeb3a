"""The deployments of a service at Railway: one query to its public GraphQL API."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbay.errors import BayError
from testbay.manifest import placeholders
from testbay.manifest.rollout import Railway
from testbay.masking import masked
from testbay.production.remote.exchange import (
    TO_FIX,
    NoAnswerError,
    TooMuchError,
    TooSlowError,
    UnusableError,
    ask,
    is_private,
)
from testbay.text import is_commit, one_line

API_URL = "https://backboard.railway.com/graphql/v2"
NEWEST = 20  # deployments that are asked for
_QUERY = """query deployments($input: DeploymentListInput!, $first: Int) {
  deployments(input: $input, first: $first) { edges { node { status meta } } }
}"""
_TIMEOUT_S = 10.0
_PAUSE_S = 0.5
_MAX_ANSWER_BYTES = 4 << 20
_LOOKED_AT = 4_500  # characters of an answer that is evidence: far more than are shown, so that no token is cut
_TODO = "run it again later"
_TOKENS = "set RAILWAY_TOKEN to a token of this project and environment, or RAILWAY_API_TOKEN to one of the account"


class RailwayError(BayError):
    """Railway gives no usable answer. The gate reports it; the run goes on."""


class BusyError(RailwayError):
    """Railway did not answer, but may do so when asked again."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment: its commit, empty if it has none, and its status in Railway's words."""

    commit: str
    status: str


@dataclass(frozen=True, kw_only=True)
class _Access:
    """The address of Railway's API, and the token for it."""

    url: str
    header: str
    credential: str = field(repr=False)
    token: str = field(repr=False)

    def shown(self, text: str) -> str:
        """Return the beginning of an answer, with the token masked."""
        return one_line(masked(text[:_LOOKED_AT], [self.token]))


async def newest(service: Railway, environ: Mapping[str, str], *, tries: int = 1) -> list[Deployed]:
    """List the service's latest deployments, the newest first.

    Raises:
        RailwayError: A variable is not set, or no usable answer came.
    """
    access = _access(environ)
    content = {"query": _QUERY, "variables": _variables(service, environ), "operationName": "deployments"}
    while True:
        tries -= 1
        try:
            return await _answer(access, content)
        except BusyError:
            if tries <= 0:
                raise
        await asyncio.sleep(_PAUSE_S)


def _access(environ: Mapping[str, str]) -> _Access:
    """Read address and token from the variables; the project's token comes first, as in Railway's own client."""
    url = environ.get("RAILWAY_API_URL") or API_URL
    if not is_private(url):
        why = "the token would be sent unencrypted"
        raise RailwayError(f"RAILWAY_API_URL: {url!r} is not https", why=why, todo="use an https:// address")
    project, account = environ.get("RAILWAY_TOKEN", "").strip(), environ.get("RAILWAY_API_TOKEN", "").strip()
    token = project or account
    if not (token.isascii() and token.isprintable() and token):
        raise RailwayError("RAILWAY_TOKEN is not set", why="it is empty, or holds what no token does", todo=_TOKENS)
    if project:
        return _Access(url=url, header="Project-Access-Token", credential=token, token=token)
    return _Access(url=url, header="Authorization", credential=f"Bearer {token}", token=token)


def _variables(service: Railway, environ: Mapping[str, str]) -> dict[str, Any]:
    ids = {"projectId": service.project, "environmentId": service.environment, "serviceId": service.service}
    filled = {name: placeholders.with_environment(text, environ) for name, text in ids.items()}
    if absent := [variable for _, missing in filled.values() for variable in missing]:
        raise RailwayError(f"{', '.join(absent)} is not set", todo="set it: the manifest's railway needs it")
    return {"input": {name: text for name, (text, _) in filled.items()}, "first": NEWEST}


async def _answer(access: _Access, content: Mapping[str, Any]) -> list[Deployed]:
    headers = {access.header: access.credential, "User-Agent": "testbay", "Content-Type": "application/json"}
    sent, most = json.dumps(content).encode(), _MAX_ANSWER_BYTES
    try:
        response, text = await ask("POST", access.url, headers, sent, most_bytes=most, within_s=_TIMEOUT_S)
    except TooSlowError:
        raise BusyError(f"Railway: no answer within {_TIMEOUT_S:g} s", todo=_TODO) from None
    except TooMuchError:
        raise RailwayError(f"Railway: the answer is larger than {most >> 20} MiB", todo=_TODO) from None
    except UnusableError as error:
        raise RailwayError("Railway: no request can be sent from here", why=str(error), todo=TO_FIX) from None
    except NoAnswerError as error:
        raise BusyError("Railway: no answer", why=str(error), todo=_TODO) from None
    return _read(response.status_code, text, access.shown(text))


def _read(status: int, text: str, shown: str) -> list[Deployed]:
    """Parse the answer. Railway may report errors of a query with status 200, too."""
    what = f"Railway: status {status}"
    if status == 429:
        why = "Railway limits the rate of a token's requests"
        raise RailwayError(what, why=why, todo="make every in live longer", evidence=shown)
    if status >= 500:
        raise BusyError(what, todo=_TODO, evidence=shown)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise RailwayError(f"{what}, and no JSON", todo="check RAILWAY_API_URL", evidence=shown) from None
    errors = document.get("errors") if isinstance(document, dict) else None
    if status in (401, 403) or "not authorized" in _messages(errors).lower():
        why = "the token is not valid for this project and environment"
        raise RailwayError("Railway: not authorized", why=why, todo=_TOKENS, evidence=shown)
    if errors or status != 200:
        raise BusyError(f"{what}, and no answer to the query", todo="check the ids in railway", evidence=shown)
    try:
        return [_deployed(edge["node"]) for edge in document["data"]["deployments"]["edges"]]
    except (KeyError, TypeError):
        raise RailwayError("Railway: the answer is not what was asked for", todo=_TODO, evidence=shown) from None


def _messages(errors: Any) -> str:
    found = [error.get("message") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return "; ".join(message for message in found if isinstance(message, str))


def _deployed(node: Mapping[str, Any]) -> Deployed:
    status, meta = node["status"], node["meta"]
    if not isinstance(status, str):
        raise TypeError(status)
    commit = meta.get("commitHash") if isinstance(meta, dict) else None
    known = commit if isinstance(commit, str) and is_commit(commit) else ""
    return Deployed(commit=known, status=one_line(status))
